/**
 * When to try again: exponential delays with jitter (so that many runs hit by one outage do not come back as
 * one wave), never shorter than what the other side asked for, never past the run's deadline.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { AgentOsError } from '../../platform/errors.ts';

export interface RetryClock {
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Resolves after the time, or at once when the signal aborts. */
  readonly sleep: (delayMs: number, signal: AbortSignal) => Promise<void>;
}

export const systemClock: RetryClock = {
  now: Date.now,
  random: Math.random,
  // An abort rejects node's timer; for the callers it is simply the end of the wait.
  sleep: (delayMs, signal) => delay(delayMs, undefined, { signal }).catch(() => undefined),
};

export interface RetryPolicy {
  /** Calls in all; 1 means no retry. */
  readonly attempts: number;
  readonly baseMs: number;
  readonly maxMs: number;
  /** Milliseconds since the epoch after which no further attempt begins. */
  readonly deadlineMs: number;
  readonly mayRetry: (error: AgentOsError) => boolean;
  /** Failures that say nothing of the call, since nobody was there to take it: for so long after the first attempt they cost none. */
  readonly outage?: { readonly isOne: (error: AgentOsError) => boolean; readonly graceMs: number };
}

/** Who is away may be back at any moment, and a run is waiting. */
const OUTAGE_MAX_DELAY_MS = 1_000;

/** Pauses of an agent that names none. */
export const DEFAULT_BACKOFF = { backoffMs: 200, maxBackoffMs: 10_000 } as const;

export function retryDelayMs(attempt: number, policy: Pick<RetryPolicy, 'baseMs' | 'maxMs'>, random: number, retryAfterSeconds: number | undefined): number {
  const ceiling = Math.min(policy.maxMs, policy.baseMs * 2 ** (attempt - 1));
  const jittered = ceiling / 2 + (random * ceiling) / 2;
  return Math.max(jittered, (retryAfterSeconds ?? 0) * 1000);
}

/** Every error becomes an AgentOsError; what is none is our fault and keeps its cause for the log. */
export function asAgentOsError(error: unknown): AgentOsError {
  if (error instanceof AgentOsError) return error;
  return new AgentOsError('internal_error', { message: 'The call failed in an unexpected way; the correlation id finds the cause in the logs.', cause: error });
}

/** Runs `call` until it succeeds, may not be repeated, or time or attempts are used up. @throws AgentOsError the last failure. */
export async function withRetries<T>(call: (attempt: number) => Promise<T>, policy: RetryPolicy, clock: RetryClock, signal: AbortSignal): Promise<T> {
  const startedMs = clock.now();
  let attempt = 1;
  for (let failures = 1; ; failures += 1) {
    try {
      return await call(attempt);
    } catch (thrown) {
      const error = asAgentOsError(thrown);
      const away = policy.outage !== undefined && policy.outage.isOne(error) && clock.now() - startedMs < policy.outage.graceMs;
      if (signal.aborted || (!away && attempt >= policy.attempts) || !policy.mayRetry(error)) throw error;
      const delayMs = retryDelayMs(failures, away ? { ...policy, maxMs: Math.min(policy.maxMs, OUTAGE_MAX_DELAY_MS) } : policy, clock.random(), error.retryAfterSeconds);
      if (!away) attempt += 1;
      if (clock.now() + delayMs >= policy.deadlineMs) throw error;
      await clock.sleep(delayMs, signal);
      if (signal.aborted) throw error;
    }
  }
}
