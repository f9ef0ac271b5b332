/**
 * AuditPort on PostgreSQL, schema `audit`.
 *
 * A listing reads each service's chain by its key and merges them. It looks at a bounded number of records a page, so
 * that a search for something rare in a long chain comes back, with where to go on, instead of running into a time-out;
 * the log carries no index beside its key, which every run would pay for.
 */
import type pg from 'pg';
import { withPlatform, withTenant } from '../db/transaction.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';
import type { PortCapabilities } from '../port.ts';
import type { AuditFilter, AuditPage, AuditPort, AuditQuery, ChainHead } from './audit.ts';
import { mergePage, type Found, type Window } from './audit-page.ts';
import { exportLine } from './audit-record.ts';
import { AuditTrail, withAudit } from './audit-trail.ts';
import type { AuditRow } from './audit-row.ts';
import type { ChainedRecord, ChainName } from './chain.ts';

const COLUMNS = `r.sequence::float8 AS sequence, to_char(r.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS recorded_at,
  encode(r.previous_hash, 'hex') AS previous_hash, encode(r.hash, 'hex') AS hash, r.entry::text AS text`;

/** $1 tenant, $2 from, $3 to, $4 service: of each chain the places that lie in that time. */
const WINDOWS = {
  name: 'audit_windows',
  text: `SELECT h.service, (CASE WHEN $2::timestamptz IS NULL THEN 1 ELSE audit.place_of(h.tenant_id, h.service, $2) END)::float8 AS first,
      (CASE WHEN $3::timestamptz IS NULL THEN h.sequence + 1 ELSE audit.place_of(h.tenant_id, h.service, $3) END)::float8 AS below
    FROM audit.heads h WHERE h.tenant_id = $1 AND ($4::text IS NULL OR h.service = $4) ORDER BY h.service`,
};

const FILTERED = `($5::text IS NULL OR r.entry->>'action' = $5) AND ($6::text IS NULL OR r.entry->>'outcome' = $6)
  AND ($7::text IS NULL OR r.entry->'principal'->>'principal_id' = $7) AND ($8::text IS NULL OR r.entry->'resource'->>'type' = $8)
  AND ($9::text IS NULL OR r.entry->'resource'->>'id' = $9) AND ($10::text IS NULL OR r.entry->>'correlation_id' = $10)`;

/** $1 tenant, $2 services, $3 from which place on, $4 below which, $5–$10 the filter, $11 records of each service at most. */
const search = (order: 'ASC' | 'DESC'): { name: string; text: string } => ({
  name: `audit_search_${order.toLowerCase()}`,
  text: `SELECT w.service, x.* FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS w (service, first, below)
    CROSS JOIN LATERAL (SELECT ${COLUMNS} FROM audit.records r
      WHERE r.tenant_id = $1 AND r.service = w.service AND r.sequence >= w.first AND r.sequence < w.below AND ${FILTERED}
      ORDER BY r.sequence ${order} LIMIT $11) x`,
});
const SEARCH_DOWN = search('DESC');
const SEARCH_UP = search('ASC');

/** The moment of the oldest record that was looked at, of each window. */
const MOMENTS = {
  name: 'audit_moments',
  text: `SELECT w.service, to_char(r.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS recorded_at
    FROM unnest($2::text[], $3::bigint[]) AS w (service, sequence)
    JOIN audit.records r ON r.tenant_id = $1 AND r.service = w.service AND r.sequence = w.sequence`,
};

const HEADS = `SELECT tenant_id, service, sequence::float8 AS sequence, encode(hash, 'hex') AS hash FROM audit.heads
  WHERE $1::text IS NULL OR tenant_id = $1 ORDER BY tenant_id, service`;

const CHAIN = { name: 'audit_chain', text: `SELECT ${COLUMNS} FROM audit.records r WHERE r.tenant_id = $1 AND r.service = $2 AND r.sequence > $3 ORDER BY r.sequence LIMIT $4` };

/** Records looked at for one page, of each service; and read at once where all are wanted. */
const SCAN = 20_000;
const BATCH = 1_000;

interface RecordRow {
  readonly service: string;
  readonly sequence: number;
  readonly recorded_at: string;
  readonly previous_hash: string;
  readonly hash: string;
  readonly text: string;
}

export interface PostgresAuditOptions {
  /** Records of each service that one page looks at; 20,000 when absent. */
  readonly scan?: number;
}

export class PostgresAudit implements AuditPort {
  readonly #pool: pg.Pool;
  readonly #trail: AuditTrail;
  readonly #scan: number;

  /** @param trail told what `append` committed; its service names no chain here, the rows do. */
  constructor(pool: pg.Pool, trail: AuditTrail = new AuditTrail({ service: 'audit' }), options: PostgresAuditOptions = {}) {
    this.#pool = pool;
    this.#trail = trail;
    this.#scan = options.scan ?? SCAN;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.0', durable: true, features: [] };
  }

  async append(_auth: AuthContext | null, rows: readonly AuditRow[]): Promise<void> {
    if (rows.length === 0) return;
    const tenants = [...new Set(rows.map((row) => row.tenant_id))];
    await withAudit(this.#pool, this.#trail, tenants, async (_client, _note, add) => add(rows));
  }

  list(auth: AuthContext, query: AuditQuery): Promise<AuditPage> {
    return withTenant(this.#pool, auth.tenant_id, async (client) => {
      const windows = (await this.#windows(client, auth, query))
        .map((window) => ({ ...window, below: Math.min(window.below, query.after?.[window.service] ?? window.below) }))
        .map((window) => ({ ...window, floor: Math.max(window.first, window.below - this.#scan) }));
      const found = await this.#search(client, SEARCH_DOWN, auth, query, windows.map((window) => ({ ...window, first: window.floor })), query.limit);
      const unfinished = windows.filter(({ first, floor }) => floor > first);
      const moments = unfinished.length === 0 ? [] : await this.#moments(client, auth, unfinished);
      return mergePage(auth.tenant_id, windows, found, moments, query.limit);
    });
  }

  async *export(auth: AuthContext, filter: AuditFilter, signal?: AbortSignal): AsyncIterable<string> {
    const windows = await withTenant(this.#pool, auth.tenant_id, (client) => this.#windows(client, auth, filter));
    const readers = windows.map((window) => this.#read(auth, filter, window));
    const waiting = await Promise.all(readers.map(async (reader) => ({ reader, next: (await reader.next()).value as Found | undefined })));
    for (;;) {
      signal?.throwIfAborted();
      const oldest = waiting.filter(({ next }) => next !== undefined).sort((a, b) => (a.next!.record.recordedAt < b.next!.record.recordedAt ? -1 : 1))[0];
      if (oldest === undefined) return;
      yield exportLine({ tenantId: auth.tenant_id, service: oldest.next!.service }, oldest.next!.record);
      oldest.next = (await oldest.reader.next()).value as Found | undefined;
    }
  }

  async heads(tenantId: string | null): Promise<readonly ChainHead[]> {
    const { rows } = await withPlatform(this.#pool, (client) => client.query<{ tenant_id: string; service: string; sequence: number; hash: string }>(HEADS, [tenantId]));
    return rows.map(({ tenant_id, ...head }) => ({ tenantId: tenant_id, ...head }));
  }

  async *chain({ tenantId, service }: ChainName): AsyncIterable<ChainedRecord> {
    for (let last = 0; ; ) {
      const { rows } = await withTenant(this.#pool, tenantId, (client) => client.query<RecordRow>({ ...CHAIN, values: [tenantId, service, last, BATCH] }));
      yield* rows.map(recordOfRow);
      if (rows.length < BATCH) return;
      last = rows.at(-1)!.sequence;
    }
  }

  async #windows(client: pg.ClientBase, auth: AuthContext, filter: AuditFilter): Promise<Window[]> {
    const { rows } = await client.query<Window>({ ...WINDOWS, values: [auth.tenant_id, filter.from ?? null, filter.to ?? null, filter.service ?? null] });
    return rows;
  }

  async #search(client: pg.ClientBase, statement: typeof SEARCH_DOWN, auth: AuthContext, filter: AuditFilter, windows: readonly Window[], limit: number): Promise<Found[]> {
    const { action, outcome, principalId, resourceType, resourceId, correlationId } = filter;
    const wanted = [action, outcome, principalId, resourceType, resourceId, correlationId].map((value) => value ?? null);
    const places = [windows.map(({ service }) => service), windows.map(({ first }) => first), windows.map(({ below }) => below)];
    const { rows } = await client.query<RecordRow>({ ...statement, values: [auth.tenant_id, ...places, ...wanted, limit] });
    return rows.map((row) => ({ service: row.service, record: recordOfRow(row) }));
  }

  async #moments(client: pg.ClientBase, auth: AuthContext, windows: readonly (Window & { readonly floor: number })[]): Promise<{ service: string; recorded_at: string }[]> {
    const values = [auth.tenant_id, windows.map(({ service }) => service), windows.map(({ floor }) => floor)];
    return (await client.query<{ service: string; recorded_at: string }>({ ...MOMENTS, values })).rows;
  }

  /** One chain upwards, a batch of places at a time, each in a transaction of its own: a slow reader holds nothing open. */
  async *#read(auth: AuthContext, filter: AuditFilter, { service, first, below }: Window): AsyncGenerator<Found, undefined> {
    for (let place = first; place < below; place += BATCH) {
      const batch = [{ service, first: place, below: Math.min(below, place + BATCH) }];
      yield* await withTenant(this.#pool, auth.tenant_id, (client) => this.#search(client, SEARCH_UP, auth, filter, batch, BATCH));
    }
    return undefined;
  }
}

const recordOfRow = ({ sequence, recorded_at, previous_hash, hash, text }: RecordRow): ChainedRecord => ({
  sequence, recordedAt: recorded_at, previousHash: previous_hash, hash, text,
});
