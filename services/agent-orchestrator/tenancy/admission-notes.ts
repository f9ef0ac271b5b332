/** What one process keeps in mind of the limits, from one decision to the next. */
import type { AdmissionLimits, CreateRunResult } from '../ports/run-state.ts';
import { admit, placeOf, type TenantRunsState } from './admission.ts';
import { Backlog } from './backlog.ts';
import { Refusals, type Refusal } from './refusals.ts';

/** A tenant as it was read or left behind at `nowMs` by the database's clock; `decidedMs` is this process' and the same moment or a little later. */
export interface SeenTenant {
  readonly tenantId: string;
  readonly limits: AdmissionLimits;
  readonly state: TenantRunsState;
  readonly nowMs: number;
  readonly decidedMs: number;
}

export class AdmissionNotes {
  readonly backlog = new Backlog();
  readonly #refusals = new Refusals();

  /** What a creation need not ask the database for; it holds for no replay. */
  refusal(tenantId: string, limits: AdmissionLimits, nowMs: number = performance.now()): CreateRunResult | null {
    const refused = this.#refusals.standing(tenantId, limits, nowMs);
    if (refused !== null) return refused;
    const full = this.backlog.standing(limits.maxQueuedRuns, nowMs);
    return full === null ? null : { outcome: 'queue_full', limit: full };
  }

  /**
   * Told once it is committed. Where what was admitted is the last for now, the next creation is refused from memory
   * without having been refused by the database before.
   */
  decided(seen: SeenTenant, refusal: Refusal | null): void {
    const { tenantId, limits, state, nowMs, decidedMs } = seen;
    const next = refusal ?? admit(state, limits, nowMs);
    if (next.outcome === 'rate_limited' && next.limit > 0) this.#refusals.note(tenantId, limits, next, placeOf(state, limits, nowMs).earlyMs, decidedMs);
    else if (refusal?.outcome === 'concurrency_exceeded') this.#refusals.noteFull(tenantId, limits, refusal, decidedMs);
  }
}
