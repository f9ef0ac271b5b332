/** Asking backends: each attempt under a hold of its own, the next one only where the failure says nothing about the request. */
import { AgentOsError } from '../../platform/errors.ts';
import type { CatalogueModel } from '../router/catalogue.ts';
import type { Attempt, Served } from '../router/fallback.ts';
import type { OpenHold } from './accounts.ts';
import type { GovernedCall } from './govern.ts';

export type HeldAnswer<Answer> = Served<Answer> & { readonly hold: OpenHold };

/**
 * @param ask what is asked of a backend; once it resolves, no other one is tried
 * @param onServed hears of the attempt that served; those that failed are told to the observer here
 */
export async function askBackends<Answer>(
  call: GovernedCall, ask: (model: CatalogueModel, maxOutputTokens: number | null) => Promise<Answer>, onServed: (model: CatalogueModel, attempt: Attempt) => void,
): Promise<HeldAnswer<Answer>> {
  const { parts, account, record, options } = call;
  let attempts = 0;
  let open: OpenHold | null = null;
  const served = await parts.router.serve(call.plan, call.models, options.signal, async (model) => {
    const fallbackUsed = (attempts += 1) > 1;
    const hold = await account.openHold(model);
    record.held = hold.held;
    try {
      const answer = await ask(model, hold.maxOutputTokens);
      open = hold;
      return answer;
    } catch (error) {
      await endFailed(call, hold, error, fallbackUsed);
      throw error;
    }
  }, (model, attempt) => {
    record.attempts.push({ atMs: Date.now() - attempt.latencyMs, ...attempt });
    if (attempt.error === null) onServed(model, attempt);
    else parts.observer.attempted(attempt);
  });
  record.served = served.model;
  record.fallbackUsed = served.fallbackUsed;
  return { hold: open!, ...served };
}

/** A backend that was given the request and not the time to answer has read it at least. */
async function endFailed({ inputTokens, options, record }: GovernedCall, hold: OpenHold, error: unknown, fallbackUsed: boolean): Promise<void> {
  const mayHaveWorked = options.signal.aborted || (error instanceof AgentOsError && error.code === 'timeout');
  if (!mayHaveWorked) return hold.release(fallbackUsed);
  record.usage = { inputTokens, outputTokens: 0, estimated: true };
  await hold.settle({ inputTokens, outputTokens: 0, estimated: true, partial: true, fallbackUsed });
}
