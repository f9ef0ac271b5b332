/** The statements of webhooks in Postgres. Deliveries come into being in a trigger: migrations/0006-webhooks.ts. */

const WEBHOOK_COLUMNS = `w.tenant_id, w.webhook_id, w.url, w.event_types, w.agent_ids, w.enabled, w.description,
  (extract(epoch FROM w.created_at) * 1000)::float8 AS created_ms, (extract(epoch FROM w.updated_at) * 1000)::float8 AS updated_ms,
  (extract(epoch FROM w.last_success_at) * 1000)::float8 AS success_ms, (extract(epoch FROM w.last_failure_at) * 1000)::float8 AS failure_ms,
  w.consecutive_failures, w.disabled_reason`;

/** One at a time for a tenant, so that the count behind it is exact. */
export const LOCK_WEBHOOKS = { name: 'ao_lock_webhooks', text: `SELECT pg_advisory_xact_lock(hashtextextended('webhooks ' || $1::text, 0))` };

export const FIND_BY_KEY = {
  name: 'ao_find_webhook_by_key',
  text: `SELECT ${WEBHOOK_COLUMNS}, w.request_hash FROM orchestrator.webhooks w WHERE w.tenant_id = $1 AND w.principal_id = $2 AND w.idempotency_key = $3`,
};

/** No row: the limit is reached. */
export const CREATE_WEBHOOK = {
  name: 'ao_create_webhook',
  text: `INSERT INTO orchestrator.webhooks AS w (tenant_id, webhook_id, url, event_types, agent_ids, enabled, description, secret,
      principal_id, idempotency_key, request_hash, created_at, updated_at)
    SELECT $1, $2, $3, $4::text[], $5::text[], $6, $7, $8, $9, $10, $11, clock_timestamp(), clock_timestamp()
    WHERE (SELECT count(*) FROM orchestrator.webhooks o WHERE o.tenant_id = $1) < $12::int
    RETURNING ${WEBHOOK_COLUMNS}`,
};

export const GET_WEBHOOK = { name: 'ao_get_webhook', text: `SELECT ${WEBHOOK_COLUMNS} FROM orchestrator.webhooks w WHERE w.tenant_id = $1 AND w.webhook_id = $2` };

export const LIST_WEBHOOKS = {
  name: 'ao_list_webhooks',
  text: `SELECT ${WEBHOOK_COLUMNS} FROM orchestrator.webhooks w WHERE w.tenant_id = $1 AND w.webhook_id > $2 ORDER BY w.webhook_id LIMIT $3`,
};

/** What failed before belongs to the definition that was replaced. $8 the new secret or null, $9 milliseconds of overlap. */
export const REPLACE_WEBHOOK = {
  name: 'ao_replace_webhook',
  text: `WITH replaced AS (
      UPDATE orchestrator.webhooks w SET url = $3, event_types = $4::text[], agent_ids = $5::text[], enabled = $6, description = $7,
        secret = coalesce($8, w.secret),
        previous_secret = CASE WHEN $8::text IS NULL THEN w.previous_secret ELSE w.secret END,
        previous_secret_until = CASE WHEN $8::text IS NULL THEN w.previous_secret_until ELSE clock_timestamp() + $9::float8 * interval '1 millisecond' END,
        consecutive_failures = 0, disabled_reason = NULL, paused_until = NULL, updated_at = clock_timestamp()
      WHERE w.tenant_id = $1 AND w.webhook_id = $2
      RETURNING ${WEBHOOK_COLUMNS}
    ), hastened AS (
      UPDATE orchestrator.webhook_deliveries d SET next_attempt_at = clock_timestamp()
      WHERE d.tenant_id = $1 AND d.webhook_id = $2 AND d.state = 'pending' AND d.attempts > 0
    )
    SELECT * FROM replaced`,
};

export const DELETE_WEBHOOK = { name: 'ao_delete_webhook', text: 'DELETE FROM orchestrator.webhooks w WHERE w.tenant_id = $1 AND w.webhook_id = $2' };

export const DELETE_DELIVERIES = { name: 'ao_delete_webhook_deliveries', text: 'DELETE FROM orchestrator.webhook_deliveries d WHERE d.tenant_id = $1 AND d.webhook_id = $2' };

const TARGET_COLUMNS = `w.url, w.secret, CASE WHEN w.previous_secret_until > clock_timestamp() THEN w.previous_secret END AS previous_secret, w.consecutive_failures`;

export const GET_TARGET = { name: 'ao_webhook_target', text: `SELECT ${TARGET_COLUMNS} FROM orchestrator.webhooks w WHERE w.tenant_id = $1 AND w.webhook_id = $2` };

/** $3 and $4: the run and the sequence to continue before; nulls for the beginning. $6: one state, or null for all. */
export const LIST_DELIVERIES = {
  name: 'ao_list_webhook_deliveries',
  text: `SELECT d.run_id, d.sequence, d.event_id, d.type, d.attempts, d.state, d.last_status_code, d.last_error,
      CASE WHEN d.state = 'pending' THEN (extract(epoch FROM d.next_attempt_at) * 1000)::float8 END AS next_ms,
      (extract(epoch FROM d.created_at) * 1000)::float8 AS created_ms,
      CASE WHEN d.state = 'delivered' THEN (extract(epoch FROM d.ended_at) * 1000)::float8 END AS delivered_ms
    FROM orchestrator.webhook_deliveries d
    WHERE d.tenant_id = $1 AND d.webhook_id = $2 AND ($3::text IS NULL OR (d.run_id, d.sequence) < ($3::text, $4::int))
      AND ($6::text IS NULL OR d.state = $6)
    ORDER BY d.run_id DESC, d.sequence DESC LIMIT $5`,
};

/** Those that waited longest first. A webhook whose oldest events wait for another attempt may be taken in vain; `due` tells. */
export const CLAIM_WEBHOOKS = {
  name: 'ao_claim_webhooks',
  text: `WITH free AS (
      SELECT w.tenant_id, w.webhook_id FROM orchestrator.webhooks w
      WHERE w.enabled AND (w.lease_token IS NULL OR w.lease_until < statement_timestamp())
        AND (w.paused_until IS NULL OR w.paused_until <= statement_timestamp())
        AND EXISTS (SELECT FROM orchestrator.webhook_deliveries d WHERE d.tenant_id = w.tenant_id AND d.webhook_id = w.webhook_id
          AND d.state = 'pending' AND d.next_attempt_at <= statement_timestamp())
      ORDER BY w.lease_until NULLS FIRST LIMIT $1 FOR UPDATE OF w SKIP LOCKED
    )
    UPDATE orchestrator.webhooks w SET lease_token = gen_random_uuid()::text, lease_owner = $2,
      lease_until = clock_timestamp() + $3::float8 * interval '1 millisecond'
    FROM free f WHERE w.tenant_id = f.tenant_id AND w.webhook_id = f.webhook_id
    RETURNING w.tenant_id, w.webhook_id, w.lease_token`,
};

/**
 * The oldest pending delivery of each run, found by jumping from run to run over the index of what is pending, so
 * that a long queue of one run costs no more than a short one; and what follows it in its run.
 */
export const DUE_DELIVERIES = {
  name: 'ao_due_webhook_deliveries',
  text: `WITH RECURSIVE target AS (
      SELECT ${TARGET_COLUMNS}, w.enabled AND (w.paused_until IS NULL OR w.paused_until <= statement_timestamp()) AS open
      FROM orchestrator.webhooks w WHERE w.tenant_id = $1 AND w.webhook_id = $2 AND w.lease_token = $3
    ), heads AS (
      (SELECT d.run_id, d.next_attempt_at FROM orchestrator.webhook_deliveries d
        WHERE d.tenant_id = $1 AND d.webhook_id = $2 AND d.state = 'pending' AND (SELECT open FROM target)
        ORDER BY d.run_id, d.sequence LIMIT 1)
      UNION ALL
      SELECT n.run_id, n.next_attempt_at FROM heads h CROSS JOIN LATERAL (
        SELECT d.run_id, d.next_attempt_at FROM orchestrator.webhook_deliveries d
        WHERE d.tenant_id = $1 AND d.webhook_id = $2 AND d.state = 'pending' AND d.run_id > h.run_id
        ORDER BY d.run_id, d.sequence LIMIT 1) n
    ), chosen AS (
      SELECT run_id FROM heads WHERE next_attempt_at <= statement_timestamp() AND run_id <> ALL ($6::text[]) LIMIT $4::int
    )
    SELECT t.url, t.secret, t.previous_secret, t.consecutive_failures, f.*
    FROM target t LEFT JOIN (
      SELECT c.run_id, d.sequence, d.event_id, d.attempts, (extract(epoch FROM statement_timestamp() - d.created_at) * 1000)::float8 AS age_ms,
        r.agent_id, r.traceparent, e.type, (extract(epoch FROM e.time) * 1000)::float8 AS time_ms, e.step_id, e.span_id, e.payload
      FROM chosen c CROSS JOIN LATERAL (
        SELECT * FROM orchestrator.webhook_deliveries d
        WHERE d.tenant_id = $1 AND d.webhook_id = $2 AND d.run_id = c.run_id AND d.state = 'pending' ORDER BY d.sequence LIMIT $5::int) d
      LEFT JOIN orchestrator.runs r ON r.tenant_id = $1 AND r.run_id = d.run_id
      LEFT JOIN orchestrator.run_events e ON e.tenant_id = $1 AND e.run_id = d.run_id AND e.sequence = d.sequence
    ) f ON true
    ORDER BY f.run_id, f.sequence`,
};

/** Outcomes of many webhooks, one each. The lease is compared in the statement that writes; nothing follows where it is lost. */
export const SETTLE_DELIVERIES = {
  name: 'ao_settle_webhook_deliveries',
  text: `WITH s AS (
      SELECT * FROM json_to_recordset($1::json) AS s (ord int, tenant_id text, webhook_id text, token text, run_id text, sequence int, state text,
        status_code int, error text, retry_ms float8, endpoint text, pause_ms float8, disable text, max_failures int, hasten boolean)
    ), clock AS (SELECT clock_timestamp() AS now
    ), w AS (
      UPDATE orchestrator.webhooks w SET
        last_success_at = CASE WHEN s.endpoint = 'ok' THEN clock.now ELSE w.last_success_at END,
        last_failure_at = CASE WHEN s.endpoint = 'failed' THEN clock.now ELSE w.last_failure_at END,
        consecutive_failures = CASE s.endpoint WHEN 'ok' THEN 0 WHEN 'failed' THEN w.consecutive_failures + 1 ELSE w.consecutive_failures END,
        paused_until = CASE WHEN s.pause_ms > 0 THEN clock.now + s.pause_ms * interval '1 millisecond' WHEN s.endpoint = 'ok' THEN NULL ELSE w.paused_until END,
        enabled = w.enabled AND s.disable IS NULL AND NOT (s.endpoint = 'failed' AND w.consecutive_failures + 1 >= s.max_failures),
        disabled_reason = CASE WHEN NOT w.enabled THEN w.disabled_reason WHEN s.disable IS NOT NULL THEN s.disable
          WHEN s.endpoint = 'failed' AND w.consecutive_failures + 1 >= s.max_failures THEN 'too_many_failures' ELSE w.disabled_reason END
      FROM s, clock WHERE w.tenant_id = s.tenant_id AND w.webhook_id = s.webhook_id AND w.lease_token = s.token
      RETURNING s.ord
    ), d AS (
      UPDATE orchestrator.webhook_deliveries d SET
        state = s.state,
        attempts = d.attempts + CASE WHEN s.endpoint = 'untouched' THEN 0 ELSE 1 END,
        last_status_code = s.status_code,
        last_error = s.error,
        next_attempt_at = clock.now + s.retry_ms * interval '1 millisecond',
        ended_at = CASE WHEN s.state = 'pending' THEN NULL ELSE clock.now END
      FROM w JOIN s ON s.ord = w.ord, clock
      WHERE d.tenant_id = s.tenant_id AND d.webhook_id = s.webhook_id AND d.run_id = s.run_id AND d.sequence = s.sequence AND d.state = 'pending'
    ), others AS (
      UPDATE orchestrator.webhook_deliveries d SET next_attempt_at = clock.now
      FROM w JOIN s ON s.ord = w.ord, clock
      WHERE s.hasten AND d.tenant_id = s.tenant_id AND d.webhook_id = s.webhook_id AND d.state = 'pending' AND d.attempts > 0
        AND (d.run_id, d.sequence) <> (s.run_id, s.sequence)
    )
    SELECT ord FROM w`,
};

export const EXTEND_WEBHOOKS = {
  name: 'ao_extend_webhooks',
  text: `UPDATE orchestrator.webhooks w SET lease_until = clock_timestamp() + $2::float8 * interval '1 millisecond'
    FROM json_to_recordset($1::json) AS l (tenant_id text, webhook_id text, token text)
    WHERE w.tenant_id = l.tenant_id AND w.webhook_id = l.webhook_id AND w.lease_token = l.token
    RETURNING w.lease_token AS token`,
};

export const RELEASE_WEBHOOK = {
  name: 'ao_release_webhook',
  text: `UPDATE orchestrator.webhooks w SET lease_token = NULL, lease_owner = NULL, lease_until = clock_timestamp()
    WHERE w.tenant_id = $1 AND w.webhook_id = $2 AND w.lease_token = $3`,
};

export const PRUNE_DELIVERIES = {
  name: 'ao_prune_webhook_deliveries',
  text: `DELETE FROM orchestrator.webhook_deliveries d WHERE d.ctid = ANY (ARRAY(
      SELECT o.ctid FROM orchestrator.webhook_deliveries o
      WHERE o.state <> 'pending' AND o.ended_at < statement_timestamp() - $1::float8 * interval '1 millisecond' LIMIT 5000))`,
};

/** Left behind by a write that committed while its webhook was being deleted. */
export const PRUNE_ORPHANS = {
  name: 'ao_prune_webhook_orphans',
  text: `DELETE FROM orchestrator.webhook_deliveries d WHERE d.state = 'pending'
    AND NOT EXISTS (SELECT FROM orchestrator.webhooks w WHERE w.tenant_id = d.tenant_id AND w.webhook_id = d.webhook_id)`,
};
