/**
 * May this tenant create one more run now? (PRS 10.3, HLD 10.2; reliability: quotas.)
 *
 * Rates are GCRA: the only state is the theoretical arrival time of the next creation, so one row a tenant is exact
 * over any number of replicas as long as it is locked while it is read and written, with the database's clock. The
 * decision is pure; the adapters hold the lock and store the state that it answers.
 */
import type { AdmissionLimits } from '../ports/run-state.ts';

/** One tenant's counters, as stored. */
export interface TenantRunsState {
  /** Runs that are queued or running. */
  readonly active: number;
  /** Theoretical arrival time, milliseconds since the epoch with fractions; 0 before the first creation. */
  readonly arrivalMs: number;
}

export type Admission =
  | { readonly outcome: 'admitted'; readonly state: TenantRunsState }
  | { readonly outcome: 'rate_limited'; readonly retryAfterSeconds: number; readonly limit: number }
  | { readonly outcome: 'concurrency_exceeded'; readonly limit: number; readonly used: number };

/** What a caller is told to wait when the tenant may create no run at all: long, and finite. */
const NEVER_RETRY_AFTER_SECONDS = 3_600;

/** Transactions that wait for each other's lock may bring times out of order by so much. */
const CLOCK_SLACK_MS = 1_000;

/**
 * A refusal changes no state: only what is admitted is counted.
 *
 * What one rate has admitted never puts the arrival time further away than that rate's full bucket. A time beyond it
 * was written under a slower rate, or by a clock that has been set back since: this creation is then admitted as the one
 * that fills the bucket, so that a quota that is raised holds at once and a full bucket is all that is left of the old.
 */
export function admit(state: TenantRunsState, limits: AdmissionLimits, nowMs: number): Admission {
  const { createQps, maxConcurrentRuns } = limits;
  if (createQps <= 0) return { outcome: 'rate_limited', retryAfterSeconds: NEVER_RETRY_AFTER_SECONDS, limit: createQps };
  const { earlyMs, nextArrivalMs } = placeOf(state, limits, nowMs);
  if (earlyMs > 0) return { outcome: 'rate_limited', retryAfterSeconds: Math.max(1, Math.ceil(earlyMs / 1000)), limit: createQps };
  if (state.active >= maxConcurrentRuns) return { outcome: 'concurrency_exceeded', limit: maxConcurrentRuns, used: state.active };
  return { outcome: 'admitted', state: { active: state.active + 1, arrivalMs: nextArrivalMs } };
}

/** How much too early one more creation would be, and the arrival time that it would leave; the rate is above 0. */
export function placeOf(state: TenantRunsState, { createQps, createBurst }: AdmissionLimits, nowMs: number): { readonly earlyMs: number; readonly nextArrivalMs: number } {
  const intervalMs = 1000 / createQps;
  const burst = Math.max(1, createBurst);
  const toleranceMs = intervalMs * (burst - 1);
  const stored = Math.max(state.arrivalMs, nowMs);
  const arrivalMs = stored > nowMs + toleranceMs + intervalMs + CLOCK_SLACK_MS ? nowMs + toleranceMs : stored;
  return { earlyMs: arrivalMs - toleranceMs - nowMs, nextArrivalMs: arrivalMs + intervalMs };
}
