/**
 * Where a cluster lies. In the state folder, unless the account that Postgres runs as cannot get there (a clone
 * under /root with mode 700): then under /var/lib/agentos, in a folder named after the state folder, with a pointer
 * file left in the state folder so that `status`, `logs` and `nuke` find it and a reader understands.
 */
import { createHash } from 'node:crypto';
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { CliError, EXIT } from '../errors.ts';
import { runCommand } from '../process.ts';
import { postgresAccount } from './account.ts';
import { locateBinaries, SHARED_ROOT } from './binaries.ts';
import type { Cluster } from './cluster.ts';

/** Where the pointer, when there is one, says the data lies. */
export function dataDirOf(home: string): string {
  const pointer = pointerFile(home);
  return existsSync(pointer) ? readFileSync(pointer, 'utf8').trim().split('\n').at(-1) ?? '' : path.join(home, 'postgres');
}

export function pointerFile(home: string): string {
  return path.join(home, 'postgres.location');
}

/** The log lies in the state folder, or beside the data where that had to move. */
export function logFileOf(home: string): string {
  return existsSync(pointerFile(home)) ? `${dataDirOf(home)}.log` : path.join(home, 'logs', 'postgres.log');
}

/** Decides on the place, once for ever, and finds binaries and account. */
export async function placeCluster(home: string): Promise<Cluster> {
  let dataDir = dataDirOf(home);
  const account = await postgresAccount(dataDir);
  const binaries = await locateBinaries(account);
  if (account !== null && !existsSync(dataDir) && !existsSync(pointerFile(home))) {
    mkdirSync(home, { recursive: true });
    if (!(await canWorkIn(home, account))) {
      dataDir = path.join(SHARED_ROOT, createHash('sha256').update(path.resolve(home)).digest('hex').slice(0, 16), 'postgres');
      prepareSharedFolder(path.dirname(dataDir));
      const note = `# Postgres runs as "${account.name}", who may not enter this folder; its data lies here:\n${dataDir}\n`;
      writeFileSync(pointerFile(home), note);
    }
  }
  refuseLink(dataDir);
  return { dataDir, logFile: logFileOf(home), binaries, account };
}

/** Asks the kernel, as that account, rather than guessing from mode bits. */
export async function canWorkIn(folder: string, account: { readonly uid: number; readonly gid: number }): Promise<boolean> {
  const probe = path.join(folder, `.probe-${process.pid}`);
  mkdirSync(probe, { mode: 0o700 });
  try {
    chownSync(probe, account.uid, account.gid);
    const script = 'cd "$1" && : > f && rm f';
    return (await runCommand('/bin/sh', ['-c', script, 'sh', probe], { uid: account.uid, gid: account.gid, timeoutMs: 10_000 })).code === 0;
  } finally {
    rmdirSync(probe);
  }
}

function prepareSharedFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  chmodSync(SHARED_ROOT, 0o755);
  chmodSync(folder, 0o755);
}

function refuseLink(dataDir: string): void {
  if (lstatSync(dataDir, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return;
  throw new CliError(`${dataDir} is a symbolic link`, {
    exitCode: EXIT.configuration,
    evidence: ['agentos keeps its database in a real folder, so that removing it can never reach elsewhere'],
    next: 'set AGENTOS_HOME to the folder itself',
  });
}
