/** The signing key as it is now, with those that it replaced: what tokens between services are signed and checked with. */
import type { Config } from '../config/load.ts';

/** A new array only for a new key: who holds one may compare it by identity. */
export interface RotatingKeys {
  signing(): Uint8Array;
  /** The newest first. */
  accepted(): readonly Uint8Array[];
}

/** null where no signing key is set. `toKey` checks and converts one; called once a key. */
export function rotatingKeys(config: Config, toKey: (secret: string) => Uint8Array): RotatingKeys | null {
  const live = config.secrets.live('AGENTOS_SIGNING_KEY');
  if (live === undefined) return null;
  const previous = config.secrets.live('AGENTOS_SIGNING_KEY_PREVIOUS');
  const keys = new Map<string, Uint8Array>();
  const keyOf = (secret: string): Uint8Array => {
    let key = keys.get(secret);
    if (key === undefined) keys.set(secret, (key = toKey(secret)));
    return key;
  };
  keyOf(live.current());
  return {
    signing: () => keyOf(live.settled()),
    accepted: () => [...new Set([...live.accepted(), ...(previous === undefined ? [] : previous.accepted())])].map(keyOf),
  };
}

/** What sealed secrets are opened with, by newest first: in this process a key is not forgotten, since what it sealed stays. */
export function sealingKeys(config: Config): (() => readonly string[]) | undefined {
  const live = config.secrets.live('AGENTOS_SIGNING_KEY');
  if (live === undefined) return undefined;
  const previous = config.secrets.live('AGENTOS_SIGNING_KEY_PREVIOUS');
  let seen: readonly string[] = [live.current()];
  live.watch((value) => (seen = [value, ...seen.filter((each) => each !== value)]));
  return () => (previous === undefined ? seen : [...seen, previous.current()]);
}
