/**
 * A database of its own for every test file, cloned from a template that has the migrations applied.
 *
 * The template is made once a run for each distinct set of migrations, under an advisory lock so that two files that
 * need it at once make it once. Cloning takes tens of milliseconds. `drop()` fails when a connection is still open:
 * a pool that outlives its test is a leak in the code under test.
 */
import { createHash, randomBytes } from 'node:crypto';
import type pg from 'pg';
import { inject } from 'vitest';
import { migrate, type Migration } from '../../services/platform/db/migrate.ts';
import { addressOf, databaseName, dropDatabase, onServer } from './database-server.ts';

/** One PostgreSQL schema and the migrations that fill it. */
export interface MigrationSet {
  readonly schema: string;
  readonly migrations: readonly Migration[];
}

export interface TestDatabase {
  /** As a user that may take the application role, the way a service is given `DATABASE_URL`. */
  readonly url: string;
  readonly name: string;
  /** Runs `work` on a superuser's connection, past row-level security; for judging and for damaging. */
  asSuperuser<Result>(work: (client: pg.Client) => Promise<Result>): Promise<Result>;
  /** Ends every other connection to the database, as a restart of the server would. Answers how many there were. */
  severConnections(): Promise<number>;
  /** Removes the database. @throws Error when connections are still open, naming them. */
  drop(): Promise<void>;
}

const LEAK_GRACE_MS = 2_000;

export async function testDatabase(options: { readonly migrations?: readonly MigrationSet[] } = {}): Promise<TestDatabase> {
  const server = serverUrl();
  const runId = inject('testRunId');
  const template = await templateFor(server, runId, options.migrations ?? []);
  const name = databaseName(runId, process.pid.toString(36), randomBytes(4).toString('hex'));
  await onServer(server, (client) => client.query(`CREATE DATABASE "${name}" TEMPLATE "${template}"`));
  const url = addressOf(server, name);
  return {
    url,
    name,
    asSuperuser: (work) => onServer(url, work),
    severConnections: () => onServer(server, (client) => sever(client, name)),
    async drop() {
      const leaked = await openConnections(server, name);
      await dropDatabase(server, name);
      if (leaked.length > 0) throw new Error(`Connections were still open when the test ended, close what opened them: ${leaked.join('; ')}`);
    },
  };
}

function serverUrl(): string {
  const url = inject('postgresUrl');
  if (url === '') throw new Error('There is no test Postgres: set AGENTOS_TEST_DATABASE_URL to a superuser\'s address of a server that may hold test databases.');
  return url;
}

async function sever(client: pg.Client, name: string): Promise<number> {
  const ended = await client.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()', [name]);
  return ended.rowCount ?? 0;
}

/** Connections that remain after a moment: a closed pool's backends take a few milliseconds to leave. */
async function openConnections(server: string, name: string): Promise<string[]> {
  return onServer(server, async (client) => {
    const deadline = Date.now() + LEAK_GRACE_MS;
    for (;;) {
      const found = await client.query<{ application_name: string; state: string; query: string }>(
        "SELECT application_name, state, left(query, 80) AS query FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'",
        [name],
      );
      if (found.rows.length === 0 || Date.now() > deadline) return found.rows.map((row) => `${row.application_name} (${row.state}) ${row.query}`);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  });
}

function fingerprint(sets: readonly MigrationSet[]): string {
  const hash = createHash('sha256');
  for (const set of sets) {
    for (const migration of set.migrations) {
      const up = typeof migration.up === 'function' ? migration.up.toString() : JSON.stringify(migration.up);
      hash.update(`${set.schema}\0${migration.name}\0${up}\0`);
    }
  }
  return hash.digest('hex').slice(0, 16);
}

/** Templates this process has seen. */
const templates = new Map<string, Promise<string>>();

function templateFor(server: string, runId: string, sets: readonly MigrationSet[]): Promise<string> {
  const name = databaseName(runId, 'template', fingerprint(sets));
  const known = templates.get(name);
  if (known !== undefined) return known;
  const made = makeTemplate(server, name, sets);
  templates.set(name, made);
  made.catch(() => templates.delete(name));
  return made;
}

async function makeTemplate(server: string, name: string, sets: readonly MigrationSet[]): Promise<string> {
  const lock = createHash('sha256').update(name).digest().readBigInt64BE(0).toString();
  return onServer(server, async (client) => {
    await client.query('SELECT pg_advisory_lock($1)', [lock]);
    const found = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [name]);
    if (found.rowCount === 1) return name;
    const draft = `${name}_new`;
    await client.query(`DROP DATABASE IF EXISTS "${draft}" WITH (FORCE)`);
    await client.query(`CREATE DATABASE "${draft}"`);
    for (const set of sets) await migrate({ url: addressOf(server, draft), schema: set.schema, migrations: set.migrations });
    await client.query(`ALTER DATABASE "${draft}" RENAME TO "${name}"`);
    return name;
  });
}
