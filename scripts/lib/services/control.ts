/**
 * Starts, replaces and stops the services of a node. A service is left alone when its process lives, was started from
 * this build with these settings, and is ready; else it is stopped politely and started anew.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readSync, renameSync, statSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '../../../services/platform/config/load.ts';
import { CliError, EXIT } from '../errors.ts';
import { isProcess, stopProcess } from '../process.ts';
import { redact } from '../redact.ts';
import { repositoryRoot } from '../repository.ts';
import { programOf, sha256 } from './build.ts';
import type { ServiceEntry } from './catalog.ts';
import { relevantLines } from './log-lines.ts';
import { probeService, type Probe } from './probe.ts';
import { livingState, readState, removeState, writeState, type ServiceState } from './state.ts';

/** A service has 25 s to finish its work after SIGTERM. */
export const STOP_GRACE_MS = 25_000;
const SETTLE_MS = 10_000;
const ROTATE_BYTES = 20 * 1024 * 1024;

export interface StartOptions {
  readonly home: string;
  readonly host: string;
  readonly port: number;
  readonly tls?: boolean;
  readonly environment: Readonly<Record<string, string>>;
  readonly readyTimeoutMs: number;
  readonly signal: AbortSignal;
  /** Services that are being started right now; who lacks nothing but them is waited for. */
  readonly starting?: Set<string>;
}

export type EnsureAction = 'left alone' | 'started' | 'restarted';

export interface Ensured {
  readonly action: EnsureAction;
  readonly state: ServiceState;
  readonly probe: Probe;
}

export function logFileOfService(home: string, name: string): string {
  return path.join(home, 'logs', `${name}.log`);
}

/** @throws CliError with the last log lines when it does not become ready: configuration where the service says so, else dependency. */
export async function ensureService(service: ServiceEntry, options: StartOptions): Promise<Ensured> {
  const living = livingState(options.home, service.name);
  if (living !== null) {
    if (isCurrent(service, living, options)) {
      const probe = await settle(service, living, options);
      if (probe.ready) return { action: 'left alone', state: living, probe };
    }
    options.starting?.add(service.name);
    await stopService(service, options.home);
  }
  options.starting?.add(service.name);
  const hadRun = living !== null || readState(options.home, service.name) !== null;
  const { state, child } = launch(service, options);
  try {
    return { action: hadRun ? 'restarted' : 'started', state, probe: await untilReady(service, state, child, options) };
  } finally {
    options.starting?.delete(service.name);
  }
}

function isCurrent(service: ServiceEntry, state: ServiceState, options: StartOptions): boolean {
  return state.port === options.port && state.buildId === programOf(service.name).buildId && state.settingsId === settingsId(options.environment);
}

/**
 * A service that lost its database a moment ago gets the time to find it again before it is replaced; and one that only
 * lacks services that are being started gets it from when those are there, however slow the machine is.
 */
async function settle(service: ServiceEntry, state: ServiceState, { starting = new Set(), signal }: StartOptions): Promise<Probe> {
  let deadline = Date.now() + SETTLE_MS;
  for (;;) {
    const probe = await probeService(service, state);
    signal.throwIfAborted();
    if (probe.lacks.length > 0 && probe.lacks.every((name) => starting.has(name))) deadline = Date.now() + SETTLE_MS;
    if (probe.ready || Date.now() > deadline || !isProcess(state.pid, state.marks)) return probe;
    await sleep(100);
  }
}

/** What the service would read now, its file of settings included; not the terminal or the folder `up` was typed in. */
function settingsId(environment: Readonly<Record<string, string>>): string {
  return sha256(JSON.stringify(settingsOf(environment)));
}

function settingsOf(environment: Readonly<Record<string, string>>): unknown {
  const { values, references } = loadConfig({ env: environment });
  return Object.keys(references).length === 0 ? values : { values, references };
}

function launch(service: ServiceEntry, options: StartOptions): { readonly state: ServiceState; readonly child: ChildProcess } {
  const program = programOf(service.name);
  const logFile = logFileOfService(options.home, service.name);
  mkdirSync(path.dirname(logFile), { recursive: true });
  if (existsSync(logFile) && statSync(logFile).size > ROTATE_BYTES) renameSync(logFile, `${logFile}.1`);
  const command = [process.execPath, ...program.args, '--port', String(options.port), '--host', options.host];
  const log = openSync(logFile, 'a', 0o640);
  try {
    const child = spawn(command[0]!, command.slice(1), {
      cwd: repositoryRoot,
      env: options.environment,
      detached: true,
      stdio: ['ignore', log, log],
    });
    // A failure to start shows as a missing pid; without a listener it would also end this process.
    child.on('error', () => undefined);
    child.unref();
    if (child.pid === undefined) throw new CliError(`${service.name} could not be started`, { exitCode: EXIT.dependency, evidence: [command.join(' ')], next: 'agentos up' });
    const state: ServiceState = {
      service: service.name,
      pid: child.pid,
      startedAt: new Date().toISOString(),
      command,
      marks: [program.mark, `--port ${options.port}`],
      host: options.host,
      port: options.port,
      tls: options.tls,
      buildId: program.buildId,
      settingsId: settingsId(options.environment),
      logFile,
    };
    writeState(options.home, state);
    return { state, child };
  } finally {
    closeSync(log);
  }
}

async function untilReady(service: ServiceEntry, state: ServiceState, child: ChildProcess, options: StartOptions): Promise<Probe> {
  const logFrom = statSync(state.logFile).size;
  const deadline = Date.now() + options.readyTimeoutMs;
  let startedAtLeastOnce = false;
  for (;;) {
    options.signal.throwIfAborted();
    const alive = isProcess(state.pid, state.marks);
    startedAtLeastOnce ||= alive;
    const probe = await probeService(service, state);
    if (probe.ready && alive) return probe;
    // Between fork and exec the process still carries this program's command line: give it a second to change.
    const gone = !alive && (startedAtLeastOnce || Date.now() > deadline - options.readyTimeoutMs + 1_000);
    if (gone || Date.now() > deadline) {
      // A process shows as gone a moment before its exit code is told.
      if (gone && child.exitCode === null) await sleep(100);
      throw new CliError(gone ? `${service.name} ended while starting` : `${service.name} did not become ready in ${options.readyTimeoutMs / 1_000} s`, {
        exitCode: !gone ? EXIT.timeout : child.exitCode === EXIT.configuration ? EXIT.configuration : EXIT.dependency,
        evidence: [...(gone ? [] : [probe.detail]), ...evidenceFrom(service.name, state.logFile, logFrom)],
        next: `agentos logs ${service.name}`,
      });
    }
    await sleep(40);
  }
}

function evidenceFrom(name: string, logFile: string, from: number): readonly string[] {
  return relevantLines(name, readFrom(logFile, from), 6).map((line) => redact(line));
}

/** The text of a file from a byte on, at most its last 64 KiB. */
export function readFrom(file: string, from: number): string {
  const size = statSync(file).size;
  const start = Math.max(from > size ? 0 : from, size - 65_536);
  const buffer = Buffer.alloc(size - start);
  const handle = openSync(file, 'r');
  try {
    readSync(handle, buffer, 0, buffer.length, start);
  } finally {
    closeSync(handle);
  }
  return buffer.toString('utf8');
}

/** SIGTERM, then SIGKILL after the grace; true when it was running. Signals nothing that is not this service. */
export async function stopService(service: ServiceEntry, home: string, graceMs = STOP_GRACE_MS): Promise<boolean> {
  const state = readState(home, service.name);
  if (state === null) return false;
  const outcome = await stopProcess(state.pid, state.marks, graceMs);
  removeState(home, service.name);
  return outcome !== 'not_running';
}
