/**
 * Child processes and other people's processes: run one to its end, ask what a pid is, stop it politely.
 *
 * A pid in a file is a claim, not a fact: after a restart of the machine the same number may belong to anybody. So
 * everything that signals goes through `isProcess`, which compares the command line of the living process first.
 */
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly cwd?: string | undefined;
  readonly env?: NodeJS.ProcessEnv | undefined;
  readonly timeoutMs?: number | undefined;
}

const HELD_PIPES_MS = 250;

/** Runs a program to its end. Never throws for an exit code; a program that cannot start answers code 127. */
export function runCommand(file: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  return new Promise((resolve) => {
    const identity = options.uid === undefined ? {} : { uid: options.uid, gid: options.gid ?? options.uid };
    const child = spawn(file, [...args], {
      ...identity,
      cwd: options.cwd ?? '/',
      env: options.env ?? process.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    // Not spawn's own timeout: after a failed start that timer would keep this process alive until it fires.
    const timer = options.timeoutMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), options.timeoutMs);
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => { stdout += chunk; });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => { stderr += chunk; });
    child.on('error', (error) => {
      clearTimeout(timer);
      resolve({ code: 127, stdout, stderr: `${stderr}${error.message}` });
    });
    // What was printed may still be in the pipes when the program has ended: "close" says that all of it was read. A
    // daemon that it left behind may keep the pipes open for ever, so "close" is not waited for long.
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      const done = (): void => {
        clearTimeout(grace);
        child.stdout.destroy();
        child.stderr.destroy();
        resolve({ code: code ?? 128, stdout, stderr: signal === null ? stderr : `${stderr}ended by ${signal}` });
      };
      const grace = setTimeout(done, HELD_PIPES_MS);
      child.once('close', done);
    });
  });
}

/** The command line of a living process, words joined by spaces; null when there is none or it is a zombie. */
export function commandLineOf(pid: number): string | null {
  if (!Number.isSafeInteger(pid) || pid <= 1) return null;
  try {
    const raw = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ').trim();
    return raw === '' ? null : raw;
  } catch {
    if (process.platform === 'linux') return null;
  }
  try {
    const out = execFileSync('ps', ['-p', String(pid), '-o', 'command='], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
    return out === '' ? null : out;
  } catch {
    return null;
  }
}

/**
 * True for a process that has ended and that nobody has collected. It still takes signals, so programs that only ask
 * whether a pid exists, as Postgres does, take it for alive; in a container without a real init it stays for ever.
 */
export function isZombie(pid: number): boolean {
  try {
    // The state follows the command's name, which is in parentheses and may hold anything.
    return /^\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*(?=\) [A-Z] )/s, ''));
  } catch {
    return false;
  }
}

/** True when the pid lives and every one of `marks` occurs in its command line. */
export function isProcess(pid: number, marks: readonly string[]): boolean {
  const line = commandLineOf(pid);
  return line !== null && marks.every((mark) => line.includes(mark));
}

export type StopOutcome = 'stopped' | 'killed' | 'not_running';

/**
 * SIGTERM, then SIGKILL after `graceMs`. Signals nothing unless the command line carries `marks`, before each signal.
 */
export async function stopProcess(pid: number, marks: readonly string[], graceMs: number): Promise<StopOutcome> {
  if (!isProcess(pid, marks)) return 'not_running';
  signal(pid, 'SIGTERM');
  const deadline = Date.now() + graceMs;
  while (Date.now() < deadline) {
    if (!isProcess(pid, marks)) return 'stopped';
    await sleep(25);
  }
  if (!isProcess(pid, marks)) return 'stopped';
  signal(pid, 'SIGKILL');
  for (let waitedMs = 0; waitedMs < 5_000 && isProcess(pid, marks); waitedMs += 25) await sleep(25);
  return 'killed';
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    // Gone between the look and the signal: that is what was wanted.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
