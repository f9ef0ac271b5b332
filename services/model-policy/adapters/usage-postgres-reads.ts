/** Questions to the usage store. */
import type pg from 'pg';
import { withTenant } from '../../platform/db/transaction.ts';
import { SEEN_BY_BUDGET } from './usage-postgres-sql.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { windowStart } from '../budgets/windows.ts';
import type { BudgetName, BudgetState, UsageByModel, UsageEntry, UsageFilter } from '../ports/usage.ts';

const ms = (column: string): string => `(extract(epoch FROM ${column}) * 1000)::float8`;

export async function readBudgets(pool: pg.Pool, auth: AuthContext, nowMs: number, asked: readonly BudgetName[], firstEntryOf: (startMs: number) => string): Promise<BudgetState[]> {
  const [met, unmet] = await withTenant(pool, auth.tenant_id, (client) => Promise.all([readMet(client, auth, nowMs), asked.length === 0 ? [] : readUnmet(client, auth, nowMs, asked, firstEntryOf)]));
  return [...met, ...unmet];
}

async function readMet(client: pg.PoolClient, auth: AuthContext, nowMs: number): Promise<BudgetState[]> {
  const starts = (['minute', 'hour', 'day', 'month'] as const).map((window) => windowStart(window, nowMs));
  const { rows } = await client.query<BudgetState>({
    name: 'mp_read_budgets',
    text: `SELECT b.scope, b.scope_id AS "scopeId", b.time_window AS window, ${ms('b.window_start')} AS "windowStartMs", b.spent_tokens::float8 AS "spentTokens",
        b.reserved_tokens::float8 AS "reservedTokens", b.spent_micro_usd::float8 AS "spentMicroUsd", b.reserved_micro_usd::float8 AS "reservedMicroUsd"
      FROM model_policy.budgets b JOIN unnest($2::text[], $3::float8[]) AS k (time_window, start_ms) ON b.time_window = k.time_window AND b.window_start = to_timestamp(k.start_ms / 1000.0)
      WHERE b.tenant_id = $1 ORDER BY b.scope, b.scope_id, b.time_window LIMIT 1000`,
    values: [auth.tenant_id, ['minute', 'hour', 'day', 'month'], starts],
  });
  return rows;
}

/** What a first call would begin them with. One that a call has met costs nothing here: its ledger is not read. */
async function readUnmet(client: pg.PoolClient, auth: AuthContext, nowMs: number, asked: readonly BudgetName[], firstEntryOf: (startMs: number) => string): Promise<BudgetState[]> {
  const starts = asked.map(({ window }) => windowStart(window, nowMs));
  const { rows } = await client.query<BudgetState>({
    name: 'mp_read_unmet_budgets',
    text: `SELECT DISTINCT k.scope, k.scope_id AS "scopeId", k.time_window AS window, k.start_ms AS "windowStartMs", s.tokens::float8 AS "spentTokens", 0::float8 AS "reservedTokens",
        s.micro_usd::float8 AS "spentMicroUsd", 0::float8 AS "reservedMicroUsd"
      FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[], $6::text[]) AS k (tenant_id, scope, scope_id, time_window, start_ms, first_entry) CROSS JOIN LATERAL (${SEEN_BY_BUDGET}) s
      WHERE NOT EXISTS (SELECT FROM model_policy.budgets b WHERE b.tenant_id = k.tenant_id AND b.scope = k.scope AND b.scope_id = k.scope_id AND b.time_window = k.time_window AND b.window_start = to_timestamp(k.start_ms / 1000.0))
      ORDER BY 1, 2, 3`,
    values: [asked.map(() => auth.tenant_id), asked.map(({ scope }) => scope), asked.map(({ scopeId }) => scopeId), asked.map(({ window }) => window), starts, starts.map(firstEntryOf)],
  });
  return rows;
}

const FILTER = `e.tenant_id = $1 AND ($2::float8 IS NULL OR e.at >= to_timestamp($2 / 1000.0)) AND ($3::float8 IS NULL OR e.at < to_timestamp($3 / 1000.0))
  AND ($4::text IS NULL OR e.model = $4) AND ($5::text IS NULL OR e.agent_id = $5) AND ($6::text IS NULL OR e.run_id = $6) AND ($7::text IS NULL OR e.entry_id >= $7)`;

/** The first entry id bounds what the key's index has to look at. */
function filterValues(auth: AuthContext, filter: UsageFilter, firstEntryOf: (startMs: number) => string): unknown[] {
  return [auth.tenant_id, filter.fromMs ?? null, filter.toMs ?? null, filter.model ?? null, filter.agentId ?? null, filter.runId ?? null, filter.fromMs === undefined ? null : firstEntryOf(filter.fromMs)];
}

export async function readByModel(pool: pg.Pool, auth: AuthContext, filter: UsageFilter, firstEntryOf: (startMs: number) => string): Promise<UsageByModel[]> {
  const { rows } = await withTenant(pool, auth.tenant_id, (client) => client.query<UsageByModel>({
    text: `SELECT to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, e.model, e.backend, count(*)::int AS requests, sum(e.input_tokens)::float8 AS "inputTokens",
        sum(e.output_tokens)::float8 AS "outputTokens", sum(e.micro_usd)::float8 AS "costMicroUsd"
      FROM model_policy.usage_entries e WHERE ${FILTER} AND e.state <> 'released' GROUP BY 1, 2, 3 ORDER BY 1 DESC, e.model COLLATE "C", e.backend COLLATE "C"`,
    values: filterValues(auth, filter, firstEntryOf),
  }));
  return rows;
}

export async function readEntries(pool: pg.Pool, auth: AuthContext, query: UsageFilter & { readonly limit: number; readonly before?: string }, firstEntryOf: (startMs: number) => string) {
  const { rows } = await withTenant(pool, auth.tenant_id, (client) => client.query<UsageEntry>({
    text: `SELECT e.entry_id AS "entryId", ${ms('e.at')} AS "atMs", e.request_id AS "requestId", e.run_id AS "runId", e.agent_id AS "agentId", e.principal_id AS "principalId",
        e.operation, e.model, e.backend, e.input_tokens::float8 AS "inputTokens", e.output_tokens::float8 AS "outputTokens", e.micro_usd::float8 AS "costMicroUsd",
        e.state, e.fallback_used AS "fallbackUsed", e.estimated
      FROM model_policy.usage_entries e WHERE ${FILTER} AND ($8::text IS NULL OR e.entry_id < $8) ORDER BY e.entry_id DESC LIMIT $9`,
    values: [...filterValues(auth, query, firstEntryOf), query.before ?? null, query.limit + 1],
  }));
  return { entries: rows.slice(0, query.limit), hasMore: rows.length > query.limit };
}
