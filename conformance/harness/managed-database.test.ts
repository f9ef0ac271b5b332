/** A managed PostgreSQL gives no superuser: its owner may make roles and own a database, and that must be enough. */
import { randomBytes } from 'node:crypto';
import { expect, inject, it } from 'vitest';
import type pg from 'pg';
import { migrate } from '../../services/platform/db/migrate.ts';
import { createDatabase } from '../../services/platform/db/pool.ts';
import { withTenant } from '../../services/platform/db/transaction.ts';
import { PostgresDirectory } from '../../services/platform/tenancy/directory-postgres.ts';
import { PostgresTenantPurge } from '../../services/platform/tenancy/tenant-purge-postgres.ts';
import { addressOf, databaseName, dropDatabase, onServer } from './database-server.ts';
import { nodeMigrations } from './migrations.ts';

it('migrates and serves as an owner that is no superuser', async () => {
  const server = inject('postgresUrl');
  const name = databaseName(inject('testRunId'), 'managed', randomBytes(4).toString('hex'));
  const owner = { name: `${name}_owner`.slice(0, 63), password: randomBytes(12).toString('hex') };
  await onServer(server, async (client) => {
    await client.query(`CREATE ROLE "${owner.name}" LOGIN NOSUPERUSER CREATEROLE NOBYPASSRLS PASSWORD '${owner.password}'`);
    await client.query(`CREATE DATABASE "${name}" OWNER "${owner.name}"`);
    // The application role belongs to the whole server and may be there already, made by another database's owner.
    await client.query(`DO $$ BEGIN CREATE ROLE agentos_app NOLOGIN NOBYPASSRLS; EXCEPTION WHEN duplicate_object THEN NULL; END $$`);
    await client.query(`GRANT agentos_app TO "${owner.name}"`);
  });
  try {
    const url = addressOf(server, name, owner);
    for (const set of nodeMigrations) await migrate({ url, schema: set.schema, migrations: set.migrations });
    const database = await createDatabase({ url, applicationName: 'managed-database-test', max: 2 });
    try {
      const answer = await withTenant(database.pool, 'tnt_managed', async (client) => {
        const { rows } = await client.query("SELECT orchestrator.queued_runs(10) AS queued, orchestrator.smallest_queued_rank() AS rank, current_setting('app.scheduler', true) AS scheduler");
        return rows[0] as { queued: unknown; rank: unknown; scheduler: string | null };
      });
      expect(Number(answer.queued)).toBe(0);
      expect(answer.rank).toBeNull();
      expect(answer.scheduler ?? '').toBe('');
      await purges(url, database.pool);
    } finally {
      await database.close();
    }
  } finally {
    await dropDatabase(server, name);
    await onServer(server, (client) => client.query(`DROP ROLE "${owner.name}"`));
  }
});

/** What services may not delete, the owner can, though the tables force row-level security upon the owner too. */
async function purges(url: string, pool: pg.Pool): Promise<void> {
  const auth = { tenant_id: 'tnt_managed', principal: { principal_id: 'usr_admin', principal_type: 'user' as const }, scopes: ['tenants:admin'] };
  const directory = new PostgresDirectory(pool);
  await directory.createTenant(auth, { tenant_id: 'tnt_managed' });
  await withTenant(pool, 'tnt_managed', (client) => client.query("INSERT INTO orchestrator.memory_items (tenant_id, namespace, key, value, metadata, words, updated_at) VALUES ('tnt_managed', 'notes', 'one', '{}', '{}', 'one', now())"));
  await directory.requestTenantDeletion(auth, 'tnt_managed', 0);
  const [purged] = await new PostgresTenantPurge({ url, pool }).run(new AbortController().signal);
  expect(purged).toMatchObject({ tenantId: 'tnt_managed', rows: { 'orchestrator.memory_items': 1 } });
}
