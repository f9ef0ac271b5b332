/** Statements of the usage store. Keys of budgets travel as arrays, in one order for everybody. */
import type { BudgetKey } from './usage-postgres-leases.ts';

/** Names of the statements are their own: a connection prepares each once. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

const AT = "to_timestamp(k.start_ms / 1000.0)";
const KEYS = 'unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[]) AS k (tenant_id, scope, scope_id, time_window, start_ms)';
const ON_KEY = (table: string): string => `${table}.tenant_id = k.tenant_id AND ${table}.scope = k.scope AND ${table}.scope_id = k.scope_id AND ${table}.time_window = k.time_window AND ${table}.window_start = ${AT}`;
const BUDGET_ID = 'b.tenant_id, b.scope, b.scope_id, b.time_window, (extract(epoch FROM b.window_start) * 1000)::float8 AS start_ms';

/** Values of `KEYS`. */
export function keyColumns(keys: readonly BudgetKey[]): unknown[] {
  return [keys.map((key) => key.tenantId), keys.map((key) => key.scope), keys.map((key) => key.scopeId), keys.map((key) => key.window), keys.map((key) => key.windowStartMs)];
}

/** What the window of budget `k` has seen, from entry `first_entry` on. */
export const SEEN_BY_BUDGET = `
      SELECT COALESCE(sum(e.input_tokens + e.output_tokens), 0) AS tokens, COALESCE(sum(e.micro_usd), 0) AS micro_usd FROM model_policy.usage_entries e
      WHERE e.tenant_id = k.tenant_id AND e.entry_id >= k.first_entry AND e.at >= ${AT}
        AND (k.scope = 'tenant' OR (k.scope = 'agent' AND e.agent_id = k.scope_id) OR (k.scope = 'principal' AND e.principal_id = k.scope_id))`;

/** A budget that is met for the first time in its window starts with what the window has seen already, from entry $6 on. */
export const OPEN_BUDGETS: Statement = {
  name: 'mp_open_budgets',
  text: `INSERT INTO model_policy.budgets (tenant_id, scope, scope_id, time_window, window_start, spent_tokens, spent_micro_usd)
    SELECT k.tenant_id, k.scope, k.scope_id, k.time_window, ${AT}, s.tokens, s.micro_usd
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[], $6::text[]) AS k (tenant_id, scope, scope_id, time_window, start_ms, first_entry) CROSS JOIN LATERAL (${SEEN_BY_BUDGET}) s
    ON CONFLICT DO NOTHING`,
};

const IN_ORDER = 'ORDER BY b.tenant_id, b.scope, b.scope_id, b.time_window, b.window_start FOR UPDATE OF b';

/** Locks in one order for everybody, and before any lease, so that nobody waits in a circle. */
export const LOCK_BUDGETS: Statement = { name: 'mp_lock_budgets', text: `SELECT FROM model_policy.budgets b JOIN ${KEYS} ON ${ON_KEY('b')} ${IN_ORDER}` };

export const READ_BUDGETS: Statement = {
  name: 'mp_read_locked_budgets',
  text: `SELECT ${BUDGET_ID}, b.spent_tokens::float8 AS spent_tokens, b.reserved_tokens::float8 AS reserved_tokens, b.spent_micro_usd::float8 AS spent_micro_usd, b.reserved_micro_usd::float8 AS reserved_micro_usd
    FROM model_policy.budgets b JOIN ${KEYS} ON ${ON_KEY('b')} ${IN_ORDER}`,
};

/** Proves that this process still counts as alive, and keeps it from being swept until the transaction ends. */
export const NOTE_TAKING: Statement = { name: 'mp_note_taking', text: 'UPDATE model_policy.usage_replicas SET last_taking = $2 WHERE replica_id = $1 RETURNING replica_id' };
export const LAST_TAKING: Statement = { name: 'mp_last_taking', text: 'SELECT last_taking FROM model_policy.usage_replicas WHERE replica_id = $1' };

export const OWN_LEASES: Statement = {
  name: 'mp_own_leases',
  text: `SELECT ${BUDGET_ID.replaceAll('b.', 'l.')}, l.tokens::float8 AS tokens, l.micro_usd::float8 AS micro_usd FROM model_policy.usage_leases l JOIN ${KEYS} ON ${ON_KEY('l')} WHERE l.replica_id = $6`,
};

/** $6 and $7: by how much leases grow, or shrink; $8 whether they are tight; $9 the process. */
export const TAKE_LEASES: Statement = {
  name: 'mp_take_leases',
  text: `INSERT INTO model_policy.usage_leases AS l (tenant_id, scope, scope_id, time_window, window_start, replica_id, tokens, micro_usd, tight)
    SELECT k.tenant_id, k.scope, k.scope_id, k.time_window, ${AT}, $9, GREATEST(k.tokens, 0), GREATEST(k.micro_usd, 0), k.tight
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[], $6::bigint[], $7::bigint[], $8::boolean[]) AS k (tenant_id, scope, scope_id, time_window, start_ms, tokens, micro_usd, tight)
    ON CONFLICT (tenant_id, scope, scope_id, time_window, window_start, replica_id) DO NOTHING`,
};

export const CHANGE_LEASES: Statement = {
  name: 'mp_change_leases',
  text: `UPDATE model_policy.usage_leases l SET tokens = l.tokens + k.tokens, micro_usd = l.micro_usd + k.micro_usd, tight = k.tight, taken_at = clock_timestamp()
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[], $6::bigint[], $7::bigint[], $8::boolean[]) AS k (tenant_id, scope, scope_id, time_window, start_ms, tokens, micro_usd, tight)
    WHERE ${ON_KEY('l')} AND l.replica_id = $9`,
};

export const DROP_LEASES: Statement = { name: 'mp_drop_leases', text: `DELETE FROM model_policy.usage_leases l USING ${KEYS} WHERE ${ON_KEY('l')} AND l.replica_id = $6` };

/** $6 and $7: by how much the reserved part grows, or shrinks. */
export const CHANGE_RESERVED: Statement = {
  name: 'mp_change_reserved',
  text: `UPDATE model_policy.budgets b SET reserved_tokens = b.reserved_tokens + k.tokens, reserved_micro_usd = b.reserved_micro_usd + k.micro_usd
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[], $6::bigint[], $7::bigint[]) AS k (tenant_id, scope, scope_id, time_window, start_ms, tokens, micro_usd)
    WHERE ${ON_KEY('b')}`,
};

/** Asks the other processes that may have something of these budgets left over to give it back; answers which they are. */
export const RECALL: Statement = {
  name: 'mp_recall',
  text: `SELECT DISTINCT ${BUDGET_ID.replaceAll('b.', 'l.')}, pg_notify('agentos_usage_recall', jsonb_build_array(l.tenant_id, l.scope, l.scope_id, l.time_window, (extract(epoch FROM l.window_start) * 1000)::bigint)::text)::text AS sent
    FROM model_policy.usage_leases l JOIN ${KEYS} ON ${ON_KEY('l')} WHERE l.replica_id <> $6 AND NOT l.tight AND (l.tokens > 0 OR l.micro_usd > 0)`,
};

/**
 * $6 and $7 what was spent, $8 and $9 what leaves the lease of process $10. A lease that was swept meanwhile has given
 * back everything already, so only the spending is booked then.
 */
export const BOOK: Statement = {
  name: 'mp_book',
  text: `WITH k AS MATERIALIZED (
      SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::text[])
        AS k (tenant_id, scope, scope_id, time_window, start_ms, spent_tokens, spent_micro_usd, lease_tokens, lease_micro_usd, replica_id)),
    l AS (
      UPDATE model_policy.usage_leases l SET tokens = l.tokens - k.lease_tokens, micro_usd = l.micro_usd - k.lease_micro_usd
      FROM k WHERE ${ON_KEY('l')} AND l.replica_id = k.replica_id AND (k.lease_tokens > 0 OR k.lease_micro_usd > 0)
      RETURNING k.*),
    s AS (
      SELECT k.tenant_id, k.scope, k.scope_id, k.time_window, k.start_ms, sum(k.spent_tokens) AS spent_tokens, sum(k.spent_micro_usd) AS spent_micro_usd,
        COALESCE(sum(l.lease_tokens), 0) AS lease_tokens, COALESCE(sum(l.lease_micro_usd), 0) AS lease_micro_usd
      FROM k LEFT JOIN l USING (tenant_id, scope, scope_id, time_window, start_ms, replica_id) GROUP BY 1, 2, 3, 4, 5)
    UPDATE model_policy.budgets b SET spent_tokens = b.spent_tokens + k.spent_tokens, spent_micro_usd = b.spent_micro_usd + k.spent_micro_usd,
      reserved_tokens = b.reserved_tokens - k.lease_tokens, reserved_micro_usd = b.reserved_micro_usd - k.lease_micro_usd
    FROM s AS k WHERE ${ON_KEY('b')}`,
};

/** $1 the rows as one JSON array (`LedgerRow`), which nobody has to escape. */
export const ADD_ENTRIES: Statement = {
  name: 'mp_insert_entries',
  text: `INSERT INTO model_policy.usage_entries (tenant_id, entry_id, at, request_id, run_id, agent_id, principal_id, operation, model, backend, input_tokens, output_tokens, micro_usd, state, fallback_used, estimated)
    SELECT k."tenantId", k."entryId", to_timestamp(k."atMs" / 1000.0), k."requestId", k."runId", k."agentId", k."principalId", k.operation, k.model, k.backend, k."inputTokens", k."outputTokens", k."costMicroUsd", k.state, k."fallbackUsed", k.estimated
    FROM json_to_recordset($1::json) AS k ("tenantId" text, "entryId" text, "atMs" float8, "requestId" text, "runId" text, "agentId" text, "principalId" text, operation text, model text, backend text,
      "inputTokens" bigint, "outputTokens" bigint, "costMicroUsd" bigint, state text, "fallbackUsed" boolean, estimated boolean)`,
};

const STANDING = (table: string, id: string): string => `SELECT e.tenant_id || ' ' || e.${id} AS id FROM model_policy.${table} e JOIN unnest($1::text[], $2::text[]) AS k (tenant_id, id) ON e.tenant_id = k.tenant_id AND e.${id} = k.id`;
export const STANDING_ENTRIES: Statement = { name: 'mp_standing_entries', text: STANDING('usage_entries', 'entry_id') };
export const STANDING_DECISIONS: Statement = { name: 'mp_standing_decisions', text: STANDING('decisions', 'decision_id') };

/** $1 the decisions as one JSON array, which nobody has to escape; $2 the models that served. */
export const ADD_DECISIONS: Statement = {
  name: 'mp_insert_decisions',
  text: `INSERT INTO model_policy.decisions (tenant_id, decision_id, request_id, at, decision, model, record)
    SELECT k.record ->> 'tenant_id', k.record ->> 'decision_id', k.record ->> 'request_id', (k.record ->> 'at')::timestamptz, k.record -> 'policy' ->> 'decision', k.model, k.record
    FROM ROWS FROM (jsonb_array_elements($1::jsonb), unnest($2::text[])) AS k (record, model) ON CONFLICT DO NOTHING`,
};

/**
 * Free again: a claim that was charged and has run out, and one of a process that is gone and has left no journal. $4 the process,
 * $5 the time kept, $6 that its own open claims count as made now.
 *
 * Every call with an id of its caller's waits for this, so it is one statement and its own transaction: it sets the tenants ($7) that
 * row-level security lets it see, and that its commit does not wait for the disk, before it looks at the first claim. OFFSET 0 keeps
 * the planner from turning that around; were it to happen all the same, row-level security would refuse the rows.
 */
export const CLAIM: Statement = {
  name: 'mp_claim',
  text: `INSERT INTO model_policy.request_claims AS c (tenant_id, request_id, request_hash, replica_id, expires_at)
    SELECT k.tenant_id, k.request_id, k.request_hash, $4, clock_timestamp() + $5 * interval '1 millisecond'
    FROM (SELECT set_config('app.tenant_ids', $7, true) || set_config('synchronous_commit', 'off', true) AS settings OFFSET 0) s
    CROSS JOIN LATERAL (SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) AS k (tenant_id, request_id, request_hash) WHERE s.settings IS NOT NULL OFFSET 0) k
    ON CONFLICT (tenant_id, request_id) DO UPDATE SET request_hash = excluded.request_hash, replica_id = excluded.replica_id, done = false, expires_at = excluded.expires_at
      WHERE (c.done AND c.expires_at <= clock_timestamp()) OR ($6 AND NOT c.done AND c.replica_id = $4 AND c.request_hash = excluded.request_hash)
        OR (NOT c.done AND NOT EXISTS (SELECT FROM model_policy.usage_replicas r WHERE r.replica_id = c.replica_id AND (r.alive_until > clock_timestamp() OR r.journal IS NOT NULL)))
    RETURNING c.tenant_id, c.request_id`,
};

/** $3: after so many milliseconds beyond its time a process with a journal that nobody has found is not waited for. */
export const READ_CLAIMS: Statement = {
  name: 'mp_read_claims',
  text: `SELECT c.tenant_id, c.request_id, c.request_hash, c.done,
      EXISTS (SELECT FROM model_policy.usage_replicas r WHERE r.replica_id = c.replica_id AND r.journal IS NOT NULL AND r.alive_until < clock_timestamp() - $3 * interval '1 millisecond') AS lost
    FROM model_policy.request_claims c
    JOIN unnest($1::text[], $2::text[]) AS k (tenant_id, request_id) ON c.tenant_id = k.tenant_id AND c.request_id = k.request_id`,
};

/** Whether or not the claim itself still stands: it was not waited for on disk. */
export const FINISH_CLAIMS: Statement = {
  name: 'mp_finish_claims',
  text: `INSERT INTO model_policy.request_claims AS c (tenant_id, request_id, request_hash, replica_id, done, expires_at)
    SELECT k.tenant_id, k.request_id, k.request_hash, k.replica_id, true, clock_timestamp() + $5 * interval '1 millisecond'
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS k (tenant_id, request_id, request_hash, replica_id)
    ON CONFLICT (tenant_id, request_id) DO UPDATE SET done = true, expires_at = excluded.expires_at`,
};

export const FREE_CLAIMS: Statement = {
  name: 'mp_free_claims',
  text: 'DELETE FROM model_policy.request_claims c USING unnest($1::text[], $2::text[]) AS k (tenant_id, request_id) WHERE c.tenant_id = k.tenant_id AND c.request_id = k.request_id AND NOT c.done',
};

/** An open claim of these lives ($4), which nobody goes by. */
export const DISOWN_CLAIM: Statement = {
  name: 'mp_disown_claim',
  text: 'DELETE FROM model_policy.request_claims WHERE tenant_id = $1 AND request_id = $2 AND request_hash = $3 AND replica_id = ANY ($4::text[]) AND NOT done',
};

export const OPEN_RATES: Statement = { name: 'mp_open_rates', text: 'INSERT INTO model_policy.request_rates (tenant_id) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING' };
export const LOCK_RATES: Statement = {
  name: 'mp_lock_rates',
  text: 'SELECT tenant_id, arrival_ms, (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now_ms FROM model_policy.request_rates WHERE tenant_id = ANY ($1) ORDER BY tenant_id FOR UPDATE',
};
export const SET_RATES: Statement = {
  name: 'mp_set_rates',
  text: 'UPDATE model_policy.request_rates r SET arrival_ms = k.arrival_ms FROM unnest($1::text[], $2::float8[]) AS k (tenant_id, arrival_ms) WHERE r.tenant_id = k.tenant_id',
};
