/**
 * The state folder (`.agentos/`): made with a marker, so that it can be known for what it is before anything in it is
 * ever removed, and with secrets that only their owner reads.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { CliError, EXIT } from './errors.ts';
import { signingKeyFile } from './identity.ts';
import { commandLineOf } from './process.ts';

export const HOME_MARKER = 'AGENTOS_HOME.json';

/** Makes the folder and what belongs into it; harmless when it is there. */
export function ensureStateFolder(home: string): void {
  refuseLink(home);
  // Traversable by others: Postgres may run as another account and must reach its own folder below.
  for (const folder of [home, path.join(home, 'state'), path.join(home, 'logs')]) {
    mkdirSync(folder, { recursive: true });
    chmodSync(folder, 0o755);
  }
  mkdirSync(path.join(home, 'secrets'), { recursive: true, mode: 0o700 });
  chmodSync(path.join(home, 'secrets'), 0o700);
  writeOnce(path.join(home, HOME_MARKER), `${JSON.stringify({ kind: 'agentos-home', made_at: new Date().toISOString() })}\n`, 0o644);
  // 48 bytes sign the tokens between the services.
  writeOnce(signingKeyFile(home), `${randomBytes(48).toString('base64')}\n`, 0o600);
}

/** True when the folder carries the marker, as a real file in a real folder. */
export function isStateFolder(home: string): boolean {
  return lstatSync(home, { throwIfNoEntry: false })?.isDirectory() === true && lstatSync(path.join(home, HOME_MARKER), { throwIfNoEntry: false })?.isFile() === true;
}

function refuseLink(home: string): void {
  if (lstatSync(home, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return;
  throw new CliError(`the state folder ${home} is a symbolic link`, { exitCode: EXIT.configuration, evidence: ['agentos must be able to remove its own folder without reaching elsewhere'], next: 'AGENTOS_HOME=<the folder itself> agentos up' });
}

function writeOnce(file: string, text: string, mode: number): void {
  try {
    writeFileSync(file, text, { flag: 'wx', mode });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/**
 * Runs `work` while no other command changes this node. A lock whose holder is gone is taken over.
 * @throws CliError when another agentos is at work.
 */
export async function withNodeLock<Result>(home: string, action: string, work: () => Promise<Result>): Promise<Result> {
  const file = path.join(home, 'state', 'lock');
  mkdirSync(path.dirname(file), { recursive: true });
  takeLock(file, action);
  try {
    return await work();
  } finally {
    rmSync(file, { force: true });
  }
}

function takeLock(file: string, action: string): void {
  for (let attempt = 0; ; attempt += 1) {
    try {
      writeFileSync(file, `${process.pid} ${action}\n`, { flag: 'wx' });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const [pid, other] = readLock(file);
    if (attempt > 0 || (pid !== process.pid && /agentos/.test(commandLineOf(pid) ?? ''))) {
      throw new CliError('another agentos command is changing this node', { exitCode: EXIT.gate, evidence: [`pid ${pid}: agentos ${other}`, `${file} says so`], next: 'wait for it to end, then type the same again; the lock of a command that was killed is taken over by itself' });
    }
    rmSync(file, { force: true });
  }
}

function readLock(file: string): readonly [number, string] {
  try {
    const [pid, ...action] = readFileSync(file, 'utf8').trim().split(' ');
    return [Number(pid), action.join(' ')];
  } catch {
    return [0, ''];
  }
}
