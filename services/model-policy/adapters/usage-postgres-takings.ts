/**
 * Takings: what this process sets aside of budgets, durably, before any call spends from it.
 *
 * One flush decides for many calls under the locks of their budgets' rows, so that over any number of processes spent
 * and reserved never pass a limit. A call gets what it needs in all of its budgets or nothing in any; the first call
 * of a flush may bring a block along for those after it.
 */
import type pg from 'pg';
import { FlushRolledBackError } from '../../platform/db/group-commit.ts';
import { fromDatabaseError, isConnectionError, isRetryableTransaction } from '../../platform/db/sqlstate.ts';
import { withTenant } from '../../platform/db/transaction.ts';
import { newId } from '../../platform/ids.ts';
import { allowance, refusal, type Amounts } from '../budgets/allowance.ts';
import type { BudgetRefusal } from '../ports/usage.ts';
import { blockOf, keyId, sameLimit, type BudgetKey, type Lease, type LeaseBook, type Limits, type Part } from './usage-postgres-leases.ts';
import { CHANGE_LEASES, CHANGE_RESERVED, DROP_LEASES, keyColumns, LAST_TAKING, NOTE_TAKING, OPEN_BUDGETS, OWN_LEASES, READ_BUDGETS, RECALL, TAKE_LEASES } from './usage-postgres-sql.ts';

/** `call` holds; `refill` brings a block; `return` gives back what is free; `drop` gives back the whole row. */
export type Taking =
  | { readonly kind: 'call'; readonly parts: readonly Part[] }
  | { readonly kind: 'refill'; readonly part: Part }
  | { readonly kind: 'return'; readonly lease: Lease }
  | { readonly kind: 'drop'; readonly lease: Lease };

export type TakingVerdict =
  | { readonly outcome: 'taken' }
  /** The lease belongs to an earlier life of this process. */
  | { readonly outcome: 'stale' }
  /** `recalled`: another process has been asked to give back what it does not use. */
  | { readonly outcome: 'refused'; readonly refusal: BudgetRefusal; readonly recalled: boolean };

/** The process was silent for so long that its leases have been given back. */
export class NotAliveError extends Error {
  constructor() {
    super('This process was taken for dead: its leases are gone.');
    this.name = 'NotAliveError';
  }
}

interface BudgetRow extends pg.QueryResultRow {
  readonly tenant_id: string;
  readonly scope: BudgetKey['scope'];
  readonly scope_id: string;
  readonly time_window: BudgetKey['window'];
  readonly start_ms: number;
}

interface CountsRow extends BudgetRow {
  readonly spent_tokens: number;
  readonly reserved_tokens: number;
  readonly spent_micro_usd: number;
  readonly reserved_micro_usd: number;
}

/** Whether the taking was committed cannot be told, so nobody may spend from it. */
export class UnknownTakingError extends Error {
  constructor(cause: unknown) {
    super('It is not known whether leases were taken.', { cause });
    this.name = 'UnknownTakingError';
  }
}

/** One budget while a flush decides. */
interface Draft {
  readonly lease: Lease;
  readonly spentTokens: number;
  readonly spentMicroUsd: number;
  reservedTokens: number;
  reservedMicroUsd: number;
  /** What of the lease no call has; starts as its free part where the flush may give it away. */
  readonly pool: { tokens: number; costMicroUsd: number };
  readonly poolBefore: Amounts;
  readonly reservedBefore: Amounts;
  limit: Limits | null;
  tight: boolean;
  drops: boolean;
  wished: boolean;
}

const rowId = (row: BudgetRow): string => keyId({ tenantId: row.tenant_id, scope: row.scope, scopeId: row.scope_id, window: row.time_window, windowStartMs: row.start_ms });
const leasesOf = (taking: Taking): readonly Lease[] => (taking.kind === 'call' ? taking.parts.map((part) => part.lease) : taking.kind === 'refill' ? [taking.part.lease] : [taking.lease]);
const ATTEMPTS = 4;

export interface TakingParts {
  readonly pool: pg.Pool;
  readonly book: LeaseBook;
  /** An entry id that is smaller than those of calls held at that time. */
  readonly firstEntryOf: (startMs: number) => string;
}

/** @throws NotAliveError, UnknownTakingError, FlushRolledBackError. */
export async function flushTakings(parts: TakingParts, all: readonly Taking[]): Promise<ReadonlyArray<TakingVerdict | Error>> {
  const takings = all.filter((taking) => leasesOf(taking).every((lease) => lease.replicaId === parts.book.replicaId));
  if (takings.length === 0) return all.map(() => ({ outcome: 'stale' }));
  const verdicts = await flushOwn(parts, takings);
  let next = 0;
  return all.map((taking) => (takings[next] === taking ? verdicts[next++]! : { outcome: 'stale' }));
}

async function flushOwn(parts: TakingParts, takings: readonly Taking[]): Promise<ReadonlyArray<TakingVerdict | Error>> {
  for (let attempt = 1; ; attempt += 1) {
    const flush = new TakingFlush(parts, takings);
    try {
      return await flush.run();
    } catch (error) {
      if (isRetryableTransaction((error as Error).cause ?? error) && attempt < ATTEMPTS) continue;
      if (error instanceof NotAliveError) throw error;
      if (isConnectionError(error) || isConnectionError((error as Error).cause)) {
        if (await flush.wasCommitted()) return flush.apply();
      }
      throw new FlushRolledBackError(fromDatabaseError(error));
    } finally {
      flush.end();
    }
  }
}

class TakingFlush {
  readonly #parts: TakingParts;
  readonly #takings: readonly Taking[];
  readonly #takingId = newId('lse');
  readonly #leases: readonly Lease[];
  readonly #frozen: ReadonlySet<Lease>;
  /** Leases that calls of this flush take from. */
  readonly #called: ReadonlySet<Lease>;
  #drafts = new Map<Lease, Draft>();
  #verdicts: (TakingVerdict | Error)[] = [];

  constructor(parts: TakingParts, takings: readonly Taking[]) {
    this.#parts = parts;
    this.#takings = takings;
    this.#called = new Set(takings.filter((taking) => taking.kind === 'call').flatMap(leasesOf));
    this.#leases = [...new Set(takings.flatMap(leasesOf))];
    this.#frozen = new Set(takings.filter((taking) => taking.kind !== 'refill').flatMap(leasesOf));
    for (const lease of this.#frozen) lease.taking = true;
  }

  end(): void {
    for (const lease of this.#leases) lease.taking = lease.refilling = false;
  }

  async run(): Promise<ReadonlyArray<TakingVerdict | Error>> {
    const tenants = [...new Set(this.#leases.map((lease) => lease.key.tenantId))].sort();
    await withTenant(this.#parts.pool, tenants, (client) => this.#body(client), { attempts: 1 });
    return this.apply();
  }

  /** @throws UnknownTakingError. */
  async wasCommitted(): Promise<boolean> {
    try {
      const { rows } = await this.#parts.pool.query<{ last_taking: string | null }>({ ...LAST_TAKING, values: [this.#parts.book.replicaId] });
      return rows[0]?.last_taking === this.#takingId;
    } catch (error) {
      throw new UnknownTakingError(error);
    }
  }

  async #body(client: pg.PoolClient): Promise<void> {
    const keys = this.#leases.map((lease) => lease.key);
    const dropped = this.#takings.flatMap((taking) => (taking.kind === 'drop' ? [taking.lease.key] : []));
    const alive = client.query({ ...NOTE_TAKING, values: [this.#parts.book.replicaId, this.#takingId] });
    const fresh = this.#leases.filter((lease) => !lease.opened).map((lease) => lease.key).sort((one, other) => (keyId(one) < keyId(other) ? -1 : 1));
    const opened = fresh.length === 0 ? null : client.query({ ...OPEN_BUDGETS, values: [...keyColumns(fresh), fresh.map((key) => this.#parts.firstEntryOf(key.windowStartMs))] });
    const locked = client.query<CountsRow>({ ...READ_BUDGETS, values: keyColumns(keys) });
    const owned = dropped.length === 0 ? null : client.query<BudgetRow & { tokens: number; micro_usd: number }>({ ...OWN_LEASES, values: [...keyColumns(dropped), this.#parts.book.replicaId] });
    const [aliveRows, , counts, ownRows] = await Promise.all([alive, opened, locked, owned]);
    if (aliveRows.rowCount === 0) throw new NotAliveError();
    this.#decide(counts.rows, new Map((ownRows?.rows ?? []).map((row) => [rowId(row), { tokens: row.tokens, costMicroUsd: row.micro_usd }])));
    await Promise.all([...this.#write(client), this.#recall(client)]);
  }

  #decide(rows: readonly CountsRow[], owned: ReadonlyMap<string, Amounts>): void {
    const countsOf = new Map(rows.map((row) => [rowId(row), row]));
    for (const lease of this.#leases) {
      const row = countsOf.get(lease.id);
      if (row === undefined) throw new Error(`The budget ${JSON.stringify(lease.key)} has no row.`);
      const free = this.#frozen.has(lease) ? { ...lease.free } : { tokens: 0, costMicroUsd: 0 };
      this.#drafts.set(lease, {
        lease, spentTokens: row.spent_tokens, spentMicroUsd: row.spent_micro_usd, reservedTokens: row.reserved_tokens, reservedMicroUsd: row.reserved_micro_usd,
        pool: { ...free }, poolBefore: free, reservedBefore: { tokens: row.reserved_tokens, costMicroUsd: row.reserved_micro_usd }, limit: lease.limit, tight: lease.tight, drops: false, wished: false,
      });
    }
    this.#verdicts = this.#takings.map((taking) => {
      if (taking.kind === 'call') return this.#takeCall(taking.parts);
      if (taking.kind === 'refill') return this.#refill(taking.part);
      const draft = this.#drafts.get(taking.lease)!;
      giveBack(draft);
      draft.tight = true;
      if (taking.kind === 'drop' && canDrop(taking.lease) && !this.#called.has(taking.lease)) {
        draft.drops = true;
        const row = owned.get(taking.lease.id) ?? { tokens: 0, costMicroUsd: 0 };
        // What the row has beyond what this process knows of was lost on the way; it goes back here.
        draft.reservedTokens = draft.reservedBefore.tokens - row.tokens;
        draft.reservedMicroUsd = draft.reservedBefore.costMicroUsd - row.costMicroUsd;
      }
      return { outcome: 'taken' };
    });
    // Near the limit nothing stays without a call that needs it.
    for (const draft of this.#drafts.values()) if (draft.tight) giveBack(draft);
  }

  #takeCall(parts: readonly Part[]): TakingVerdict {
    const grants: Amounts[] = [];
    for (const { lease, limit, need } of parts) {
      const draft = this.#drafts.get(lease)!;
      if (!sameLimit(draft.limit, limit)) {
        giveBack(draft);
        draft.limit = { maxTokens: limit.maxTokens, maxCostMicroUsd: limit.maxCostMicroUsd };
      }
      const lack = { tokens: Math.max(0, need.tokens - draft.pool.tokens), costMicroUsd: Math.max(0, need.costMicroUsd - draft.pool.costMicroUsd) };
      const lacks = lack.tokens > 0 || lack.costMicroUsd > 0;
      const first = lacks && !draft.wished;
      const wish = first ? blockOf(lease, need) : lack;
      draft.wished ||= lacks;
      const tokens = lack.tokens === 0 ? 0 : allowance(limit.maxTokens, draft.spentTokens, draft.reservedTokens, lack.tokens, wish.tokens);
      const costMicroUsd = lack.costMicroUsd === 0 ? 0 : allowance(limit.maxCostMicroUsd, draft.spentMicroUsd, draft.reservedMicroUsd, lack.costMicroUsd, wish.costMicroUsd);
      if (tokens === null || costMicroUsd === null) {
        const counts = { spentTokens: draft.spentTokens, spentMicroUsd: draft.spentMicroUsd, reservedTokens: draft.reservedTokens - draft.pool.tokens, reservedMicroUsd: draft.reservedMicroUsd - draft.pool.costMicroUsd };
        return { outcome: 'refused', refusal: refusal(limit, lease.key.windowStartMs, counts, need), recalled: false };
      }
      // The first to ask learns whether there is enough for a block.
      if (first) draft.tight = tokens <= lack.tokens && costMicroUsd <= lack.costMicroUsd;
      grants.push({ tokens, costMicroUsd });
    }
    for (const [index, { lease, need }] of parts.entries()) {
      const draft = this.#drafts.get(lease)!;
      const grant = grants[index]!;
      draft.reservedTokens += grant.tokens;
      draft.reservedMicroUsd += grant.costMicroUsd;
      draft.pool.tokens += grant.tokens - need.tokens;
      draft.pool.costMicroUsd += grant.costMicroUsd - need.costMicroUsd;
    }
    return { outcome: 'taken' };
  }

  #refill({ lease, limit, need }: Part): TakingVerdict {
    const draft = this.#drafts.get(lease)!;
    if (draft.tight || !sameLimit(draft.limit, limit)) return { outcome: 'taken' };
    const wish = blockOf(lease, need);
    const tokens = need.tokens === 0 ? 0 : (allowance(limit.maxTokens, draft.spentTokens, draft.reservedTokens, 0, wish.tokens) ?? 0);
    const costMicroUsd = need.costMicroUsd === 0 ? 0 : (allowance(limit.maxCostMicroUsd, draft.spentMicroUsd, draft.reservedMicroUsd, 0, wish.costMicroUsd) ?? 0);
    draft.reservedTokens += tokens;
    draft.reservedMicroUsd += costMicroUsd;
    draft.pool.tokens += tokens;
    draft.pool.costMicroUsd += costMicroUsd;
    return { outcome: 'taken' };
  }

  #write(client: pg.PoolClient): Promise<unknown>[] {
    const changed = [...this.#drafts.values()].filter((draft) => !draft.drops && (draft.reservedTokens !== draft.reservedBefore.tokens || draft.reservedMicroUsd !== draft.reservedBefore.costMicroUsd || draft.tight !== draft.lease.tight));
    const dropped = [...this.#drafts.values()].filter((draft) => draft.drops);
    const sent: Promise<unknown>[] = [];
    const byTokens = (draft: Draft): number => draft.reservedTokens - draft.reservedBefore.tokens;
    const byCost = (draft: Draft): number => draft.reservedMicroUsd - draft.reservedBefore.costMicroUsd;
    if (changed.length > 0) {
      const values = [...keyColumns(changed.map((draft) => draft.lease.key)), changed.map(byTokens), changed.map(byCost), changed.map((draft) => draft.tight), this.#parts.book.replicaId];
      const none = changed.map(() => 0);
      sent.push(client.query({ ...TAKE_LEASES, values: [...values.slice(0, 5), none, none, ...values.slice(7)] }), client.query({ ...CHANGE_LEASES, values }));
    }
    if (dropped.length > 0) sent.push(client.query({ ...DROP_LEASES, values: [...keyColumns(dropped.map((draft) => draft.lease.key)), this.#parts.book.replicaId] }));
    const both = [...changed, ...dropped];
    if (both.length > 0) sent.push(client.query({ ...CHANGE_RESERVED, values: [...keyColumns(both.map((draft) => draft.lease.key)), both.map(byTokens), both.map(byCost)] }));
    return sent;
  }

  async #recall(client: pg.PoolClient): Promise<void> {
    const short = new Map<string, BudgetKey>();
    for (const [index, verdict] of this.#verdicts.entries()) {
      if (!(verdict instanceof Error) && verdict.outcome === 'refused') for (const lease of leasesOf(this.#takings[index]!)) short.set(lease.id, lease.key);
    }
    if (short.size === 0) return;
    const { rows } = await client.query<BudgetRow>({ ...RECALL, values: [...keyColumns([...short.values()]), this.#parts.book.replicaId] });
    const recalled = new Set(rows.map(rowId));
    this.#verdicts = this.#verdicts.map((verdict, index) =>
      verdict instanceof Error || verdict.outcome !== 'refused' ? verdict : { ...verdict, recalled: leasesOf(this.#takings[index]!).some((lease) => recalled.has(lease.id)) });
  }

  /** What was committed becomes what this process knows; holds of calls begin here. */
  apply(): ReadonlyArray<TakingVerdict | Error> {
    const now = performance.now();
    for (const draft of this.#drafts.values()) {
      const { lease } = draft;
      lease.free.tokens += draft.pool.tokens - draft.poolBefore.tokens;
      lease.free.costMicroUsd += draft.pool.costMicroUsd - draft.poolBefore.costMicroUsd;
      lease.tight = draft.tight;
      lease.limit = draft.limit;
      lease.opened = true;
      if (draft.drops && lease.waiting === 0) this.#parts.book.forget(lease);
    }
    for (const [index, taking] of this.#takings.entries()) {
      const verdict = this.#verdicts[index]!;
      if (taking.kind !== 'call' || verdict instanceof Error || verdict.outcome !== 'taken') continue;
      for (const { lease, need } of taking.parts) {
        lease.held.tokens += need.tokens;
        lease.held.costMicroUsd += need.costMicroUsd;
        lease.usedAt = now;
      }
    }
    return this.#verdicts;
  }
}

function giveBack(draft: Draft): void {
  draft.reservedTokens -= draft.pool.tokens;
  draft.reservedMicroUsd -= draft.pool.costMicroUsd;
  draft.pool.tokens = 0;
  draft.pool.costMicroUsd = 0;
}

/** Nothing of the lease is in use, and nothing is on its way to it. */
export function canDrop(lease: Lease): boolean {
  return lease.held.tokens === 0 && lease.held.costMicroUsd === 0 && lease.bookings === 0;
}
