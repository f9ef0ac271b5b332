/**
 * Whether tokens can be verified. An issuer that is away is told of and takes no node out of service: the keys that
 * are known go on, and other issuers and API keys are not touched. Only a node that knows no key at all is not ready.
 */
import type { ReadinessCheck } from '../http/health.ts';
import { NotReadyError, ReadyWithNote } from '../http/readiness-reason.ts';
import type { KeySource } from './issuer-keys.ts';

export function issuersReady(sources: () => ReadonlyMap<string, KeySource>): Readonly<Record<string, ReadinessCheck>> {
  return {
    async 'token-issuers'(signal) {
      const all = [...sources().values()];
      if (all.length === 0) return undefined;
      const looking = Promise.all(all.map((source) => source.refresh()));
      // Whoever has keys need not wait for newer ones.
      if (!all.some((source) => source.state()!.keys > 0)) await Promise.race([looking, aborted(signal)]);
      const states = all.map((source) => source.state()!);
      if (states.every((state) => state.keys === 0)) throw new NotReadyError('unreachable', 'no token issuer has told its keys');
      return states.some((state) => state.failing || state.keys === 0) ? new ReadyWithNote('outdated') : undefined;
    },
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
