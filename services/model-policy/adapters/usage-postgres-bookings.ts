/**
 * Bookings: what ended, set-based, many calls in a transaction. Spending is added, leases shrink, the ledger grows and
 * request ids are claimed or finished, all or nothing.
 *
 * These transactions do not wait for the disk (see docs/adr/0009-budget-leases.md): they are visible to everybody
 * and outlive this process at once, and PostgreSQL writes them out within the second. A booking can be sent again:
 * its ledger row says whether it stands.
 */
import type pg from 'pg';
import { FlushRolledBackError } from '../../platform/db/group-commit.ts';
import { fromDatabaseError, isConnectionError, isRetryableTransaction } from '../../platform/db/sqlstate.ts';
import { withTenant } from '../../platform/db/transaction.ts';
import type { Amounts } from '../budgets/allowance.ts';
import { CLAIM_TTL_MS, type ClaimOutcome, type UsageEntry } from '../ports/usage.ts';
import type { Lease } from './usage-postgres-leases.ts';
import { ADD_ENTRIES, BOOK, CLAIM, FINISH_CLAIMS, FREE_CLAIMS, HAS_ENTRY, keyColumns, LOCK_BUDGETS, READ_CLAIMS, type Statement } from './usage-postgres-sql.ts';

export interface BookedPart {
  readonly lease: Lease;
  readonly spent: Amounts;
  /** What leaves the lease of the process that held it. */
  readonly leaves: Amounts;
}

export type Booking =
  | { readonly kind: 'end'; readonly tenantId: string; readonly entry: UsageEntry | null; readonly parts: readonly BookedPart[] }
  | { readonly kind: 'claim'; readonly tenantId: string; readonly requestId: string; readonly requestHash: string }
  | { readonly kind: 'finish' | 'free'; readonly tenantId: string; readonly requestId: string };

type Ended = Extract<Booking, { kind: 'end' }>;
type Claimed = Extract<Booking, { kind: 'claim' }>;
export type BookingVerdict = ClaimOutcome | 'booked';

/** Bookings with equal keys keep their order and never share a flush. */
let ends = 0;
export function bookingKey(booking: Booking): string {
  return booking.kind === 'end' ? `end ${(ends += 1)}` : `claim ${booking.tenantId}\n${booking.requestId}`;
}

/** @param again it may have been applied before @throws FlushRolledBackError, or a connection's error when nobody knows. */
export async function flushBookings(pool: pg.Pool, replicaId: string, bookings: readonly Booking[], again: boolean): Promise<BookingVerdict[]> {
  const flush = new BookingFlush(replicaId, bookings, again);
  const ended = again && (await flush.stands(pool));
  const tenants = [...new Set(bookings.map((booking) => booking.tenantId))].sort();
  try {
    await withTenant(pool, tenants, async (client) => flush.send(client, ended), { attempts: 1, asynchronous: true });
    return await flush.verdicts();
  } catch (thrown) {
    const error = flush.statementError ?? thrown;
    if (isConnectionError(error) || isConnectionError((error as Error).cause)) throw error;
    const rolledBack = new FlushRolledBackError(fromDatabaseError(error));
    throw isRetryableTransaction(error) ? Object.assign(rolledBack, { contended: true }) : rolledBack;
  }
}

class BookingFlush {
  readonly #replicaId: string;
  readonly #bookings: readonly Booking[];
  readonly #again: boolean;
  readonly #ended: readonly Ended[];
  readonly #claims: readonly Claimed[];
  readonly #pending: Promise<unknown>[] = [];
  #claimed: Promise<pg.QueryResult<ClaimKey>> | null = null;
  #known: Promise<pg.QueryResult<ClaimKey & { request_hash: string; done: boolean }>> | null = null;
  statementError: unknown = null;

  constructor(replicaId: string, bookings: readonly Booking[], again: boolean) {
    this.#replicaId = replicaId;
    this.#bookings = bookings;
    this.#again = again;
    this.#ended = bookings.filter((booking): booking is Ended => booking.kind === 'end');
    this.#claims = bookings.filter((booking): booking is Claimed => booking.kind === 'claim').sort((one, other) => (bookingKey(one) < bookingKey(other) ? -1 : 1));
  }

  /** Whether the calls' ends stand already; they do so together or not at all. */
  async stands(pool: pg.Pool): Promise<boolean> {
    const first = this.#ended.find((booking) => booking.entry !== null);
    // Without a ledger row there is nothing to tell by: what such an end gives back is found when its lease is dropped.
    if (first === undefined) return true;
    const { rows } = await withTenant(pool, first.tenantId, (client) => client.query({ ...HAS_ENTRY, values: [first.tenantId, first.entry!.entryId] }));
    return rows.length > 0;
  }

  /** Sends everything without waiting: COMMIT travels right behind it. */
  send(client: pg.PoolClient, ended: boolean): void {
    if (!ended) {
      this.#sendParts(client);
      this.#sendEntries(client);
    }
    if (this.#claims.length > 0) {
      const tenants = this.#claims.map((claim) => claim.tenantId);
      const ids = this.#claims.map((claim) => claim.requestId);
      this.#claimed = this.#send(client, CLAIM, [tenants, ids, this.#claims.map((claim) => claim.requestHash), this.#replicaId, CLAIM_TTL_MS, this.#again]);
      this.#known = this.#send(client, READ_CLAIMS, [tenants, ids]);
    }
    for (const kind of ['finish', 'free'] as const) {
      const of = this.#bookings.filter((booking) => booking.kind === kind) as Extract<Booking, { kind: 'finish' | 'free' }>[];
      if (of.length === 0) continue;
      const values = [of.map((booking) => booking.tenantId), of.map((booking) => booking.requestId)];
      this.#send(client, kind === 'finish' ? FINISH_CLAIMS : FREE_CLAIMS, kind === 'finish' ? [...values, CLAIM_TTL_MS] : values);
    }
  }

  async verdicts(): Promise<BookingVerdict[]> {
    await Promise.all(this.#pending);
    const claimed = new Set((await this.#claimed)?.rows.map(claimId));
    const known = new Map((await this.#known)?.rows.map((row) => [claimId(row), row]));
    return this.#bookings.map((booking) => {
      if (booking.kind !== 'claim') return 'booked';
      const id = `${booking.tenantId}\n${booking.requestId}`;
      if (claimed.has(id)) return 'claimed';
      const row = known.get(id);
      if (row !== undefined && row.request_hash !== booking.requestHash) return 'other_request';
      return row?.done === true ? 'done' : 'open';
    });
  }

  #sendParts(client: pg.PoolClient): void {
    const sums = new Map<string, { readonly lease: Lease; readonly sum: number[] }>();
    for (const { parts } of this.#ended) {
      for (const { lease, spent, leaves } of parts) {
        let each = sums.get(lease.id);
        if (each === undefined) sums.set(lease.id, (each = { lease, sum: [0, 0, 0, 0] }));
        each.sum[0]! += spent.tokens;
        each.sum[1]! += spent.costMicroUsd;
        // What an earlier life of this process had taken has gone back with its leases.
        if (lease.replicaId !== this.#replicaId) continue;
        each.sum[2]! += leaves.tokens;
        each.sum[3]! += leaves.costMicroUsd;
      }
    }
    if (sums.size === 0) return;
    const all = [...sums.values()];
    const keys = keyColumns(all.map(({ lease }) => lease.key));
    this.#send(client, LOCK_BUDGETS, keys);
    this.#send(client, BOOK, [...keys, ...[0, 1, 2, 3].map((column) => all.map(({ sum }) => sum[column])), this.#replicaId]);
  }

  #sendEntries(client: pg.PoolClient): void {
    const booked = this.#ended.filter((booking) => booking.entry !== null).map(({ tenantId, entry }) => ({ tenantId, ...entry! }));
    if (booked.length === 0) return;
    const column = (of: (row: (typeof booked)[number]) => unknown): unknown[] => booked.map(of);
    this.#send(client, ADD_ENTRIES, [
      column((row) => row.tenantId), column((row) => row.entryId), column((row) => row.atMs), column((row) => row.requestId), column((row) => row.runId), column((row) => row.agentId),
      column((row) => row.principalId), column((row) => row.operation), column((row) => row.model), column((row) => row.backend), column((row) => row.inputTokens),
      column((row) => row.outputTokens), column((row) => row.costMicroUsd), column((row) => row.state), column((row) => row.fallbackUsed), column((row) => row.estimated),
    ]);
  }

  #send<Row extends pg.QueryResultRow>(client: pg.PoolClient, statement: Statement, values: unknown[]): Promise<pg.QueryResult<Row>> {
    const sent = client.query<Row>({ ...statement, values });
    sent.catch((error: unknown) => {
      this.statementError ??= error;
    });
    this.#pending.push(sent);
    return sent;
  }
}

interface ClaimKey extends pg.QueryResultRow {
  readonly tenant_id: string;
  readonly request_id: string;
}

const claimId = (row: ClaimKey): string => `${row.tenant_id}\n${row.request_id}`;
