/**
 * One Postgres cluster on disk: made once by initdb, started and stopped by pg_ctl, known by its postmaster.pid.
 *
 * It listens on loopback TCP only (no socket files, so no path-length limits and no stale sockets), asks everybody
 * for a SCRAM password, and keeps fsync and synchronous_commit on: an acknowledged run survives a power cut.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CliError, EXIT } from '../errors.ts';
import { commandLineOf, isProcess, isZombie, runCommand, type CommandResult } from '../process.ts';
import type { Account } from './account.ts';
import type { Binaries } from './binaries.ts';

export const SUPERUSER = 'postgres';
/** Proves that a folder was made by this driver; without it nothing is ever removed. */
export const MARKER_FILE = 'AGENTOS_DATA.json';

export interface Cluster {
  readonly dataDir: string;
  readonly logFile: string;
  readonly binaries: Binaries;
  readonly account: Account | null;
}

export interface ServerSettings {
  readonly port: number;
  /** False only for throw-away clusters of tests. */
  readonly durable: boolean;
  readonly sharedBuffers: string;
  readonly maxConnections: number;
}

/** `pid` and `port` of the server that runs on this folder now; null when none does. */
export function runningServer(dataDir: string): { readonly pid: number; readonly port: number } | null {
  const file = path.join(dataDir, 'postmaster.pid');
  let lines: readonly string[];
  try {
    lines = readFileSync(file, 'utf8').split('\n');
  } catch {
    return null;
  }
  const pid = Number(lines[0]);
  const port = Number(lines[3]);
  return isPostmaster(pid, dataDir) && Number.isSafeInteger(port) ? { pid, port } : null;
}

/** The words that stand in the command line of this folder's server and of no other process. */
function postmasterMarks(dataDir: string): readonly string[] {
  return ['postgres', dataDir];
}

function isPostmaster(pid: number, dataDir: string): boolean {
  if (isProcess(pid, postmasterMarks(dataDir))) return true;
  // The same folder may have been named by another path when the server was started.
  const named = / -D (.+)$/.exec(commandLineOf(pid) ?? '')?.[1];
  if (named === undefined || !existsSync(named)) return false;
  return isProcess(pid, ['postgres']) && realpathSync(named) === realpathSync(dataDir);
}

/** True when the folder is a complete cluster of this driver. */
export function isCluster(dataDir: string): boolean {
  return existsSync(path.join(dataDir, 'PG_VERSION')) && lstatSync(path.join(dataDir, MARKER_FILE), { throwIfNoEntry: false })?.isFile() === true;
}

/**
 * Makes the cluster beside its place and moves it there when it is whole, so that an interrupted initdb leaves no
 * half-made cluster behind.
 */
export async function initialiseCluster(cluster: Cluster, password: string, options: { readonly sync: boolean }): Promise<void> {
  const { dataDir, binaries, account } = cluster;
  if (existsSync(dataDir)) assertReplaceable(dataDir);
  const partial = `${dataDir}.new`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true, mode: 0o700 });
  const passwordFile = path.join(path.dirname(dataDir), `.pw-${randomBytes(6).toString('hex')}`);
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  give(account, partial, passwordFile);
  try {
    const result = await asAccount(cluster, binaries.initdb, [
      `--pgdata=${partial}`, `--username=${SUPERUSER}`, `--pwfile=${passwordFile}`, '--auth=scram-sha-256',
      '--encoding=UTF8', '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C', '--data-checksums',
      ...(options.sync ? [] : ['--no-sync']),
    ], 120_000);
    if (result.code !== 0) throw failed('initdb could not make the database cluster', result, dataDir);
    writeFileSync(path.join(partial, 'postgresql.conf'), "\ninclude_if_exists = 'agentos.conf'\n", { flag: 'a' });
    writeFileSync(path.join(partial, MARKER_FILE), `${JSON.stringify({ kind: 'agentos-postgres', made_at: new Date().toISOString() })}\n`);
    give(account, path.join(partial, MARKER_FILE));
    rmSync(dataDir, { recursive: true, force: true });
    renameSync(partial, dataDir);
  } finally {
    rmSync(passwordFile, { force: true });
    rmSync(partial, { recursive: true, force: true });
  }
}

/** Starts the server as a daemon and returns when it accepts connections. */
export async function startServer(cluster: Cluster, settings: ServerSettings): Promise<{ readonly pid: number; readonly port: number }> {
  const { dataDir, logFile, binaries } = cluster;
  dropStalePid(dataDir);
  writeSettings(cluster, settings);
  prepareLog(cluster);
  // A killed server's children may hold the shared memory for a moment longer: that one failure is worth waiting for.
  for (let attempt = 1; ; attempt += 1) {
    const result = await asAccount(cluster, binaries.pgCtl, ['start', '-w', '-s', '-t', '60', '-D', dataDir, '-l', logFile], 90_000);
    const server = runningServer(dataDir);
    if (result.code === 0 && server !== null) return server;
    const log = tail(logFile, 12);
    const lingering = log.some((line) => /pre-existing shared memory block|still in use/.test(line));
    if (!lingering || attempt >= 20) throw failed('Postgres did not start', result, dataDir, [`log: ${logFile}`, ...log]);
    await sleep(250);
  }
}

/** Fast, clean stop: sessions end, everything is written. True when a server was running. */
export async function stopServer(cluster: Cluster, timeoutSeconds = 25): Promise<boolean> {
  if (runningServer(cluster.dataDir) === null) return false;
  const result = await asAccount(cluster, cluster.binaries.pgCtl,
    ['stop', '-m', 'fast', '-w', '-s', '-t', String(timeoutSeconds), '-D', cluster.dataDir], (timeoutSeconds + 5) * 1_000);
  if (result.code !== 0 && runningServer(cluster.dataDir) !== null) {
    throw failed('Postgres did not stop', result, cluster.dataDir, tail(cluster.logFile, 12));
  }
  return true;
}

/** For tests of crashes: ends the server at once, with nothing written. Resolves when it is gone; its children follow by themselves. */
export async function killServer(cluster: Cluster): Promise<void> {
  const server = runningServer(cluster.dataDir);
  if (server === null) return;
  process.kill(server.pid, 'SIGKILL');
  while (runningServer(cluster.dataDir)?.pid === server.pid) await sleep(10);
}

function writeSettings(cluster: Cluster, settings: ServerSettings): void {
  const on = settings.durable ? 'on' : 'off';
  const rows: ReadonlyArray<readonly [string, string | number]> = [
    ['port', settings.port],
    ['listen_addresses', "'127.0.0.1'"],
    ['unix_socket_directories', "''"],
    ['max_connections', settings.maxConnections],
    ['shared_buffers', settings.sharedBuffers],
    ['fsync', on],
    ['synchronous_commit', on],
    ['full_page_writes', on],
    ['password_encryption', 'scram-sha-256'],
    ['jit', 'off'],
    ['timezone', "'UTC'"],
    ['log_timezone', "'UTC'"],
    ['log_line_prefix', "'%m [%p] '"],
    ['log_checkpoints', 'off'],
    ['max_wal_size', "'1GB'"],
  ];
  const file = path.join(cluster.dataDir, 'agentos.conf');
  const text = ['# Written at each start by agentos; put your own settings into postgresql.auto.conf (ALTER SYSTEM).', ...rows.map(([name, value]) => `${name} = ${value}`), ''].join('\n');
  writeFileSync(file, text, { mode: 0o600 });
  give(cluster.account, file);
}

function prepareLog(cluster: Cluster): void {
  mkdirSync(path.dirname(cluster.logFile), { recursive: true });
  // The server writes rows into it that a statement failed on.
  writeFileSync(cluster.logFile, '', { flag: 'a', mode: 0o640 });
  chmodSync(cluster.logFile, 0o640);
  give(cluster.account, cluster.logFile);
}

/**
 * After a power cut the pid in the file may be anybody's, and Postgres would refuse to start because it lives.
 * A pid that is gone is left to Postgres, which clears it up itself; a pid that may be a server is never dropped.
 */
export function dropStalePid(dataDir: string): boolean {
  const file = path.join(dataDir, 'postmaster.pid');
  if (!existsSync(file)) return false;
  const pid = Number(readFileSync(file, 'utf8').split('\n')[0]);
  const command = commandLineOf(pid);
  if (command === null ? !isZombie(pid) : /(^|[/\\])postgres( |$|:|\.exe)/.test(command)) return false;
  rmSync(file, { force: true });
  return true;
}

function assertReplaceable(dataDir: string): void {
  if (lstatSync(dataDir).isDirectory() && readdirSync(dataDir).length === 0) return;
  throw new CliError(`${dataDir} exists and is not a database folder of agentos`, {
    exitCode: EXIT.configuration,
    evidence: [`it lacks the marker file ${MARKER_FILE}`],
    next: `move it away: mv ${dataDir} ${dataDir}.old   (or set AGENTOS_HOME)`,
  });
}

function give(account: Account | null, ...paths: readonly string[]): void {
  if (account === null) return;
  for (const item of paths) chownSync(item, account.uid, account.gid);
}

function asAccount(cluster: Cluster, file: string, args: readonly string[], timeoutMs: number): Promise<CommandResult> {
  const { PATH = '/usr/bin:/bin', TZ } = process.env;
  return runCommand(file, args, {
    uid: cluster.account?.uid,
    gid: cluster.account?.gid,
    timeoutMs,
    // PG* variables of the caller's shell (PGDATA, PGPORT) must not steer this server.
    env: { PATH, LC_ALL: 'C', LC_MESSAGES: 'C', ...(TZ === undefined ? {} : { TZ }) },
  });
}

export function tail(file: string, lines: number): readonly string[] {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines);
  } catch {
    return [];
  }
}

function failed(what: string, result: CommandResult, dataDir: string, more: readonly string[] = []): CliError {
  const said = `${result.stderr}\n${result.stdout}`.trim().split('\n').filter((line) => line !== '').slice(-8);
  return new CliError(what, {
    exitCode: EXIT.dependency,
    evidence: [`data: ${dataDir}`, ...said, ...more],
    next: 'agentos logs postgres   (or set DATABASE_URL to a Postgres server of your own)',
  });
}
