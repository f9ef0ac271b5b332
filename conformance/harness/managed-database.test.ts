/** A managed PostgreSQL gives no superuser: its owner may make roles and own a database, and that must be enough. */
import { randomBytes } from 'node:crypto';
import { expect, inject, it } from 'vitest';
import { migrate } from '../../services/platform/db/migrate.ts';
import { createDatabase } from '../../services/platform/db/pool.ts';
import { withTenant } from '../../services/platform/db/transaction.ts';
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
    } finally {
      await database.close();
    }
  } finally {
    await dropDatabase(server, name);
    await onServer(server, (client) => client.query(`DROP ROLE "${owner.name}"`));
  }
});
