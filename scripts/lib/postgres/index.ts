/** The embedded Postgres of a node, and throw-away ones for tests. */
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CliError, EXIT } from '../errors.ts';
import { describeHolder, findFreePort, firstFreePort, holderOf, isPortFree } from '../ports.ts';
import { postgresAccount } from './account.ts';
import { locateBinaries } from './binaries.ts';
import { initialiseCluster, isCluster, killServer, runningServer, startServer, stopServer, SUPERUSER, type Cluster } from './cluster.ts';
import { canWorkIn, dataDirOf, logFileOf, placeCluster } from './placement.ts';

const DEFAULT_POSTGRES_PORT = 50432;
export const DATABASE = 'agentos';

export interface EnsurePostgresOptions {
  /** The state folder, e.g. `<repo>/.agentos`. */
  readonly home: string;
  /** Refused when somebody else holds it; null: 50432, or the next free one, remembered. */
  readonly port: number | null;
}

export interface EmbeddedPostgres {
  readonly url: string;
  readonly pid: number;
  readonly port: number;
  readonly dataDir: string;
  readonly logFile: string;
  /** What this call did. */
  readonly action: 'created' | 'started' | 'already_running';
}

/** The one file that holds the superuser's password, mode 600. */
export function passwordFile(home: string): string {
  return path.join(home, 'secrets', 'postgres-password');
}

/** Makes the cluster on first use, starts it when it does not run, and answers how to reach it. */
export async function ensurePostgres(options: EnsurePostgresOptions): Promise<EmbeddedPostgres> {
  const { home } = options;
  mkdirSync(path.join(home, 'logs'), { recursive: true, mode: 0o755 });
  const known = runningServer(dataDirOf(home));
  if (known !== null) return describe(home, known, 'already_running');
  const cluster = await placeCluster(home);
  const isNew = !isCluster(cluster.dataDir);
  const password = isNew ? makePassword(home) : readPassword(home);
  if (isNew) await initialiseCluster(cluster, password, { sync: true });
  const server = await startOnAPort(cluster, options);
  const result = describe(home, server, isNew ? 'created' : 'started');
  await ensureDatabase(result.url);
  return result;
}

/** What runs now, without starting anything; null when nothing does. */
export function postgresStatus(home: string): EmbeddedPostgres | null {
  const server = runningServer(dataDirOf(home));
  return server === null ? null : describe(home, server, 'already_running');
}

/** True when one was running. */
export async function stopPostgres(home: string): Promise<boolean> {
  if (runningServer(dataDirOf(home)) === null) return false;
  return stopServer(await placeCluster(home));
}

export interface TestPostgres {
  /** Of the superuser, on an empty database. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** kill -9 of the server, as a crash of the machine would; `start` recovers from it. */
  kill(): Promise<void>;
  /** Starts it again on the same port, and resolves when it accepts connections. */
  start(): Promise<void>;
  /** Stops the server and removes its folder; harmless when repeated. */
  stop(): Promise<void>;
}

/**
 * A new cluster in a temporary folder on a free port, with the settings of a node: services refuse a server that may
 * forget what it acknowledged. `durable: false` turns fsync off, for tests that only look at SQL.
 */
export async function startTestPostgres(options: { readonly durable?: boolean } = {}): Promise<TestPostgres> {
  const durable = options.durable ?? true;
  const account = await postgresAccount(null);
  const binaries = await locateBinaries(account);
  const folder = await temporaryFolder(account);
  const cluster: Cluster = { dataDir: path.join(folder, 'data'), logFile: path.join(folder, 'postgres.log'), binaries, account };
  const password = randomBytes(24).toString('base64url');
  let stopping: Promise<void> | null = null;
  const stop = (): Promise<void> => {
    stopping ??= stopServer(cluster).then(() => rmSync(folder, { recursive: true, force: true }));
    return stopping;
  };
  try {
    await initialiseCluster(cluster, password, { sync: false });
    const settings = { port: await findFreePort(), durable, sharedBuffers: '128MB', maxConnections: 200 };
    const server = await startServer(cluster, settings);
    const url = urlFor(password, server.port);
    await ensureDatabase(url);
    const start = async (): Promise<void> => void (await startServer(cluster, settings));
    return { url, port: server.port, pid: server.pid, kill: () => killServer(cluster), start, stop };
  } catch (error) {
    await stop().catch(() => undefined);
    throw error;
  }
}

async function temporaryFolder(account: { readonly uid: number; readonly gid: number } | null): Promise<string> {
  for (const parent of [tmpdir(), '/tmp', '/var/tmp']) {
    if (!existsSync(parent)) continue;
    const folder = mkdtempSync(path.join(parent, 'agentos-postgres-'));
    if (account === null) return folder;
    chmodSync(folder, 0o755);
    if (await canWorkIn(folder, account)) {
      chownSync(folder, account.uid, account.gid);
      return folder;
    }
    rmSync(folder, { recursive: true, force: true });
  }
  throw new CliError('no temporary folder that the database account may use', { exitCode: EXIT.dependency, evidence: [`TMPDIR is ${tmpdir()}`], next: 'TMPDIR=/tmp <your command>' });
}

/** Another node that starts at the same moment may take the port that was found free; then the next one is taken. */
async function startOnAPort(cluster: Cluster, options: EnsurePostgresOptions): Promise<{ readonly pid: number; readonly port: number }> {
  for (let attempt = 1; ; attempt += 1) {
    const port = await choosePort(options);
    try {
      return await startServer(cluster, { port, durable: true, sharedBuffers: '128MB', maxConnections: 200 });
    } catch (error) {
      if (options.port !== null || attempt === 5 || (await isPortFree(port))) throw error;
    }
  }
}

async function choosePort(options: EnsurePostgresOptions): Promise<number> {
  if (options.port === null) return firstFreePort(rememberedPort(options.home) ?? DEFAULT_POSTGRES_PORT, 60);
  if (await isPortFree(options.port)) return options.port;
  throw new CliError(`port ${options.port}, wanted for Postgres, is taken`, {
    exitCode: EXIT.configuration,
    evidence: [`held by ${describeHolder(holderOf(options.port))}`],
    next: 'unset AGENTOS_POSTGRES_PORT to let agentos choose, or name a free port',
  });
}

/** The port of the last start, so that connection strings people wrote down stay right. */
function rememberedPort(home: string): number | null {
  const file = path.join(dataDirOf(home), 'agentos.conf');
  try {
    const found = /^port = (\d+)$/m.exec(readFileSync(file, 'utf8'))?.[1];
    return found === undefined ? null : Number(found);
  } catch {
    return null;
  }
}

function makePassword(home: string): string {
  const file = passwordFile(home);
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  const password = randomBytes(24).toString('base64url');
  writeFileSync(file, `${password}\n`, { mode: 0o600 });
  chmodSync(file, 0o600);
  return password;
}

function readPassword(home: string): string {
  try {
    return readFileSync(passwordFile(home), 'utf8').trim();
  } catch (cause) {
    throw new CliError('the password of the embedded Postgres cannot be read', {
      exitCode: EXIT.configuration,
      evidence: [`${passwordFile(home)} is missing or closed to this account, but ${dataDirOf(home)} holds data`],
      next: 'put the file back from a backup, or start afresh (data is lost): agentos nuke --hard --yes-really',
      cause,
    });
  }
}

function urlFor(password: string, port: number): string {
  return `postgres://${SUPERUSER}:${password}@127.0.0.1:${port}/${DATABASE}`;
}

function describe(home: string, server: { readonly pid: number; readonly port: number }, action: EmbeddedPostgres['action']): EmbeddedPostgres {
  return { url: urlFor(readPassword(home), server.port), ...server, dataDir: dataDirOf(home), logFile: logFileOf(home), action };
}

async function ensureDatabase(url: string): Promise<void> {
  const { Client } = (await import('pg')).default;
  const admin = new URL(url);
  admin.pathname = '/postgres';
  const client = new Client({ connectionString: admin.toString(), connectionTimeoutMillis: 10_000 });
  await client.connect();
  try {
    const found = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [DATABASE]);
    if (found.rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
  } finally {
    await client.end();
  }
}
