/**
 * The account that Postgres runs as. Postgres refuses root, so root hands it to somebody else: the owner of an
 * existing data folder, else `postgres` (made when absent), else `nobody`.
 */
import { existsSync, statSync } from 'node:fs';
import { CliError, EXIT } from '../errors.ts';
import { runCommand } from '../process.ts';

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** null when this process is not root and runs Postgres as itself. */
export async function postgresAccount(dataDir: string | null): Promise<Account | null> {
  const owner = dataDir !== null && existsSync(dataDir) ? statSync(dataDir) : null;
  if (process.getuid?.() !== 0) {
    if (owner !== null && process.getuid !== undefined && owner.uid !== process.getuid()) throw foreignOwner(dataDir ?? '', owner.uid);
    return null;
  }
  if (owner !== null && owner.uid !== 0) return { name: (await nameOf(owner.uid)) ?? String(owner.uid), uid: owner.uid, gid: owner.gid };
  const found = (await lookUp('postgres')) ?? (await createPostgres()) ?? (await lookUp('nobody'));
  if (found === null) {
    throw new CliError('Postgres does not run as root, and there is no account to run it as', {
      exitCode: EXIT.dependency,
      evidence: ['neither "postgres" nor "nobody" exists, and useradd did not make one'],
      next: 'useradd --system postgres   (or run agentos as an ordinary user, or set DATABASE_URL)',
    });
  }
  return found;
}

async function lookUp(name: string): Promise<Account | null> {
  const [uid, gid] = await Promise.all([runCommand('id', ['-u', name]), runCommand('id', ['-g', name])]);
  // Nothing is 0 as a number, and 0 is root.
  if (![uid, gid].every(({ code, stdout }) => code === 0 && /^\d+$/.test(stdout.trim()))) return null;
  return { name, uid: Number(uid.stdout), gid: Number(gid.stdout) };
}

async function nameOf(uid: number): Promise<string | null> {
  const result = await runCommand('id', ['-un', String(uid)]);
  return result.code === 0 ? result.stdout.trim() : null;
}

async function createPostgres(): Promise<Account | null> {
  const ways: ReadonlyArray<readonly [string, readonly string[]]> = [
    ['useradd', ['--system', '--user-group', '--no-create-home', '--home-dir', '/nonexistent', '--shell', '/usr/sbin/nologin', 'postgres']],
    // BusyBox (Alpine) has no useradd.
    ['adduser', ['-S', '-D', '-H', 'postgres']],
  ];
  for (const [file, args] of ways) {
    if ((await runCommand(file, args)).code === 0) return lookUp('postgres');
  }
  return null;
}

function foreignOwner(dataDir: string, uid: number): CliError {
  return new CliError(`the Postgres data in ${dataDir} belongs to another account (uid ${uid})`, {
    exitCode: EXIT.configuration,
    evidence: [`this process has uid ${process.getuid?.()}`],
    next: 'run agentos as the account that ran it first, or set AGENTOS_HOME to a folder of your own',
  });
}
