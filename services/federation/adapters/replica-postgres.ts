/**
 * Replicas in Postgres. A batch of any size is two round trips: the first locks the rows of its runs and asks who holds the
 * ids and places, the second writes what is new, counts how far each run is whole, and commits.
 */
import type pg from 'pg';
import { AuditTrail, withAudit } from '../../platform/audit/audit-trail.ts';
import { storableJson } from '../../platform/db/storable.ts';
import { withScheduler, withTenant } from '../../platform/db/transaction.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { ReplicaExtent, ReplicaPort, StoreVerdict } from '../ports/replica.ts';
import { isTerminal, type WireEvent } from '../replication/event-digest.ts';
import { judgeEvents, type JudgedEvents } from '../replication/judge-events.ts';
import { replicationDeed, requireOwnEvents } from './replica-deed.ts';
import { DELETE_EXPIRED, DROP_EMPTY_RUNS, ENTER_RUNS, EXTEND_RUNS, HOLDERS, INSERT_EVENTS, LOCK_RUNS, READ_EVENTS, READ_EXTENT, type HolderRow } from './replica-postgres-sql.ts';
import { ReplicaWake } from './replica-wake.ts';

export class PostgresReplica implements ReplicaPort {
  readonly #pool: pg.Pool;
  readonly #trail: AuditTrail;
  readonly #wake = new ReplicaWake();

  constructor(pool: pg.Pool, trail: AuditTrail = new AuditTrail({ service: 'federation' })) {
    this.#pool = pool;
    this.#trail = trail;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.0', durable: true, features: [] };
  }

  async store(auth: AuthContext, sourceStackId: string, events: readonly WireEvent[]): Promise<readonly StoreVerdict[]> {
    requireOwnEvents(auth, events);
    if (events.length === 0) return [];
    const tenantId = auth.tenant_id;
    const runIds = [...new Set(events.map((event) => event.run_id))].sort();
    const verdicts = await withAudit(this.#pool, this.#trail, tenantId, async (client, note) => {
      const judged = await judge(client, tenantId, sourceStackId, runIds, events);
      await write(client, tenantId, runIds, judged);
      const facts = replicationDeed(sourceStackId, events, judged.verdicts);
      if (facts !== null) note(auth, facts);
      return judged.verdicts;
    });
    for (const runId of new Set(events.filter((_, at) => verdicts[at] === 'stored').map((event) => event.run_id))) this.#wake.signal(tenantId, runId);
    return verdicts;
  }

  async read(auth: AuthContext, runId: string, after: { readonly sequence: number; readonly limit: number }): Promise<readonly WireEvent[]> {
    const values = [auth.tenant_id, runId, Math.min(after.sequence, Number.MAX_SAFE_INTEGER), after.limit];
    return withTenant(this.#pool, auth.tenant_id, async (client) => (await client.query<{ event: WireEvent }>({ ...READ_EVENTS, values })).rows.map((row) => row.event));
  }

  async extent(auth: AuthContext, runId: string): Promise<ReplicaExtent | null> {
    const { rows } = await withTenant(this.#pool, auth.tenant_id, (client) =>
      client.query<{ source_stack_id: string; contiguous_to: string; ended: boolean }>({ ...READ_EXTENT, values: [auth.tenant_id, runId] }),
    );
    const row = rows[0];
    return row === undefined ? null : { sourceStackId: row.source_stack_id, contiguousTo: Number(row.contiguous_to), ended: row.ended };
  }

  waitForMore(auth: AuthContext, runId: string, signal: AbortSignal): Promise<boolean> {
    return this.#wake.wait(auth.tenant_id, runId, signal);
  }

  deleteExpired({ storedBefore, limit }: { readonly storedBefore: Date; readonly limit: number }): Promise<number> {
    return withScheduler(this.#pool, async (client) => (await client.query({ ...DELETE_EXPIRED, values: [storedBefore, limit] })).rowCount ?? 0);
  }
}

async function judge(client: pg.PoolClient, tenantId: string, sourceStackId: string, runIds: readonly string[], events: readonly WireEvent[]): Promise<JudgedEvents> {
  const [, locked, holders] = await Promise.all([
    client.query({ ...ENTER_RUNS, values: [tenantId, sourceStackId, runIds] }),
    client.query<{ run_id: string; source_stack_id: string }>({ ...LOCK_RUNS, values: [tenantId, runIds] }),
    client.query<HolderRow>({ ...HOLDERS, values: [tenantId, events.map((event) => event.event_id), events.map((event) => event.run_id), events.map((event) => event.sequence)] }),
  ]);
  const sources = new Map(locked.rows.map((row) => [row.run_id, row.source_stack_id]));
  const held = holders.rows.map((row) => ({ eventId: row.event_id, runId: row.run_id, sequence: Number(row.sequence), digest: row.digest }));
  return judgeEvents(events, held, (runId) => sources.get(runId) === sourceStackId);
}

async function write(client: pg.PoolClient, tenantId: string, runIds: readonly string[], { verdicts, fresh }: JudgedEvents): Promise<void> {
  if (fresh.length > 0) {
    const columns = [fresh.map(({ event }) => event.run_id), fresh.map(({ event }) => event.sequence), fresh.map(({ event }) => event.event_id), fresh.map(({ digest }) => digest), fresh.map(({ event }) => storableJson(event))];
    const runs = new Map<string, boolean>();
    for (const { event } of fresh) runs.set(event.run_id, (runs.get(event.run_id) ?? false) || isTerminal(event));
    const [inserted] = await Promise.all([
      client.query<{ event_id: string }>({ ...INSERT_EVENTS, values: [tenantId, ...columns] }),
      client.query({ ...EXTEND_RUNS, values: [tenantId, [...runs.keys()], [...runs.values()]] }),
    ]);
    // Places are safe under the locks of their runs; an id may have gone to another run in this very moment.
    if (inserted.rows.length < fresh.length) {
      const stored = new Set(inserted.rows.map((row) => row.event_id));
      for (const { event, at } of fresh) if (!stored.has(event.event_id)) verdicts[at] = 'conflict';
    }
  }
  if (verdicts.includes('conflict')) await client.query({ ...DROP_EMPTY_RUNS, values: [tenantId, runIds] });
}
