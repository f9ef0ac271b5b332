/**
 * What this process has set aside of budgets, in memory: calls are held from it without asking the database.
 *
 * A lease mirrors its row: `held` by calls under way plus `free` for the next ones equals the row, less what bookings
 * under way still have to take out of it. While a taking of a lease is under way nobody takes from its free part,
 * since the taking may give it back.
 */
import type { BudgetLimit, BudgetScope, BudgetWindow } from '../ports/usage.ts';
import { needOf, type Amounts } from '../budgets/allowance.ts';
import { windowEnd, windowStart } from '../budgets/windows.ts';

export interface BudgetKey {
  readonly tenantId: string;
  readonly scope: BudgetScope;
  readonly scopeId: string;
  readonly window: BudgetWindow;
  readonly windowStartMs: number;
}

export interface Lease {
  readonly id: string;
  readonly key: BudgetKey;
  /** The life of this process that it belongs to. */
  readonly replicaId: string;
  readonly windowEndMs: number;
  /** Limits under which the free part was taken; another limit gives it back first. */
  limit: Limits | null;
  readonly free: { tokens: number; costMicroUsd: number };
  readonly held: { tokens: number; costMicroUsd: number };
  /** Near the limit: what a call leaves over goes back at once, so that another process may use it. */
  tight: boolean;
  /** A taking that may change `free` is under way. */
  taking: boolean;
  refilling: boolean;
  /** Its budget has a row. */
  opened: boolean;
  /** Calls that wait for a taking, and bookings that are not committed yet. */
  waiting: number;
  bookings: number;
  /** How many calls' worth the next block is to have. */
  blockCalls: number;
  /** `performance.now()`. */
  filledAt: number;
  usedAt: number;
}

export interface Part {
  readonly lease: Lease;
  readonly limit: BudgetLimit;
  readonly need: Amounts;
}

const FIRST_BLOCK_CALLS = 8;
const LEAST_BLOCK_CALLS = 4;
const MOST_BLOCK_CALLS = 16_384;
/** A block that is gone sooner than this was too small, one that lasted longer than that too large. */
const SOON_MS = 500;
const LATE_MS = 5_000;
/** Blocks are filled up when less than this many calls' worth is left, relative to their size. */
const REFILL_PART = 0.5;

export class LeaseBook {
  readonly replicaId: string;
  readonly #leases = new Map<string, Lease>();

  constructor(replicaId: string) {
    this.replicaId = replicaId;
  }

  get all(): IterableIterator<Lease> {
    return this.#leases.values();
  }

  get(id: string): Lease | undefined {
    return this.#leases.get(id);
  }

  partsOf(tenantId: string, budgets: readonly BudgetLimit[], tokens: number, costMicroUsd: number | null, nowMs: number): Part[] {
    return budgets.map((limit) => ({ lease: this.#lease(tenantId, limit, nowMs), limit, need: needOf(limit, tokens, costMicroUsd) }));
  }

  #lease(tenantId: string, { scope, scopeId, window }: BudgetLimit, nowMs: number): Lease {
    const key: BudgetKey = { tenantId, scope, scopeId, window, windowStartMs: windowStart(window, nowMs) };
    const id = keyId(key);
    let lease = this.#leases.get(id);
    if (lease === undefined) {
      lease = {
        id, key, replicaId: this.replicaId, windowEndMs: windowEnd(window, key.windowStartMs), limit: null, free: { tokens: 0, costMicroUsd: 0 }, held: { tokens: 0, costMicroUsd: 0 },
        tight: true, taking: false, refilling: false, opened: false, waiting: 0, bookings: 0, blockCalls: FIRST_BLOCK_CALLS, filledAt: 0, usedAt: performance.now(),
      };
      this.#leases.set(id, lease);
    }
    return lease;
  }

  /** For a lease that has no row and nobody who waits for one. */
  forget(lease: Lease): void {
    this.#leases.delete(lease.id);
  }
}

export function keyId({ tenantId, scope, scopeId, window, windowStartMs }: BudgetKey): string {
  return `${tenantId}\n${scope}\n${scopeId}\n${window}\n${windowStartMs}`;
}

export type Limits = Pick<BudgetLimit, 'maxTokens' | 'maxCostMicroUsd'>;

export function sameLimit(one: Limits | null, other: Limits): boolean {
  return one !== null && one.maxTokens === other.maxTokens && one.maxCostMicroUsd === other.maxCostMicroUsd;
}

/** Holds all parts from memory, or none of them. */
export function holdFromMemory(parts: readonly Part[]): boolean {
  for (const { lease, limit, need } of parts) {
    if (lease.taking || !sameLimit(lease.limit, limit) || lease.free.tokens < need.tokens || lease.free.costMicroUsd < need.costMicroUsd) return false;
  }
  const now = performance.now();
  for (const { lease, need } of parts) {
    lease.free.tokens -= need.tokens;
    lease.free.costMicroUsd -= need.costMicroUsd;
    lease.held.tokens += need.tokens;
    lease.held.costMicroUsd += need.costMicroUsd;
    lease.usedAt = now;
  }
  return true;
}

/** Whether a lease should be filled up before it is empty. */
export function wantsRefill({ lease, need }: Part): boolean {
  if (lease.tight || lease.taking || lease.refilling) return false;
  const low = lease.blockCalls * REFILL_PART;
  return lease.free.tokens < need.tokens * low || lease.free.costMicroUsd < need.costMicroUsd * low;
}

/** What a taking should bring beside what its calls need; sizes the block by how long the last one has lasted. */
export function blockOf(lease: Lease, need: Amounts): Amounts {
  const lastedMs = performance.now() - lease.filledAt;
  if (lease.filledAt === 0) lease.blockCalls = FIRST_BLOCK_CALLS;
  else if (lastedMs < SOON_MS) lease.blockCalls = Math.min(MOST_BLOCK_CALLS, lease.blockCalls * 2);
  else if (lastedMs > LATE_MS) lease.blockCalls = Math.max(LEAST_BLOCK_CALLS, Math.floor(lease.blockCalls / 2));
  lease.filledAt = performance.now();
  return { tokens: need.tokens * lease.blockCalls, costMicroUsd: need.costMicroUsd * lease.blockCalls };
}

/** Ends a hold on one lease. Answers what leaves the lease's row; the rest of the hold becomes free. */
export function endHold(lease: Lease, held: Amounts, used: Amounts, nowMs: number): Amounts {
  const keep = !lease.tight && !lease.taking && nowMs < lease.windowEndMs;
  lease.usedAt = performance.now();
  return { tokens: endOne(lease, 'tokens', held.tokens, used.tokens, keep), costMicroUsd: endOne(lease, 'costMicroUsd', held.costMicroUsd, used.costMicroUsd, keep) };
}

function endOne(lease: Lease, kind: keyof Amounts, held: number, used: number, keep: boolean): number {
  lease.held[kind] -= held;
  if (used <= held) {
    if (!keep) return held;
    lease.free[kind] += held - used;
    return used;
  }
  // More than was held: out of what is free as far as that goes, so that others do not see it twice.
  const more = lease.taking ? 0 : Math.min(used - held, lease.free[kind]);
  lease.free[kind] -= more;
  return held + more;
}
