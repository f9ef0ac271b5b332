/**
 * The queue in Postgres: leases on rows of `orchestrator.runs`, handed out with FOR UPDATE SKIP LOCKED.
 *
 * A claim is one transaction of two round trips: the first takes the runs (expired leases before anything else, then
 * the smallest ranks), the second, together with COMMIT, writes the events that the first made necessary. Time is the
 * database's own; indexes are usable with `statement_timestamp()`, which does not change within a statement.
 */
import type pg from 'pg';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import { withScheduler, withTenant } from '../../platform/db/transaction.ts';
import type { ClaimOptions, ClaimedRun, QueueDepth, QueuePort, TenantLoad, WorkerIdentity } from '../ports/queue.ts';
import type { EventDraft, RunLease } from '../ports/run-state.ts';
import type { RunWake } from './run-wake.ts';
import { parkRun, unparkRun } from './run-parking-postgres.ts';
import { RUN_COLUMNS, isoTime, recordOf, storableJson, type RunRow, type StoredWork } from './run-rows.ts';

/** $1 limit, $2 worker, $3 lease in milliseconds, $4 fruitless claims at most. */
const CLAIM_RUNS = {
  name: 'ao_claim_runs',
  text: `WITH expired AS (
      SELECT tenant_id, run_id FROM orchestrator.runs
      WHERE status = 'running' AND lease_until < statement_timestamp()
      ORDER BY lease_until LIMIT $1::int FOR UPDATE SKIP LOCKED
    ), fresh AS (
      SELECT tenant_id, run_id FROM orchestrator.runs
      WHERE status = 'queued' AND available_at <= statement_timestamp()
      ORDER BY queue_rank LIMIT greatest(0, $1::int - (SELECT count(*) FROM expired)::int) FOR UPDATE SKIP LOCKED
    ), picked AS (SELECT * FROM expired UNION ALL SELECT * FROM fresh
    ), clock AS (SELECT clock_timestamp() AS now
    )
    UPDATE orchestrator.runs r SET
      status = CASE WHEN r.fruitless_claims >= $4::int THEN 'failed' ELSE 'running' END,
      attempts = CASE WHEN r.fruitless_claims >= $4::int THEN r.attempts ELSE r.attempts + 1 END,
      fruitless_claims = CASE WHEN r.fruitless_claims >= $4::int THEN r.fruitless_claims ELSE r.fruitless_claims + 1 END,
      last_seq = r.last_seq + CASE WHEN r.attempts = 0 OR r.fruitless_claims >= $4::int THEN 1 ELSE 0 END,
      started_at = coalesce(r.started_at, clock.now),
      completed_at = CASE WHEN r.fruitless_claims >= $4::int THEN clock.now END,
      lease_token = CASE WHEN r.fruitless_claims >= $4::int THEN NULL ELSE gen_random_uuid()::text END,
      lease_owner = CASE WHEN r.fruitless_claims >= $4::int THEN NULL ELSE $2::text END,
      lease_until = CASE WHEN r.fruitless_claims >= $4::int THEN NULL ELSE clock.now + $3::float8 * interval '1 millisecond' END
    FROM picked p, clock
    WHERE r.tenant_id = p.tenant_id AND r.run_id = p.run_id
    RETURNING ${RUN_COLUMNS}, r.work, r.lease_token, r.fruitless_claims, (extract(epoch FROM clock.now) * 1000)::float8 AS now_ms`,
};

const NOTE_CLAIMS = {
  name: 'ao_note_claims',
  text: `WITH n AS (
      SELECT * FROM json_to_recordset($1::json) AS n (tenant_id text, run_id text, sequence int, event_id text, type text,
        span_id text, payload json, now_ms float8, poisoned boolean)
    ), e AS (
      INSERT INTO orchestrator.run_events (tenant_id, run_id, sequence, event_id, type, time, span_id, payload)
      SELECT tenant_id, run_id, sequence, event_id, type, to_timestamp(now_ms / 1000), span_id, payload FROM n
    ), r AS (
      UPDATE orchestrator.runs r SET error = n.payload -> 'error' FROM n
      WHERE n.poisoned AND r.tenant_id = n.tenant_id AND r.run_id = n.run_id
    )
    UPDATE orchestrator.tenant_runs q SET active = q.active - d.ended
    FROM (SELECT tenant_id, count(*)::int AS ended FROM n WHERE poisoned GROUP BY tenant_id) d
    WHERE q.tenant_id = d.tenant_id`,
};

// Whoever has a token is running, says a check of the table. Were it said here too, a plan might walk the index of leases.
const HEARTBEAT = {
  name: 'ao_heartbeat',
  text: `UPDATE orchestrator.runs r SET lease_until = clock_timestamp() + $2::float8 * interval '1 millisecond'
    FROM json_to_recordset($1::json) AS l (tenant_id text, run_id text, token text)
    WHERE r.tenant_id = l.tenant_id AND r.run_id = l.run_id AND r.lease_token = l.token
    RETURNING r.lease_token AS token`,
};

const RELEASE = {
  name: 'ao_release',
  text: `UPDATE orchestrator.runs r SET status = 'queued', lease_token = NULL, lease_owner = NULL, lease_until = NULL,
      available_at = clock_timestamp() + $4::float8 * interval '1 millisecond',
      attempts = CASE WHEN $4::float8 = 0 THEN greatest(1, r.attempts - 1) ELSE r.attempts END,
      fruitless_claims = CASE WHEN $4::float8 = 0 THEN greatest(0, r.fruitless_claims - 1) ELSE r.fruitless_claims END
    WHERE r.tenant_id = $1 AND r.run_id = $2 AND r.lease_token = $3`,
};

/** Every run that has not ended, by the two indexes that hold no other: however many have ended, none of them is read. */
const ACTIVE_RUNS = `SELECT tenant_id, 1 AS queued, 0 AS running FROM orchestrator.runs WHERE lease_token IS NULL AND completed_at IS NULL
      UNION ALL SELECT tenant_id, 0, 1 FROM orchestrator.runs WHERE status = 'running'`;

const DEPTH = {
  name: 'ao_depth',
  text: `SELECT coalesce(sum(queued), 0)::float8 AS queued, coalesce(sum(running), 0)::float8 AS running,
      coalesce(sum(abs(coalesce(t.active, 0) - coalesce(queued, 0) - coalesce(running, 0))), 0)::float8 AS drift
    FROM (SELECT tenant_id, sum(queued) AS queued, sum(running) AS running FROM (${ACTIVE_RUNS}) a GROUP BY tenant_id) r
    FULL JOIN orchestrator.tenant_runs t ON t.tenant_id = r.tenant_id`,
};

const LOADS = {
  name: 'ao_loads',
  text: `SELECT tenant_id, sum(queued)::float8 AS queued, sum(running)::float8 AS running FROM (${ACTIVE_RUNS}) a WHERE tenant_id = ANY($1::text[]) GROUP BY tenant_id`,
};

const LOCK_COUNTERS = { name: 'ao_lock_counters', text: 'SELECT t.tenant_id FROM orchestrator.tenant_runs t ORDER BY t.tenant_id FOR UPDATE' };

// A full join is never made by looking through one side for each row of the other, which many tenants would feel; OFFSET 0
// keeps it one.
const RECONCILE = {
  name: 'ao_reconcile',
  text: `UPDATE orchestrator.tenant_runs t SET active = counted.active
    FROM (SELECT t.tenant_id, t.active AS told, coalesce(r.active, 0) AS active
          FROM (SELECT tenant_id, count(*)::int AS active FROM (${ACTIVE_RUNS}) a GROUP BY tenant_id) r
          FULL JOIN orchestrator.tenant_runs t ON t.tenant_id = r.tenant_id OFFSET 0) counted
    WHERE counted.tenant_id = t.tenant_id AND counted.active <> counted.told RETURNING t.tenant_id`,
};

/**
 * Sets every tenant's counter to what its runs say, and answers the tenants whose counter was wrong (C-59). Whoever
 * changes a counter locks it first, so under all locks nothing is under way; the count is a statement of its own,
 * because one that waited for a lock still sees what was there before it waited.
 */
export function reconcileCounters(pool: pg.Pool): Promise<readonly string[]> {
  return withScheduler(pool, async (client) => {
    const locked = client.query(LOCK_COUNTERS);
    locked.catch(() => undefined);
    const { rows } = await client.query<{ tenant_id: string }>(RECONCILE);
    await locked;
    return rows.map((row) => row.tenant_id);
  });
}

type ClaimRow = RunRow & { readonly work: StoredWork; readonly lease_token: string | null; readonly fruitless_claims: number; readonly now_ms: number };

export class PostgresQueue implements QueuePort {
  readonly #pool: pg.Pool;
  readonly #wake: RunWake;

  constructor(pool: pg.Pool, wake: RunWake) {
    this.#pool = pool;
    this.#wake = wake;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.2', durable: true, features: ['fair', 'cross_process_wake', 'parking'] };
  }

  enqueue(_auth: AuthContext, _runId: string): void {
    this.#wake.announceWork();
  }

  async claim(worker: WorkerIdentity, options: ClaimOptions): Promise<readonly ClaimedRun[]> {
    this.#wake.workSeen();
    const values = [options.limit, worker.workerId, options.leaseMs, options.maxAttempts];
    const { rows, noted } = await withScheduler(this.#pool, async (client) => {
      const rows = (await client.query<ClaimRow>({ ...CLAIM_RUNS, values })).rows;
      const notes = rows.flatMap((row) => noteOf(row, options));
      // Not awaited here: COMMIT travels right behind it, and reports a failure as a rollback.
      const noted = notes.length === 0 ? null : client.query({ ...NOTE_CLAIMS, values: [storableJson(notes)] });
      noted?.catch(() => undefined);
      return { rows, noted };
    });
    await noted;
    for (const row of rows) this.#tellTail(row, options);
    for (const row of rows) if (row.lease_token === null) this.#wake.announceRun(row.tenant_id, row.run_id, row.last_seq);
    return rows.flatMap((row) => (row.lease_token === null ? [] : [claimedOf(row, row.lease_token)]));
  }

  #tellTail(row: ClaimRow, options: ClaimOptions): void {
    const draft = draftOf(row, options);
    if (draft === null) return;
    this.#wake.tail.append(row.tenant_id, row.run_id, { drafts: [draft], lastSequence: row.last_seq, time: isoTime(row.now_ms), status: row.status, bytes: 400 });
  }

  waitForWork(maxWaitMs: number, signal: AbortSignal): Promise<void> {
    return this.#wake.waitForWork(maxWaitMs, signal);
  }

  async heartbeat(_worker: WorkerIdentity, leases: readonly RunLease[], leaseMs: number): Promise<readonly RunLease[]> {
    if (leases.length === 0) return [];
    const rows = JSON.stringify(leases.map((lease) => ({ tenant_id: lease.tenantId, run_id: lease.runId, token: lease.token })));
    const kept = await withScheduler(this.#pool, async (client) => (await client.query<{ token: string }>({ ...HEARTBEAT, values: [rows, leaseMs] })).rows);
    const tokens = new Set(kept.map((row) => row.token));
    return leases.filter((lease) => !tokens.has(lease.token));
  }

  async release(auth: AuthContext, lease: RunLease, delayMs: number): Promise<void> {
    const released = await withTenant(this.#pool, auth.tenant_id, async (client) => (await client.query({ ...RELEASE, values: [auth.tenant_id, lease.runId, lease.token, delayMs] })).rowCount);
    if (released === 1 && delayMs === 0) this.#wake.announceWork();
  }

  park(auth: AuthContext, lease: RunLease, maxWaitMs: number): Promise<boolean> {
    return auth.tenant_id === lease.tenantId ? parkRun(this.#pool, lease, maxWaitMs) : Promise.resolve(false);
  }

  async wake(auth: AuthContext, runId: string): Promise<void> {
    if (await unparkRun(this.#pool, auth, runId)) this.#wake.announceWork();
  }

  onWrittenElsewhere(listener: (tenantId: string, runId: string, lastSequence: number) => void): () => void {
    return this.#wake.onWrittenElsewhere(listener);
  }

  async depth(_worker: WorkerIdentity): Promise<QueueDepth> {
    const [row] = await withScheduler(this.#pool, async (client) => (await client.query<{ queued: number; running: number; drift: number }>(DEPTH)).rows);
    return row!;
  }

  async loads(_worker: WorkerIdentity, tenantIds: readonly string[]): Promise<ReadonlyMap<string, TenantLoad>> {
    if (tenantIds.length === 0) return new Map();
    const rows = await withScheduler(this.#pool, async (client) => (await client.query<TenantLoad & { tenant_id: string }>(LOADS, [tenantIds])).rows);
    const found = new Map(rows.map(({ tenant_id: tenantId, queued, running }) => [tenantId, { queued, running }]));
    return new Map(tenantIds.map((tenantId) => [tenantId, found.get(tenantId) ?? { queued: 0, running: 0 }]));
  }
}

/** The first claim of a run is told once; a run that was given up is told its end. */
function draftOf(row: ClaimRow, options: ClaimOptions): EventDraft | null {
  const run = { tenantId: row.tenant_id, runId: row.run_id };
  if (row.lease_token === null) return options.poisoned({ ...run, attempts: row.fruitless_claims });
  return row.attempts > 1 ? null : options.started(run);
}

function noteOf(row: ClaimRow, options: ClaimOptions): Record<string, unknown>[] {
  const draft = draftOf(row, options);
  if (draft === null) return [];
  return [
    {
      tenant_id: row.tenant_id,
      run_id: row.run_id,
      sequence: row.last_seq,
      event_id: draft.eventId,
      type: draft.type,
      span_id: draft.spanId,
      payload: draft.payload,
      now_ms: row.now_ms,
      poisoned: row.lease_token === null,
    },
  ];
}

function claimedOf(row: ClaimRow, token: string): ClaimedRun {
  const { auth, input, context, agent } = row.work;
  return { lease: { tenantId: row.tenant_id, runId: row.run_id, token }, run: { ...recordOf(row), auth, input, context, agent } };
}
