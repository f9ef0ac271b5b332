/**
 * Requests a minute, as GCRA: the only state is the theoretical arrival time of the next request, so one row a tenant
 * is exact over any number of processes. As many requests as a minute allows may come at once.
 */
export interface RateDecision {
  readonly allowed: boolean;
  /** State to store; a refusal changes nothing. */
  readonly arrivalMs: number;
  /** 0 when allowed. */
  readonly retryAfterMs: number;
}

const MINUTE_MS = 60_000;
const NEVER_MS = 3_600_000;

export function takeFromRate(arrivalMs: number, nowMs: number, perMinute: number): RateDecision {
  if (perMinute <= 0) return { allowed: false, arrivalMs, retryAfterMs: NEVER_MS };
  const intervalMs = MINUTE_MS / perMinute;
  // A time beyond a full bucket was written under a slower rate: all that is left of it is a full bucket.
  const start = Math.min(Math.max(arrivalMs, nowMs), nowMs + MINUTE_MS);
  // Times carry fractions, which add up to a little less than the whole.
  const early = start + intervalMs - MINUTE_MS - nowMs;
  if (early > 1e-3) return { allowed: false, arrivalMs, retryAfterMs: Math.max(1, Math.ceil(early)) };
  return { allowed: true, arrivalMs: start + intervalMs, retryAfterMs: 0 };
}

/** Requests that still count against the minute. */
export function usedOfRate(arrivalMs: number, nowMs: number, perMinute: number): number {
  if (perMinute <= 0) return 0;
  return Math.max(0, Math.min(perMinute, Math.ceil((arrivalMs - nowMs) / (MINUTE_MS / perMinute) - 1e-6)));
}
