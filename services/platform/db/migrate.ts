/**
 * Migrations, kept in code and run by knex, one process at a time.
 *
 * An advisory lock on a connection of its own serialises every process that starts at once. knex has a lock table as
 * well, which a killed process leaves locked for good; under the advisory lock it is safe to clear, so it is cleared.
 * Migrations expand first and contract in a later release: the previous version runs on the new schema.
 */
import { createHash } from 'node:crypto';
import knexFactory, { type Knex } from 'knex';
import pg from 'pg';
import type { Logger } from 'pino';
import { APPLICATION_ROLE } from './pool.ts';
import { fromDatabaseError } from './sqlstate.ts';

export interface Migration {
  /** Ordered by name, e.g. `0001_runs`; never renamed once released. */
  readonly name: string;
  /** Runs in a transaction. Statements for `knex.raw`, or a function for anything else. */
  readonly up: string | readonly string[] | ((knex: Knex) => Promise<void>);
}

export interface MigrateOptions {
  readonly url: string;
  /** PostgreSQL schema that the migrations fill; made when absent, opened to the application role. */
  readonly schema: string;
  readonly migrations: readonly Migration[];
  /** Where knex notes what has run; `migrations` in the schema when absent. */
  readonly table?: string;
  /** The application role; `agentos_app` when absent. */
  readonly role?: string;
  readonly log?: Logger;
}

export interface MigrateResult {
  /** Names of the migrations that this call ran. */
  readonly applied: readonly string[];
}

/** Brings a schema up to date. Safe to call from many processes at once and again after a failure. */
export async function migrate(options: MigrateOptions): Promise<MigrateResult> {
  const role = options.role ?? APPLICATION_ROLE;
  assertName(options.schema);
  assertName(role);
  const lock = new pg.Client({ connectionString: options.url, application_name: 'agentos-migrate', connectionTimeoutMillis: 10_000 });
  lock.on('error', (error) => options.log?.warn({ err: error }, 'The migration connection broke.'));
  try {
    await lock.connect();
    await lock.query('SELECT pg_advisory_lock($1)', [lockKey(options.schema)]);
    await ensureApplicationRole(lock, role);
    await lock.query(`CREATE SCHEMA IF NOT EXISTS "${options.schema}"`);
    await lock.query(`GRANT USAGE ON SCHEMA "${options.schema}" TO ${role}`);
    return { applied: await runMigrations(options) };
  } catch (error) {
    throw fromDatabaseError(error);
  } finally {
    await lock.end().catch(() => undefined);
  }
}

async function runMigrations(options: MigrateOptions): Promise<readonly string[]> {
  const knex = knexFactory({
    client: 'pg',
    connection: { connectionString: options.url, application_name: 'agentos-migrate' } as Knex.PgConnectionConfig,
    pool: { min: 0, max: 1 },
  });
  try {
    const config: Knex.MigratorConfig = {
      schemaName: options.schema,
      tableName: options.table ?? 'migrations',
      migrationSource: migrationSource(options.migrations),
    };
    await knex.migrate.currentVersion(config);
    await knex.migrate.forceFreeMigrationsLock(config);
    const [, applied] = (await knex.migrate.latest(config)) as [number, string[]];
    for (const name of applied) options.log?.info({ schema: options.schema, migration: name }, 'Migration applied.');
    return applied;
  } finally {
    await knex.destroy();
  }
}

function migrationSource(migrations: readonly Migration[]): Knex.MigrationSource<Migration> {
  const names = new Set(migrations.map((migration) => migration.name));
  if (names.size !== migrations.length) throw new Error('Two migrations have the same name.');
  return {
    getMigrations: async () => [...migrations].sort((a, b) => (a.name < b.name ? -1 : 1)),
    getMigrationName: (migration) => migration.name,
    getMigration: async (migration) => ({
      async up(knex: Knex) {
        if (typeof migration.up === 'function') return migration.up(knex);
        for (const statement of typeof migration.up === 'string' ? [migration.up] : migration.up) await knex.raw(statement.replaceAll('?', '\\?'));
      },
      async down() {
        throw new Error(`Migration ${migration.name} cannot be undone: releases only go forward. Restore a backup in its place.`);
      },
    }),
  };
}

/** Roles are shared by all databases of a server, so two databases may be migrated at the same moment. */
async function ensureApplicationRole(client: pg.Client, role: string): Promise<void> {
  try {
    await client.query(`DO $do$ BEGIN
      IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${role}') THEN CREATE ROLE ${role} NOLOGIN NOBYPASSRLS; END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $do$`);
    const { rows } = await client.query<{ member: boolean; super: boolean; unsafe: boolean; name: string }>(
      // Since version 16 whoever creates a role administers it and still may not act as it.
      `SELECT pg_has_role(current_user, '${role}', CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END) AS member,
        current_user AS name, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS super,
        (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = '${role}') AS unsafe`,
    );
    const state = rows[0]!;
    if (state.unsafe) throw new Error(`Role ${role} may bypass row-level security. Run: ALTER ROLE ${role} NOSUPERUSER NOBYPASSRLS;`);
    if (!state.member && !state.super) await grantMembership(client, role, state.name);
  } catch (error) {
    if ((error as { code?: string }).code !== '42501') throw error;
    throw new Error(
      `The database user may not set up role ${role}: ${(error as Error).message}. ` +
        `Run once as a superuser: CREATE ROLE ${role} NOLOGIN NOBYPASSRLS; GRANT ${role} TO "<user of DATABASE_URL>";`,
      { cause: error },
    );
  }
}

async function grantMembership(client: pg.Client, role: string, user: string): Promise<void> {
  try {
    await client.query(`GRANT ${role} TO "${user.replaceAll('"', '""')}"`);
  } catch (error) {
    // Two databases that grant the same membership at the same moment collide in the shared catalogue; it exists then.
    if (!['23505', 'XX000'].includes((error as { code?: string }).code ?? '')) throw error;
  }
}

/** Stable over processes and versions; the prefix keeps other programs' locks apart. */
function lockKey(schema: string): string {
  return createHash('sha256').update(`agentos:migrate:${schema}`).digest().readBigInt64BE(0).toString();
}

function assertName(name: string): void {
  if (!/^[a-z_][a-z0-9_]*$/.test(name)) throw new Error(`'${name}' is not a plain lower-case SQL name.`);
}
