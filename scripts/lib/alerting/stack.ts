/** Prometheus, Alertmanager, the exporters and the mailbox of a node as processes: started, found again, stopped. */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CliError, EXIT } from '../errors.ts';
import { requestText } from '../http.ts';
import { describeHolder, holderOf, isPortFree } from '../ports.ts';
import { isProcess, stopProcess } from '../process.ts';
import { redact } from '../redact.ts';
import { repositoryRoot } from '../repository.ts';
import { readFrom } from '../services/control.ts';

export type PartName = 'mailbox' | 'alertmanager' | 'blackbox' | 'node-exporter' | 'prometheus';

export interface Part {
  readonly name: PartName;
  readonly file: string;
  readonly args: readonly string[];
  readonly port: number;
  /** Asked until it answers 200; null: until something listens. */
  readonly readyPath: string | null;
}

interface Running {
  readonly pid: number;
  readonly marks: readonly string[];
  readonly port: number;
  readonly startedAt: string;
  readonly logFile: string;
  /** What it was started with: another command line makes it start anew. */
  readonly command: readonly string[];
}

export type StackState = Partial<Record<PartName, Running>>;

const PORT_VARIABLES: Readonly<Record<PartName, string>> = {
  mailbox: 'AGENTOS_MAILBOX_PORT', alertmanager: 'AGENTOS_ALERTMANAGER_PORT', blackbox: 'AGENTOS_BLACKBOX_PORT', 'node-exporter': 'AGENTOS_NODE_EXPORTER_PORT', prometheus: 'AGENTOS_PROMETHEUS_PORT',
};
const STOP_GRACE_MS = 10_000;
const READY_MS = 30_000;

const stateFile = (home: string): string => path.join(home, 'state', 'observability.json');

/** What was started and still lives. */
export function stackState(home: string): StackState {
  if (!existsSync(stateFile(home))) return {};
  const state = JSON.parse(readFileSync(stateFile(home), 'utf8')) as StackState;
  return Object.fromEntries(Object.entries(state).filter(([, { pid, marks }]) => isProcess(pid, marks)));
}

export interface StartedPart {
  readonly name: PartName;
  readonly action: 'started' | 'restarted' | 'left alone';
  readonly port: number;
  readonly pid: number;
}

export interface StartPartOptions {
  readonly home: string;
  /** Its configuration is not what it was: it is started anew. */
  readonly configurationChanged: boolean;
  readonly signal: AbortSignal;
}

/** @throws CliError with the last lines of its log when it does not become ready. */
export async function startPart(part: Part, { home, configurationChanged, signal }: StartPartOptions): Promise<StartedPart> {
  const command = [part.file, ...part.args];
  const living = stackState(home)[part.name];
  if (living !== undefined && !configurationChanged && JSON.stringify(living.command) === JSON.stringify(command) && (await isReady(part))) {
    return { name: part.name, action: 'left alone', port: part.port, pid: living.pid };
  }
  if (living !== undefined) await stopProcess(living.pid, living.marks, STOP_GRACE_MS);
  if (!(await isPortFreeSoon(part.port, signal))) throw new CliError(`port ${part.port} for ${part.name} is taken`, { exitCode: EXIT.dependency, evidence: [`held by ${describeHolder(holderOf(part.port))}`], next: `${PORT_VARIABLES[part.name]}=<another> agentos observe up` });
  const logFile = path.join(home, 'logs', `${part.name}.log`);
  mkdirSync(path.dirname(logFile), { recursive: true });
  const log = openSync(logFile, 'w', 0o640);
  try {
    const child = spawn(part.file, part.args, { cwd: repositoryRoot, detached: true, stdio: ['ignore', log, log], env: { PATH: process.env['PATH'], HOME: home } });
    child.on('error', () => undefined);
    child.unref();
    if (child.pid === undefined) throw new CliError(`${part.name} could not be started`, { exitCode: EXIT.dependency, evidence: [command.join(' ')], next: 'agentos observe up' });
    const running: Running = { pid: child.pid, marks: [path.basename(part.file), part.args.at(-1)!], port: part.port, startedAt: new Date().toISOString(), logFile, command };
    writeState(home, { ...stackState(home), [part.name]: running });
    await untilReady(part, running, signal);
    return { name: part.name, action: living === undefined ? 'started' : 'restarted', port: part.port, pid: child.pid };
  } finally {
    closeSync(log);
  }
}

/** The ports lie where the system takes those of outgoing connections from: one of them may hold it for a moment. */
async function isPortFreeSoon(port: number, signal: AbortSignal): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < 5_000; waitedMs += 250) {
    if (await isPortFree(port)) return true;
    if (holderOf(port).pid !== null) return false;
    await sleep(250, undefined, { signal });
  }
  return false;
}

/** Answers what was stopped. Signals nothing that is not one of them. */
export async function stopStack(home: string): Promise<readonly PartName[]> {
  const state = Object.entries(stackState(home)) as [PartName, Running][];
  const outcomes = await Promise.all(state.map(([, { pid, marks }]) => stopProcess(pid, marks, STOP_GRACE_MS)));
  rmSync(stateFile(home), { force: true });
  return state.filter((_, index) => outcomes[index] !== 'not_running').map(([name]) => name);
}

async function isReady({ port, readyPath }: Part): Promise<boolean> {
  if (readyPath === null) return listens(port);
  return requestText(`http://127.0.0.1:${port}${readyPath}`, { timeoutMs: 1_000 }).then(({ status }) => status === 200, () => false);
}

export function listens(port: number, host = '127.0.0.1', timeoutMs = 1_000): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host, timeout: timeoutMs });
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => end(true)).once('error', () => end(false)).once('timeout', () => end(false));
  });
}

async function untilReady(part: Part, { pid, marks, logFile }: Running, signal: AbortSignal): Promise<void> {
  const startedMs = performance.now();
  for (;;) {
    signal.throwIfAborted();
    if (await isReady(part)) return;
    const waitedMs = performance.now() - startedMs;
    // Between fork and exec the process still carries this program's command line: give it a second to change.
    const gone = waitedMs > 1_000 && !isProcess(pid, marks);
    if (gone || waitedMs > READY_MS) {
      throw new CliError(gone ? `${part.name} ended while starting` : `${part.name} did not become ready in ${READY_MS / 1_000} s`, {
        exitCode: gone ? EXIT.dependency : EXIT.timeout, evidence: readFrom(logFile, 0).trim().split('\n').slice(-6).map((line) => redact(line)), next: `see ${logFile}`,
      });
    }
    await sleep(50, undefined, { signal });
  }
}

function writeState(home: string, state: StackState): void {
  const file = stateFile(home);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(`${file}.new`, `${JSON.stringify(state, null, 2)}\n`);
  renameSync(`${file}.new`, file);
}
