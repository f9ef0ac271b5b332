/**
 * The second wall between tenants: row-level security for a table whose rows belong to a tenant.
 *
 * Settings are read inside a sub-select, which the planner evaluates once a statement and not once a row.
 */
import { APPLICATION_ROLE } from './pool.ts';

export interface TenantTableOptions {
  /** Rights of the application role; all four when absent. */
  readonly grants?: readonly ('SELECT' | 'INSERT' | 'UPDATE' | 'DELETE')[];
  /** `withScheduler` sees all tenants' rows. */
  readonly scheduler?: boolean;
  /** `withPlatform` sees all tenants' rows. */
  readonly platform?: boolean;
  readonly role?: string;
  /** The column that names the tenant; `tenant_id` when absent. */
  readonly column?: string;
}

// The cast makes the sub-select one array value; without it ANY compares with each of its rows.
const TENANT_IDS = "(SELECT string_to_array(current_setting('app.tenant_ids', true), ','))::text[]";

/** Statements that put a table behind row-level security; `table` is qualified, e.g. `orchestrator.runs`. */
export function tenantTable(table: string, options: TenantTableOptions = {}): readonly string[] {
  if (!/^[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*$/.test(table)) throw new Error(`'${table}' must be schema.table in lower case.`);
  const role = options.role ?? APPLICATION_ROLE;
  const conditions = [`${options.column ?? 'tenant_id'} = ANY (${TENANT_IDS})`];
  if (options.scheduler) conditions.push("(SELECT current_setting('app.scheduler', true)) = 'on'");
  if (options.platform) conditions.push("(SELECT current_setting('app.platform', true)) = 'on'");
  const condition = conditions.join(' OR ');
  return [
    `ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY`,
    `ALTER TABLE ${table} FORCE ROW LEVEL SECURITY`,
    `DROP POLICY IF EXISTS tenant ON ${table}`,
    `CREATE POLICY tenant ON ${table} USING (${condition}) WITH CHECK (${condition})`,
    grant(table, role, options.grants),
  ];
}

/**
 * A function that answers one bigint about the rows of all tenants, for transactions that otherwise see their own.
 *
 * A `SET` clause would say the same in a word, but only a superuser may write one for a setting that is not
 * PostgreSQL's own, and the owner of a managed database is none. So the setting is made and undone in the body; an
 * error in between undoes it with the transaction.
 *
 * @param signature qualified, e.g. `orchestrator.queued_runs(at_most integer)`
 * @param query a SELECT of one bigint
 */
export function seesAllTenants(signature: string, query: string): string {
  return `CREATE FUNCTION ${signature} RETURNS bigint LANGUAGE plpgsql AS $$
    DECLARE
      before text := coalesce(current_setting('app.scheduler', true), '');
      answer bigint;
    BEGIN
      PERFORM set_config('app.scheduler', 'on', true);
      answer := (${query});
      PERFORM set_config('app.scheduler', before, true);
      RETURN answer;
    END $$`;
}

/** Rights on a table that belongs to no tenant. */
export function sharedTable(table: string, options: Pick<TenantTableOptions, 'grants' | 'role'> = {}): readonly string[] {
  return [grant(table, options.role ?? APPLICATION_ROLE, options.grants)];
}

function grant(table: string, role: string, grants: TenantTableOptions['grants']): string {
  return `GRANT ${(grants ?? ['SELECT', 'INSERT', 'UPDATE', 'DELETE']).join(', ')} ON ${table} TO ${role}`;
}
