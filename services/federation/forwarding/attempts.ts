/** Trying again what may be repeated: after silence and failures of the other node, never after its refusal (PRS 7.4). */
import { AgentOsError } from '../../platform/errors.ts';

export interface AttemptPolicy {
  readonly maxAttempts: number;
  /** Before the second attempt; doubled before each further one, and spread. */
  readonly baseBackoffMs: number;
  readonly sleep: (ms: number) => Promise<void>;
  /** 0 to 1. */
  readonly random: () => number;
}

const LONGEST_BACKOFF_MS = 30_000;

/** True where the node may not have heard, or may not have been able to answer. */
export const isWorthRepeating = (error: unknown): boolean =>
  error instanceof AgentOsError && error.retryable && (error.code === 'dependency_unavailable' || error.code === 'timeout' || error.code === 'internal_error');

export async function withAttempts<Result>(policy: AttemptPolicy, work: (attempt: number) => Promise<Result>, onFailed?: (error: AgentOsError, attempt: number) => void): Promise<Result> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work(attempt);
    } catch (error) {
      if (!isWorthRepeating(error) || attempt >= policy.maxAttempts) throw error;
      onFailed?.(error as AgentOsError, attempt);
      await policy.sleep(pauseMs(policy, attempt, (error as AgentOsError).retryAfterSeconds));
    }
  }
}

/** At least what the node asks for; the spread keeps many callers of one node from coming back at once. */
function pauseMs({ baseBackoffMs, random }: AttemptPolicy, attempt: number, retryAfterSeconds = 0): number {
  const backoff = baseBackoffMs * 2 ** (attempt - 1) * (0.5 + random() / 2);
  return Math.min(LONGEST_BACKOFF_MS, Math.max(backoff, retryAfterSeconds * 1000));
}
