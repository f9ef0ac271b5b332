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

/** Rights on a table that belongs to no tenant. */
export function sharedTable(table: string, options: Pick<TenantTableOptions, 'grants' | 'role'> = {}): readonly string[] {
  return [grant(table, options.role ?? APPLICATION_ROLE, options.grants)];
}

function grant(table: string, role: string, grants: TenantTableOptions['grants']): string {
  return `GRANT ${(grants ?? ['SELECT', 'INSERT', 'UPDATE', 'DELETE']).join(', ')} ON ${table} TO ${role}`;
}
