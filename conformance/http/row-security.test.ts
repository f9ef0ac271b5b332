/**
 * The second wall between tenants, asked of the database's own catalogue, so that a table that a later version adds is
 * found without anybody remembering it here (reliability: row-level security).
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createDatabase, type Database } from '../../services/platform/db/pool.ts';
import { testDatabase, type TestDatabase } from '../harness/database.ts';
import { nodeMigrations } from '../harness/migrations.ts';
import { seedDatabase } from '../harness/seed.ts';
import { verifies } from './verifies.ts';

/** Tables that belong to no tenant. What a tenant owns has no place here. */
const OF_THE_NODE = ['federation.peer_assertions', 'model_policy.canary_roll_backs', 'model_policy.ledger_identity', 'model_policy.usage_replicas'];
/** Bound for the application, and open to its owner, whose one function (below) reads it for the tenants of the transaction. */
const NOT_FORCED = ['orchestrator.memory_words'];
/** Functions with their owner's rights. Each judges the tenant by itself: tampering.test.ts, memory-postgres.test.ts. */
const DEFINERS = ['audit.append(json)', 'orchestrator.match_memory(text,text,tsquery)'];

const SCHEMAS = "n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'";
const TABLES = `
  SELECT n.nspname || '.' || c.relname AS name, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced, pg_get_userbyid(c.relowner) AS owner,
    (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped AND a.attname IN ('tenant_id', 'former_tenant_id')) AS tenant,
    ARRAY(SELECT pg_get_expr(p.polqual, p.polrelid) FROM pg_policy p WHERE p.polrelid = c.oid) AS reading,
    ARRAY(SELECT pg_get_expr(p.polwithcheck, p.polrelid) FROM pg_policy p WHERE p.polrelid = c.oid) AS writing,
    EXISTS (SELECT FROM aclexplode(c.relacl) g WHERE g.grantee = 'agentos_app'::regrole) AS granted
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE ${SCHEMAS} AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1`;

interface TableRow {
  readonly name: string;
  readonly enabled: boolean;
  readonly forced: boolean;
  readonly owner: string;
  readonly tenant: string | null;
  readonly reading: readonly string[];
  readonly writing: readonly (string | null)[];
  readonly granted: boolean;
}

let test: TestDatabase;
let database: Database;
let tables: readonly TableRow[];
beforeAll(async () => {
  test = await testDatabase({ migrations: nodeMigrations });
  await seedDatabase(test.url);
  database = await createDatabase({ url: test.url, applicationName: 'row-security', max: 1 });
  ({ rows: tables } = await test.asSuperuser((client) => client.query<TableRow>(TABLES)));
});
afterAll(async () => {
  await database?.close();
  await test?.drop();
});

it('stands around every table that the application may touch and that is not the node’s own', verifies(['PRS-13-09'], () => {
  const walled = tables.filter(({ tenant }) => tenant !== null);
  expect(walled.length).toBeGreaterThan(20);
  expect(tables.filter(({ tenant, granted }) => tenant === null && granted).map(({ name }) => name)).toEqual(OF_THE_NODE);
  expect(walled.filter(({ enabled, forced }) => !enabled || !forced).map(({ name }) => name)).toEqual(NOT_FORCED);
  for (const { name, enabled, tenant, reading, writing } of walled) {
    const ownRows = expect.stringMatching(new RegExp(`^\\(+${tenant} = ANY .*current_setting\\('app.tenant_ids'::text, true\\)`)) as string;
    // Several policies would let through what any of them does.
    expect([name, enabled, reading, writing]).toEqual([name, true, [ownRows], [ownRows]]);
  }
}));

it('has no gate: the application owns nothing, may make nothing, and acts with nobody’s rights but in functions that judge', async () => {
  expect(tables.filter(({ owner }) => owner === 'agentos_app')).toEqual([]);
  const ask = async (text: string): Promise<readonly Record<string, unknown>[]> => (await test.asSuperuser((client) => client.query<Record<string, unknown>>(text))).rows;
  expect(await ask("SELECT rolsuper, rolbypassrls, rolcreaterole, rolcanlogin FROM pg_roles WHERE rolname = 'agentos_app'")).toEqual([{ rolsuper: false, rolbypassrls: false, rolcreaterole: false, rolcanlogin: false }]);
  expect(await ask(`SELECT n.nspname FROM pg_namespace n WHERE ${SCHEMAS} AND n.nspname <> 'public' AND has_schema_privilege('agentos_app', n.oid, 'CREATE')`), 'public was open to everybody before PostgreSQL 15').toEqual([]);
  const definers = await ask(`SELECT p.oid::regprocedure::text AS name, p.proconfig::text AS settings, has_function_privilege('public', p.oid, 'EXECUTE') AS open FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE ${SCHEMAS} AND p.prosecdef ORDER BY 1`);
  expect(definers.map(({ name, open }) => [name, open])).toEqual(DEFINERS.map((name) => [name, false]));
  for (const { name, settings } of definers) expect([name, settings]).toEqual([name, expect.stringContaining('search_path=pg_catalog, pg_temp')]);
});

it('shows nothing to a statement that acts for nobody', async () => {
  const stored = await test.asSuperuser((client) => client.query<{ keys: number }>('SELECT count(*)::int AS keys FROM directory.tenants'));
  expect(stored.rows[0]!.keys).toBeGreaterThan(0);
  for (const { name } of tables.filter(({ tenant, granted }) => tenant !== null && granted)) {
    for (const open of ['BEGIN', "BEGIN; SET LOCAL app.tenant_ids = ''", "BEGIN; SET LOCAL app.tenant_ids = '*'", "BEGIN; SET LOCAL app.platform = 'true'", "BEGIN; SET LOCAL app.scheduler = '1'"]) {
      await database.pool.query(open);
      expect([name, open, (await database.pool.query<{ seen: number }>(`SELECT count(*)::int AS seen FROM ${name}`)).rows[0]!.seen]).toEqual([name, open, 0]);
      await database.pool.query('ROLLBACK');
    }
  }
});
