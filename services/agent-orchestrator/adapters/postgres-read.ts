/** Reading as one tenant. */
import type pg from 'pg';
import { fromDatabaseError } from '../../platform/db/sqlstate.ts';
import { withTenant } from '../../platform/db/transaction.ts';

export interface Statement {
  /** Prepared once a connection under this name; equal names must mean equal texts. */
  readonly name: string;
  readonly text: string;
}

/** Rows of one statement that row-level security confines to `tenantId`. @throws AgentOsError for database errors. */
export function readAsTenant<Row extends pg.QueryResultRow>(pool: pg.Pool, tenantId: string, statement: Statement, values: readonly unknown[]): Promise<Row[]> {
  return withTenant(pool, tenantId, async (client) => (await client.query<Row>({ ...statement, values: [...values] })).rows);
}

/**
 * A read that sets its tenant itself, in the one statement that is its transaction: what is read most is then one
 * statement and not four. `body` names the tenant as `s.tenant_id`, which it cannot read before it is set: OFFSET 0
 * keeps the planner from turning the two around. Were it to happen all the same, row-level security would show
 * nothing.
 */
export function scoped(name: string, body: string): Statement {
  return { name, text: `SELECT x.* FROM (SELECT set_config('app.tenant_ids', $1, true) AS tenant_id OFFSET 0) s CROSS JOIN LATERAL (${body} OFFSET 0) x` };
}

/** Rows of a `scoped` statement; the first value is the tenant. @throws AgentOsError for database errors. */
export async function readScoped<Row extends pg.QueryResultRow>(pool: pg.Pool, statement: Statement, values: readonly [tenantId: string, ...others: unknown[]]): Promise<Row[]> {
  // The setting is a list: a comma would name two tenants.
  if (values[0].includes(',')) return [];
  try {
    return (await pool.query<Row>({ ...statement, values: [...values] })).rows;
  } catch (error) {
    throw fromDatabaseError(error);
  }
}
