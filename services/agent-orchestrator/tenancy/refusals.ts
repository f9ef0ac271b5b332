/**
 * Refusals that are known to stand, so that a tenant that asks far above its limits costs others little: the database
 * is not asked again, and nobody waits for the tenant's lock.
 *
 * A rate: until the tenant's next place comes no creation of it can be admitted by any process, because what others
 * admit only moves that place further away. This holds from the moment the last place was given, and not only from the
 * first refusal. Runs at once: others may end one at any moment, so that a refusal stands for an instant only, and only
 * for a crowd.
 */
import type { AdmissionLimits } from '../ports/run-state.ts';
import type { Admission } from './admission.ts';
import { Crowd } from './crowd.ts';

export type Refusal = Exclude<Admission, { outcome: 'admitted' }>;
export type RateLimited = Extract<Admission, { outcome: 'rate_limited' }>;
export type ConcurrencyExceeded = Extract<Admission, { outcome: 'concurrency_exceeded' }>;

interface Standing {
  readonly verdict: Refusal;
  readonly limits: AdmissionLimits;
  readonly untilMs: number;
}

/** Nothing is taken for granted for longer: a tenant may be restored from a backup, or the clock set. */
const LONGEST_MS = 1_000;
/** A crowd asks again so often whether one of its tenant's runs has ended. */
const FULL_MS = 50;
const MAX_TENANTS = 10_000;

export class Refusals {
  readonly #standing = new Map<string, Standing>();
  readonly #crowds = new Map<string, Crowd>();

  /** @param waitMs until the tenant's next place; @param nowMs of this process, monotonic, not after the place was read. */
  note(tenantId: string, limits: AdmissionLimits, verdict: RateLimited, waitMs: number, nowMs: number): void {
    this.#keep(tenantId, { verdict, limits, untilMs: nowMs + Math.min(waitMs, LONGEST_MS) });
  }

  /** The tenant has as many runs as it may. */
  noteFull(tenantId: string, limits: AdmissionLimits, verdict: ConcurrencyExceeded, nowMs: number): void {
    if (this.#crowds.size >= MAX_TENANTS) this.#crowds.clear();
    const crowd = this.#crowds.get(tenantId) ?? new Crowd();
    this.#crowds.set(tenantId, crowd);
    crowd.refused(nowMs);
    if (crowd.isMany(nowMs)) this.#keep(tenantId, { verdict, limits, untilMs: nowMs + FULL_MS });
  }

  /** The refusal that still stands; null once it may be asked again, and under limits that have changed since. */
  standing(tenantId: string, limits: AdmissionLimits, nowMs: number): Refusal | null {
    const known = this.#standing.get(tenantId);
    if (known === undefined) return null;
    if (nowMs < known.untilMs && areEqual(known.limits, limits)) {
      if (known.verdict.outcome === 'concurrency_exceeded') this.#crowds.get(tenantId)?.refused(nowMs);
      return known.verdict;
    }
    this.#standing.delete(tenantId);
    return null;
  }

  #keep(tenantId: string, standing: Standing): void {
    if (this.#standing.size >= MAX_TENANTS) this.#standing.clear();
    this.#standing.set(tenantId, standing);
  }
}

const areEqual = (one: AdmissionLimits, other: AdmissionLimits): boolean =>
  one.createQps === other.createQps && one.createBurst === other.createBurst && one.maxConcurrentRuns === other.maxConcurrentRuns;
