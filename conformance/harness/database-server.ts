/**
 * Databases of tests on the shared server: names, creation from a template, and sweeping.
 *
 * A name is `aot_<run id>_…` and a run id begins with its start time, so that a later run can tell what an earlier one
 * left behind without touching a run that is still going on.
 */
import pg from 'pg';

const PREFIX = 'aot_';
const STALE_AFTER_MS = 60 * 60 * 1000;

/** Begins with the time in decimal digits, so that the letter behind them ends it. */
export function newRunId(): string {
  return `${Date.now()}x${process.pid}`;
}

/** When the run began that made this database, in milliseconds since the epoch; NaN for other names. */
export function startOfRun(databaseName: string): number {
  return Number(/^aot_(\d+)x/.exec(databaseName)?.[1]);
}

/** Runs `work` on one connection to the server's own database; for CREATE and DROP DATABASE. */
export async function onServer<Result>(url: string, work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = new pg.Client({ connectionString: url, application_name: 'agentos-test-harness' });
  client.on('error', () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

export function databaseName(runId: string, ...parts: readonly string[]): string {
  return [`${PREFIX}${runId}`, ...parts].join('_').toLowerCase().replace(/[^a-z0-9_]/g, '').slice(0, 63);
}

/** The server's address with another database in it. */
export function addressOf(url: string, database: string, user?: { readonly name: string; readonly password: string }): string {
  const address = new URL(url);
  address.pathname = `/${database}`;
  if (user !== undefined) {
    address.username = user.name;
    address.password = user.password;
  }
  return address.href;
}

async function drop(client: pg.Client, name: string): Promise<void> {
  await client.query(`ALTER DATABASE "${name}" WITH IS_TEMPLATE false`).catch(() => {});
  await client.query(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
}

export async function dropDatabase(url: string, name: string): Promise<void> {
  await onServer(url, (client) => drop(client, name));
}

async function namesOf(client: pg.Client): Promise<string[]> {
  const found = await client.query<{ datname: string }>('SELECT datname FROM pg_database WHERE starts_with(datname, $1)', [PREFIX]);
  return found.rows.map((row) => row.datname);
}

/** Drops every database of the given run. */
export async function sweepDatabases(url: string, runId: string): Promise<void> {
  await onServer(url, async (client) => {
    for (const name of await namesOf(client)) {
      if (name.startsWith(`${PREFIX}${runId}_`)) await drop(client, name);
    }
  });
}

/** Drops what runs left behind that began more than an hour ago. */
export async function sweepStaleDatabases(url: string): Promise<void> {
  await onServer(url, async (client) => {
    for (const name of await namesOf(client)) {
      if (Date.now() - startOfRun(name) > STALE_AFTER_MS) await drop(client, name);
    }
  });
}
