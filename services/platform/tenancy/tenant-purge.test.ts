/** Purging on a database with every service's tables, and one that nobody here has heard of. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type pg from 'pg';
import { testDatabase, type TestDatabase } from '../../../conformance/harness/database.ts';
import { nodeMigrations } from '../../../conformance/harness/migrations.ts';
import { AUDIT_SCHEMA, auditMigrations } from '../audit/audit-migrations.ts';
import { createApiKey } from '../auth/api-key.ts';
import { migrate } from '../db/migrate.ts';
import { createDatabase, type Database } from '../db/pool.ts';
import { tenantTable } from '../db/tenant-table.ts';
import type { AuthContext } from './auth-context.ts';
import { PostgresDirectory } from './directory-postgres.ts';
import { PostgresTenantPurge } from './tenant-purge-postgres.ts';
import { tenantTables } from './tenant-tables.ts';

const ADMIN: AuthContext = { tenant_id: 'tnt_admin', principal: { principal_id: 'usr_admin', principal_type: 'user' }, scopes: ['tenants:admin'] };
const NEVER = new AbortController().signal;

let scratch: TestDatabase;
let database: Database;
let directory: PostgresDirectory;
beforeAll(async () => {
  scratch = await testDatabase({ migrations: nodeMigrations });
  await migrate({ url: scratch.url, schema: AUDIT_SCHEMA, migrations: auditMigrations });
  await migrate({
    url: scratch.url,
    schema: 'later',
    migrations: [{ name: '0001', up: ['CREATE TABLE later.things (tenant_id text, id int, PRIMARY KEY (tenant_id, id))', 'CREATE TABLE later.parts (tenant_id text, id int, FOREIGN KEY (tenant_id, id) REFERENCES later.things)', ...tenantTable('later.things', { grants: ['SELECT'] })] }],
  });
  await scratch.asSuperuser((client) => client.query('CREATE SCHEMA neighbour; CREATE TABLE neighbour.customers (tenant_id text)'));
  database = await createDatabase({ url: scratch.url, applicationName: 'purge-test' });
  directory = new PostgresDirectory(database.pool);
});
afterAll(async () => {
  await directory?.close();
  await database?.close();
  await scratch?.drop();
});

const purge = (options: { batch?: number; sweepAfterMs?: number } = {}): PostgresTenantPurge => new PostgresTenantPurge({ url: scratch.url, pool: database.pool, ...options });

async function tenantWithRows(tenantId: string, rows: number): Promise<void> {
  await directory.createTenant(ADMIN, { tenant_id: tenantId });
  await directory.putPrincipal(ADMIN, { tenantId, principalId: 'usr_1', principalType: 'user', displayName: 'One', roles: ['tenant_user'] });
  await directory.putApiKey(ADMIN, createApiKey({ tenantId, principalId: 'usr_1', principalType: 'user', scopes: [], roles: ['tenant_user'] }).record);
  await scratch.asSuperuser(async (client) => {
    await client.query('INSERT INTO later.things SELECT $1, n FROM generate_series(1, $2::int) n', [tenantId, rows]);
    await client.query('INSERT INTO later.parts SELECT $1, n FROM generate_series(1, $2::int) n', [tenantId, rows]);
    await client.query('INSERT INTO neighbour.customers VALUES ($1)', [tenantId]);
  });
}

const count = (table: string, tenantId: string): Promise<number> =>
  scratch.asSuperuser(async (client: pg.Client) => Number((await client.query<{ n: string }>(`SELECT count(*) AS n FROM ${table} WHERE tenant_id = $1`, [tenantId])).rows[0]!.n));

describe('the tables of tenants', () => {
  it('are all those of the node that have the column, and no others; children come first', async () => {
    const found = (await tenantTables(database.pool)).map(({ name }) => name);
    const { rows } = await scratch.asSuperuser((client) => client.query<{ name: string }>(
      `SELECT c.table_schema || '.' || c.table_name AS name FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
       WHERE c.column_name = 'tenant_id' AND t.table_type = 'BASE TABLE' AND c.table_schema NOT IN ('audit', 'neighbour')`,
    ));
    expect([...found, 'directory.tenants'].sort()).toEqual(rows.map(({ name }) => name).sort());
    expect(found.length).toBeGreaterThan(15);
    expect(found.indexOf('later.parts')).toBeLessThan(found.indexOf('later.things'));
    expect(found.indexOf('orchestrator.memory_vectors')).toBeLessThan(found.indexOf('orchestrator.memory_items'));
  });
});

describe('a purge', () => {
  it('deletes every row of the tenant, of that tenant alone, and keeps the audit', async () => {
    await tenantWithRows('tnt_goes', 25);
    await tenantWithRows('tnt_stays', 25);
    await directory.requestTenantDeletion(ADMIN, 'tnt_goes', 0);
    const [purged] = await purge({ batch: 10 }).run(NEVER);
    expect(purged).toMatchObject({ tenantId: 'tnt_goes', rows: { 'later.things': 25, 'later.parts': 25, 'directory.api_keys': 1, 'directory.principals': 1 } });
    for (const table of ['later.things', 'later.parts', 'directory.tenants', 'directory.principals', 'directory.api_keys']) expect(await count(table, 'tnt_goes'), table).toBe(0);
    expect([await count('later.things', 'tnt_stays'), await count('directory.api_keys', 'tnt_stays')]).toEqual([25, 1]);
    expect(await count('neighbour.customers', 'tnt_goes'), 'what is not the node\'s is not touched').toBe(1);
    const { rows } = await scratch.asSuperuser((client) => client.query<{ entry: { action: string; details: unknown } }>("SELECT entry FROM audit.records WHERE tenant_id = 'tnt_goes'"));
    expect(rows.map(({ entry }) => entry)).toEqual([expect.objectContaining({ action: 'tenant.purge', details: { requested_by: 'usr_admin', rows_deleted: expect.objectContaining({ 'later.things': 25 }) as unknown } })]);
    expect(await purge().run(NEVER)).toEqual([]);
  });

  it('leaves a tenant alone whose time has not come', async () => {
    await tenantWithRows('tnt_waits', 3);
    await directory.requestTenantDeletion(ADMIN, 'tnt_waits', 60_000);
    expect(await purge().run(NEVER)).toEqual([]);
    expect(await count('later.things', 'tnt_waits')).toBe(3);
    expect((await directory.restoreTenant(ADMIN, 'tnt_waits')).status).toBe('active');
  });

  it('goes on where it was interrupted, also when others work beside it, and counts every row once', async () => {
    await tenantWithRows('tnt_long', 200);
    await directory.requestTenantDeletion(ADMIN, 'tnt_long', 0);
    const stop = new AbortController();
    const interrupted = purge({ batch: 5 }).run(stop.signal);
    await expect.poll(() => count('later.parts', 'tnt_long'), { interval: 2 }).toBeLessThan(200);
    stop.abort();
    expect(await interrupted).toEqual([]);
    const left = await count('later.things', 'tnt_long');
    expect(left).toBeGreaterThan(0);
    await expect(directory.restoreTenant(ADMIN, 'tnt_long'), 'there is no way back').rejects.toMatchObject({ code: 'invalid_state_transition', details: { reason: 'purge_begun' } });
    const outcomes = await Promise.all([purge({ batch: 50 }).run(NEVER), purge({ batch: 50 }).run(NEVER), purge({ batch: 50 }).run(NEVER)]);
    expect(outcomes.flat()).toEqual([expect.objectContaining({ tenantId: 'tnt_long', rows: expect.objectContaining({ 'later.things': 200, 'later.parts': 200 }) as unknown })]);
    expect(await count('later.things', 'tnt_long')).toBe(0);
  });

  it('sweeps once more what a process wrote behind it', async () => {
    await tenantWithRows('tnt_late', 1);
    await directory.requestTenantDeletion(ADMIN, 'tnt_late', 0);
    await purge().run(NEVER);
    await scratch.asSuperuser((client) => client.query("INSERT INTO later.things VALUES ('tnt_late', 99)"));
    await purge({ sweepAfterMs: 60_000 }).run(NEVER);
    expect(await count('later.things', 'tnt_late')).toBe(1);
    await purge({ sweepAfterMs: 0 }).run(NEVER);
    expect(await count('later.things', 'tnt_late')).toBe(0);
  });

  it('never gives an id twice', async () => {
    await expect(directory.createTenant(ADMIN, { tenant_id: 'tnt_goes' })).rejects.toMatchObject({ code: 'conflict', details: { reason: 'id_was_used' } });
  });
});
