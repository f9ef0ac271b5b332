/**
 * The statements of one flush. Each is set-based: one JSON parameter holds the rows of all runs in the flush, so a
 * flush of a hundred writes makes as many round trips as a flush of one. They are prepared once a connection (each
 * has a name), because planning them costs more than running them.
 */
import { RUN_COLUMNS } from './run-rows.ts';

const NOW_MS = '(extract(epoch FROM clock_timestamp()) * 1000)::float8';

/** Locks the tenants of a flush in one order, so that flushes of several processes cannot lock each other out. */
export const LOCK_TENANTS = {
  name: 'ao_lock_tenants',
  text: `SELECT t.tenant_id, t.active, t.arrival_ms, t.last_ranks::float8[] AS last_ranks FROM orchestrator.tenant_runs t
    WHERE t.tenant_id = ANY ($1::text[]) ORDER BY t.tenant_id FOR UPDATE`,
};

/** Processes that create runs count the queue one after the other; taken before any tenant's lock. */
export const LOCK_QUEUE = { name: 'ao_lock_queue', text: `SELECT pg_advisory_xact_lock(hashtextextended('agentos.orchestrator.queue', 0))` };

export const ADD_TENANTS = {
  name: 'ao_add_tenants',
  text: `INSERT INTO orchestrator.tenant_runs (tenant_id) SELECT n FROM unnest($1::text[]) AS n ORDER BY n ON CONFLICT (tenant_id) DO NOTHING`,
};

/**
 * A run waits when it has neither a lease nor an end: the words of `runs_tenant_waiting`, which no other index of waiting
 * runs fits. Were it told by its status, the queue of all tenants would do as well, and a planner that knows of no waiting
 * run, or of one tenant's alone, would walk that.
 */
const newestRank = (level: number): string =>
  `(SELECT r.queue_rank FROM orchestrator.runs r WHERE r.tenant_id = n.tenant_id AND r.priority = ${level} AND r.lease_token IS NULL AND r.completed_at IS NULL
     ORDER BY r.queue_rank DESC LIMIT 1)::float8`;

/** The clock, where each tenant's lines end, and how long the queue is up to $2; read after the lock, so that all are of this moment. */
export const READ_QUEUE = {
  name: 'ao_read_queue',
  text: `SELECT n.tenant_id, ${newestRank(0)} AS low, ${newestRank(1)} AS normal, ${newestRank(2)} AS high,
      (SELECT orchestrator.smallest_queued_rank())::float8 AS smallest,
      (SELECT CASE WHEN $2::int IS NOT NULL THEN orchestrator.queued_runs($2::int) END)::float8 AS queued, ${NOW_MS} AS now_ms
    FROM unnest($1::text[]) AS n (tenant_id)`,
};

/**
 * A key counts until it has expired and its run has ended. OFFSET 0 keeps the order, one probe of each key: a planner
 * that knows nothing of the tables yet would read every key of the tenant.
 */
export const READ_KEYS = {
  name: 'ao_read_keys',
  text: `SELECT k.ord, i.request_hash, ${RUN_COLUMNS}
    FROM json_to_recordset($1::json) AS k (ord int, tenant_id text, principal_id text, agent_id text, key text)
    CROSS JOIN LATERAL (SELECT * FROM orchestrator.idempotency_keys i
      WHERE i.tenant_id = k.tenant_id AND i.principal_id = k.principal_id AND i.agent_id = k.agent_id AND i.key = k.key OFFSET 0) i
    CROSS JOIN LATERAL (SELECT * FROM orchestrator.runs r WHERE r.tenant_id = i.tenant_id AND r.run_id = i.run_id OFFSET 0) r
    WHERE i.expires_at > statement_timestamp() OR r.status IN ('queued', 'running')`,
};

/**
 * $1 the new runs, $2 what they add to the counters of their tenants, $3 the moment of creation in milliseconds, $4 the
 * events. The counter is raised and not set: runs that ended in this same flush have lowered it since it was read. A run
 * with a token is handed over: it is stored as claimed.
 */
export const CREATE_RUNS = {
  name: 'ao_create_runs',
  text: `WITH n AS (
      SELECT * FROM json_to_recordset($1::json) AS n (tenant_id text, run_id text, agent_id text, agent_version text,
        correlation_id text, traceparent text, principal_id text, idempotency_key text, request_hash text, ttl_hours float8,
        request json, work json, priority smallint, queue_rank bigint, last_seq int, step int, token text, worker text, lease_ms float8)
    ), clock AS (SELECT to_timestamp($3::float8 / 1000) AS now
    ), r AS (
      INSERT INTO orchestrator.runs (tenant_id, run_id, agent_id, agent_version, created_at, correlation_id, traceparent,
        principal_id, idempotency_key, request, work, priority, queue_rank, available_at, last_seq, step,
        status, attempts, fruitless_claims, started_at, lease_token, lease_owner, lease_until)
      SELECT tenant_id, run_id, agent_id, agent_version, now, correlation_id, traceparent,
        principal_id, idempotency_key, request, work, priority, queue_rank, now, last_seq, step,
        CASE WHEN token IS NULL THEN 'queued' ELSE 'running' END, CASE WHEN token IS NULL THEN 0 ELSE 1 END, CASE WHEN token IS NULL THEN 0 ELSE 1 END,
        CASE WHEN token IS NULL THEN NULL ELSE now END, token, worker, clock_timestamp() + lease_ms * interval '1 millisecond'
      FROM n, clock
    ), e AS (
      INSERT INTO orchestrator.run_events (tenant_id, run_id, sequence, event_id, type, time, step_id, span_id, payload)
      SELECT tenant_id, run_id, sequence, event_id, type, now, step_id, span_id, payload
      FROM json_to_recordset($4::json) AS e (tenant_id text, run_id text, sequence int, event_id text, type text, step_id text, span_id text, payload json), clock
    ), k AS (
      INSERT INTO orchestrator.idempotency_keys (tenant_id, principal_id, agent_id, key, request_hash, run_id, created_at, expires_at)
      SELECT tenant_id, principal_id, agent_id, idempotency_key, request_hash, run_id, now, now + make_interval(secs => ttl_hours * 3600)
      FROM n, clock WHERE request_hash IS NOT NULL
      ON CONFLICT (tenant_id, principal_id, agent_id, key) DO UPDATE
        SET request_hash = excluded.request_hash, run_id = excluded.run_id, created_at = excluded.created_at, expires_at = excluded.expires_at
    )
    UPDATE orchestrator.tenant_runs t SET active = t.active + c.admitted, arrival_ms = c.arrival_ms, last_ranks = c.last_ranks
    FROM json_to_recordset($2::json) AS c (tenant_id text, admitted int, arrival_ms float8, last_ranks bigint[]) WHERE t.tenant_id = c.tenant_id`,
};

/**
 * The fence: token and step are compared in the statement that writes. Whoever has a token is running, says a check of
 * the table; were it said here too, the index of leases would do, and a planner that knows of few running runs would walk
 * all of them, and all that ended since the last vacuum, for each transition. Sequences come from the row's own
 * `last_seq`, raised here; events and counters follow from the rows that were really updated.
 */
export const ADVANCE_RUNS = {
  name: 'ao_advance_runs',
  text: `WITH t AS (
      SELECT * FROM json_to_recordset($1::json) AS t (ord int, tenant_id text, run_id text, token text, step int, events int,
        steps int, tool_calls int, model_calls int, status text, output json, error json)
    ), clock AS (SELECT clock_timestamp() AS now
    ), u AS (
      UPDATE orchestrator.runs r SET
        step = r.step + 1,
        fruitless_claims = 0,
        last_seq = r.last_seq + t.events,
        steps_total = r.steps_total + t.steps,
        tool_calls_total = r.tool_calls_total + t.tool_calls,
        model_calls_total = r.model_calls_total + t.model_calls,
        status = coalesce(t.status, r.status),
        output = coalesce(t.output, r.output),
        error = coalesce(t.error, r.error),
        completed_at = CASE WHEN t.status IS NULL THEN r.completed_at ELSE clock.now END,
        lease_token = CASE WHEN t.status IS NULL THEN r.lease_token END,
        lease_owner = CASE WHEN t.status IS NULL THEN r.lease_owner END,
        lease_until = CASE WHEN t.status IS NULL THEN r.lease_until END
      FROM t, clock
      WHERE r.tenant_id = t.tenant_id AND r.run_id = t.run_id
        AND r.lease_token = t.token AND r.step = t.step
      RETURNING t.ord, r.tenant_id, r.run_id, r.last_seq, r.last_seq - t.events AS base, t.status AS ended, clock.now
    ), e AS (
      INSERT INTO orchestrator.run_events (tenant_id, run_id, sequence, event_id, type, time, step_id, span_id, payload)
      SELECT u.tenant_id, u.run_id, u.base + e.idx, e.event_id, e.type, clock.now, e.step_id, e.span_id, e.payload
      FROM u JOIN json_to_recordset($2::json) AS e (ord int, idx int, event_id text, type text, step_id text, span_id text, payload json)
        ON e.ord = u.ord, clock
    ), c AS (
      UPDATE orchestrator.tenant_runs q SET active = q.active - d.ended
      FROM (SELECT tenant_id, count(*)::int AS ended FROM u WHERE u.ended IS NOT NULL GROUP BY tenant_id) d
      WHERE q.tenant_id = d.tenant_id
    )
    SELECT ord, last_seq, (extract(epoch FROM now) * 1000)::float8 AS now_ms FROM u`,
};

/** What became of transitions that the fence refused: applied before, or no longer ours. */
export const READ_BACK = {
  name: 'ao_read_back',
  text: `SELECT b.ord, r.status, r.step, r.last_seq,
      EXISTS (SELECT FROM orchestrator.run_events e WHERE e.tenant_id = b.tenant_id AND e.event_id = b.event_id) AS written
    FROM json_to_recordset($1::json) AS b (ord int, tenant_id text, run_id text, event_id text)
    CROSS JOIN LATERAL (SELECT * FROM orchestrator.runs r WHERE r.tenant_id = b.tenant_id AND r.run_id = b.run_id OFFSET 0) r`,
};

export const CANCEL_RUNS = {
  name: 'ao_cancel_runs',
  text: `WITH t AS (
      SELECT * FROM json_to_recordset($1::json) AS t (ord int, tenant_id text, run_id text, event_id text, type text, span_id text, payload json)
    ), clock AS (SELECT clock_timestamp() AS now
    ), u AS (
      UPDATE orchestrator.runs r SET status = 'canceled', completed_at = clock.now, last_seq = r.last_seq + 1,
        lease_token = NULL, lease_owner = NULL, lease_until = NULL
      FROM t, clock
      WHERE r.tenant_id = t.tenant_id AND r.run_id = t.run_id AND r.status IN ('queued', 'running')
      RETURNING t.ord, ${RUN_COLUMNS}
    ), e AS (
      INSERT INTO orchestrator.run_events (tenant_id, run_id, sequence, event_id, type, time, span_id, payload)
      SELECT u.tenant_id, u.run_id, u.last_seq, t.event_id, t.type, clock.now, t.span_id, t.payload FROM u JOIN t ON t.ord = u.ord, clock
    ), c AS (
      UPDATE orchestrator.tenant_runs q SET active = q.active - d.ended
      FROM (SELECT tenant_id, count(*)::int AS ended FROM u GROUP BY tenant_id) d
      WHERE q.tenant_id = d.tenant_id
    )
    SELECT * FROM u`,
};
