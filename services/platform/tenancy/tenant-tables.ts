/**
 * Which tables hold rows of tenants, asked of the database's own catalogue: a table that a later version adds is found
 * without anybody remembering it here.
 *
 * A node's schemas are those that migrations have opened to the application role, so that what else lives in the same
 * database is not touched, whatever its columns are called. The audit stays: it says who did what, and holds no content.
 */
import type pg from 'pg';
import { APPLICATION_ROLE } from '../db/pool.ts';

export interface TenantTable {
  /** `schema.table`, for people. */
  readonly name: string;
  /** The same, quoted for SQL. */
  readonly quoted: string;
}

interface TableRow {
  readonly oid: string;
  readonly name: string;
  readonly quoted: string;
  /** Tables that rows of this one refer to. */
  readonly parents: readonly string[];
}

const TABLES = `
  SELECT c.oid::text AS oid, n.nspname || '.' || c.relname AS name, format('%I.%I', n.nspname, c.relname) AS quoted,
    ARRAY(SELECT f.confrelid::text FROM pg_constraint f WHERE f.conrelid = c.oid AND f.contype = 'f' AND f.confrelid <> c.oid) AS parents
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
  WHERE c.relkind = 'r' AND n.nspname <> 'audit' AND c.oid <> 'directory.tenants'::regclass
    AND EXISTS (SELECT FROM aclexplode(n.nspacl) g WHERE g.grantee = '${APPLICATION_ROLE}'::regrole AND g.privilege_type = 'USAGE')
  ORDER BY name`;

/** All but `directory.tenants` itself, those that refer to others first. */
export async function tenantTables(client: Pick<pg.ClientBase, 'query'>): Promise<readonly TenantTable[]> {
  const { rows } = await client.query<TableRow>(TABLES);
  const byOid = new Map(rows.map((row) => [row.oid, row]));
  const ordered: TenantTable[] = [];
  const placed = new Set<string>();
  // Whoever is placed goes to the front, after its parents were: so it stands before them.
  const place = (row: TableRow): void => {
    if (placed.has(row.oid)) return;
    placed.add(row.oid);
    for (const parent of row.parents) if (byOid.has(parent)) place(byOid.get(parent)!);
    ordered.unshift({ name: row.name, quoted: row.quoted });
  };
  for (const row of rows) place(row);
  return ordered;
}
