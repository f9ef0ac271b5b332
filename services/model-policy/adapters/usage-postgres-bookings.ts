/**
 * Bookings: what finished calls leave behind, set-based, many calls in one transaction. Spending is added, leases
 * shrink, the ledger grows, request ids are finished, decisions are kept and the audit is written, all or nothing.
 *
 * Bookings are plain values, since they also travel through journals (docs/adr/0010-call-journal.md). A booking can be
 * sent again: its ledger row, and the decision of its call, say whether it stands.
 */
import type pg from 'pg';
import type { Logger } from 'pino';
import { sendAuditText, type AppendedRow } from '../../platform/audit/audit-sql.ts';
import { FlushRolledBackError } from '../../platform/db/group-commit.ts';
import { fromDatabaseError, isConnectionError, isRetryableTransaction } from '../../platform/db/sqlstate.ts';
import { withTenant } from '../../platform/db/transaction.ts';
import { quoted } from '../../platform/telemetry/logger.ts';
import type { Amounts } from '../budgets/allowance.ts';
import { CLAIM_TTL_MS, type UsageEntry } from '../ports/usage.ts';
import { keyId, type BudgetKey } from './usage-postgres-leases.ts';
import { ADD_DECISIONS, ADD_ENTRIES, BOOK, FINISH_CLAIMS, FREE_CLAIMS, keyColumns, LOCK_BUDGETS, STANDING_DECISIONS, STANDING_ENTRIES, type Statement } from './usage-postgres-sql.ts';

export interface BookedPart {
  readonly key: BudgetKey;
  /** The life of the process that held it. */
  readonly replicaId: string;
  readonly spent: Amounts;
  /** What leaves the lease of that life. */
  readonly leaves: Amounts;
}

export type Booking =
  /** `entry` is the ledger row (`LedgerRow`) as JSON; null: the ledger has none. */
  | { readonly kind: 'end'; readonly tenantId: string; readonly entryId: string; readonly entry: string | null; readonly parts: readonly BookedPart[] }
  | { readonly kind: 'finish'; readonly tenantId: string; readonly requestId: string; readonly requestHash: string; readonly replicaId: string }
  | { readonly kind: 'free'; readonly tenantId: string; readonly requestId: string }
  /** `record` is the decision as JSON; `model` served. */
  | { readonly kind: 'trace'; readonly tenantId: string; readonly decisionId: string; readonly model: string | null; readonly record: string }
  /** Of the call with this decision, which comes with it in one flush. `row` is an `AuditRow` as JSON. */
  | { readonly kind: 'audit'; readonly tenantId: string; readonly decisionId: string; readonly row: string };

export type LedgerRow = UsageEntry & { readonly tenantId: string };

/** As a journal keeps it: what is JSON already is not escaped once more. */
export function bookingToText(booking: Booking): string {
  const { kind, tenantId } = booking;
  if (kind === 'finish' || kind === 'free') return JSON.stringify(booking);
  const head = `{"kind":"${kind}","tenantId":${quoted(tenantId)},`;
  if (kind === 'end') return `${head}"entryId":"${booking.entryId}","entry":${booking.entry},"parts":${JSON.stringify(booking.parts)}}`;
  const told = `${head}"decisionId":${quoted(booking.decisionId)},`;
  return kind === 'audit' ? `${told}"row":${booking.row}}` : `${told}"model":${JSON.stringify(booking.model)},"record":${booking.record}}`;
}

export function bookingFromText(text: string): Booking {
  const booking = JSON.parse(text) as Booking;
  if (booking.kind === 'trace') return { ...booking, record: JSON.stringify(booking.record) };
  if (booking.kind === 'audit') return { ...booking, row: JSON.stringify(booking.row) };
  return booking.kind === 'end' && booking.entry !== null ? { ...booking, entry: JSON.stringify(booking.entry) } : booking;
}

type Of<Kind extends Booking['kind']> = Extract<Booking, { kind: Kind }>;

export interface FlushOptions {
  readonly pool: pg.Pool;
  /** Some of it may have been applied before. */
  readonly again: boolean;
  /** Whether COMMIT waits for the disk. */
  readonly durable: boolean;
  /** @param rows JSON of each `AuditRow` */
  readonly onAudited?: ((rows: readonly string[], appended: readonly AppendedRow[]) => void) | undefined;
}

/** @throws FlushRolledBackError, or a connection's error when nobody knows. */
export async function flushBookings(options: FlushOptions, bookings: readonly Booking[]): Promise<void> {
  const { pool, again, durable } = options;
  const flush = new BookingFlush(again ? await missing(pool, bookings) : bookings);
  if (flush.isEmpty) return;
  try {
    await withTenant(pool, tenantsOf(bookings), async (client) => flush.send(client), { attempts: 1, asynchronous: !durable });
  } catch (thrown) {
    await flush.answered();
    const error = flush.statementError ?? thrown;
    if (isAway(error)) throw error;
    const rolledBack = new FlushRolledBackError(fromDatabaseError(error));
    throw isRetryableTransaction(error) ? Object.assign(rolledBack, { contended: true }) : rolledBack;
  }
  if (flush.audited !== null) options.onAudited?.(flush.auditRows, await flush.audited);
}

/** `flushBookings` for what has been answered already: all at once; where the database does not take that, each by itself. @throws while the database is away or contended. */
export async function storeBookings(options: FlushOptions, bookings: readonly Booking[], log: Logger | undefined): Promise<void> {
  try {
    return await flushBookings(options, bookings);
  } catch (error) {
    if (isAway(error) || !(error instanceof FlushRolledBackError) || 'contended' in error) throw error;
  }
  for (const unit of unitsOf(bookings)) {
    try {
      await flushBookings({ ...options, again: true }, unit);
    } catch (error) {
      if (isAway(error) || !(error instanceof FlushRolledBackError) || 'contended' in error) throw error;
      log?.error({ err: error.cause, tenant_id: unit[0]!.tenantId, refused: JSON.stringify(unit).slice(0, 4_000) }, 'The database refuses a booking: it stands in this line only.');
    }
  }
}

/** A decision and its audit record stand or fall together: the one tells whether the other stands. */
function unitsOf(bookings: readonly Booking[]): readonly (readonly Booking[])[] {
  const units = new Map<unknown, Booking[]>();
  for (const booking of bookings) {
    const key = booking.kind === 'trace' || booking.kind === 'audit' ? `${booking.tenantId} ${booking.decisionId}` : booking;
    units.set(key, [...(units.get(key) ?? []), booking]);
  }
  return [...units.values()];
}

export const isAway = (error: unknown): boolean => isConnectionError(error) || isConnectionError((error as Error).cause);

const tenantsOf = (bookings: readonly Booking[]): string[] => [...new Set(bookings.map((booking) => booking.tenantId))].sort();
const ofKind = <Kind extends Booking['kind']>(bookings: readonly Booking[], kind: Kind): Of<Kind>[] => bookings.filter((booking): booking is Of<Kind> => booking.kind === kind);

/** What does not stand yet. An end without a ledger row cannot be asked after: what it gives back is found when its lease is dropped. */
async function missing(pool: pg.Pool, bookings: readonly Booking[]): Promise<readonly Booking[]> {
  const ends = ofKind(bookings, 'end').filter(({ entry }) => entry !== null);
  const told = [...ofKind(bookings, 'trace'), ...ofKind(bookings, 'audit')];
  const standing = new Set<string>();
  await withTenant(pool, tenantsOf(bookings), async (client) => {
    const [entries, decisions] = await Promise.all([
      client.query<{ id: string }>({ ...STANDING_ENTRIES, values: [ends.map((booking) => booking.tenantId), ends.map((booking) => booking.entryId)] }),
      client.query<{ id: string }>({ ...STANDING_DECISIONS, values: [told.map((booking) => booking.tenantId), told.map((booking) => booking.decisionId)] }),
    ]);
    for (const { id } of [...entries.rows, ...decisions.rows]) standing.add(id);
  });
  return bookings.filter((booking) => {
    if (booking.kind === 'end') return booking.entry !== null && !standing.has(`${booking.tenantId} ${booking.entryId}`);
    if (booking.kind === 'trace' || booking.kind === 'audit') return !standing.has(`${booking.tenantId} ${booking.decisionId}`);
    return true;
  });
}

class BookingFlush {
  readonly #bookings: readonly Booking[];
  readonly #sent: Promise<unknown>[] = [];
  statementError: unknown = null;
  auditRows: readonly string[] = [];
  audited: Promise<AppendedRow[]> | null = null;

  constructor(bookings: readonly Booking[]) {
    this.#bookings = bookings;
  }

  get isEmpty(): boolean {
    return this.#bookings.length === 0;
  }

  /** Which statement it was that failed is known when all have been answered. */
  async answered(): Promise<void> {
    await Promise.allSettled(this.#sent);
  }

  /** Sends everything without waiting: COMMIT travels right behind it. */
  send(client: pg.PoolClient): void {
    const ends = ofKind(this.#bookings, 'end');
    this.#sendParts(client, ends);
    this.#sendEntries(client, ends);
    this.#sendClaims(client);
    this.#sendTraces(client);
    const audit = ofKind(this.#bookings, 'audit');
    if (audit.length === 0) return;
    this.auditRows = audit.map((booking) => booking.row);
    this.audited = this.#noted(sendAuditText(client, `[${this.auditRows.join(',')}]`));
  }

  #sendParts(client: pg.PoolClient, ends: readonly Of<'end'>[]): void {
    const sums = new Map<string, { readonly part: BookedPart; readonly sum: number[] }>();
    for (const { parts } of ends) {
      for (const part of parts) {
        const id = `${keyId(part.key)}\n${part.replicaId}`;
        let each = sums.get(id);
        if (each === undefined) sums.set(id, (each = { part, sum: [0, 0, 0, 0] }));
        each.sum[0]! += part.spent.tokens;
        each.sum[1]! += part.spent.costMicroUsd;
        each.sum[2]! += part.leaves.tokens;
        each.sum[3]! += part.leaves.costMicroUsd;
      }
    }
    if (sums.size === 0) return;
    const all = [...sums.values()];
    const keys = keyColumns(all.map(({ part }) => part.key));
    this.#send(client, LOCK_BUDGETS, keys);
    this.#send(client, BOOK, [...keys, ...[0, 1, 2, 3].map((column) => all.map(({ sum }) => sum[column])), all.map(({ part }) => part.replicaId)]);
  }

  #sendEntries(client: pg.PoolClient, ends: readonly Of<'end'>[]): void {
    const entries = ends.flatMap(({ entry }) => entry ?? []);
    if (entries.length > 0) this.#send(client, ADD_ENTRIES, [`[${entries.join(',')}]`]);
  }

  /** In the order in which claims are made, so that nobody waits in a circle. */
  #sendClaims(client: pg.PoolClient): void {
    const finished = [...new Map(ofKind(this.#bookings, 'finish').map((booking) => [claimId(booking), booking])).values()].sort(byClaim);
    const freed = ofKind(this.#bookings, 'free').sort(byClaim);
    if (finished.length > 0) {
      this.#send(client, FINISH_CLAIMS, [finished.map((each) => each.tenantId), finished.map((each) => each.requestId), finished.map((each) => each.requestHash), finished.map((each) => each.replicaId), CLAIM_TTL_MS]);
    }
    if (freed.length > 0) this.#send(client, FREE_CLAIMS, [freed.map((each) => each.tenantId), freed.map((each) => each.requestId)]);
  }

  #sendTraces(client: pg.PoolClient): void {
    const traces = ofKind(this.#bookings, 'trace');
    if (traces.length === 0) return;
    this.#send(client, ADD_DECISIONS, [`[${traces.map((each) => each.record).join(',')}]`, traces.map((each) => each.model)]);
  }

  #send(client: pg.PoolClient, statement: Statement, values: unknown[]): void {
    void this.#noted(client.query({ ...statement, values }));
  }

  #noted<Result>(sent: Promise<Result>): Promise<Result> {
    sent.catch((error: unknown) => {
      this.statementError ??= error;
    });
    this.#sent.push(sent);
    return sent;
  }
}

interface ClaimKey {
  readonly tenantId: string;
  readonly requestId: string;
}

export const claimId = ({ tenantId, requestId }: ClaimKey): string => `${tenantId}\n${requestId}`;
export const byClaim = (one: ClaimKey, other: ClaimKey): number => (claimId(one) < claimId(other) ? -1 : 1);
