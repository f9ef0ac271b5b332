/** `.agentos/state/<service>.json`: what was started, so that it can be found, compared and stopped again. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { isProcess } from '../process.ts';
import type { ServiceName } from './catalog.ts';

export interface ServiceState {
  readonly service: ServiceName;
  readonly pid: number;
  readonly startedAt: string;
  readonly command: readonly string[];
  /** Words of its command line; checked before the pid is believed. */
  readonly marks: readonly string[];
  readonly host: string;
  readonly port: number;
  /** It serves HTTPS. */
  readonly tls?: boolean | undefined;
  readonly buildId: string;
  /** Digest of the settings it was started with. */
  readonly settingsId: string;
  readonly logFile: string;
}

function stateFile(home: string, service: string): string {
  return path.join(home, 'state', `${service}.json`);
}

/** null when the service was never started or its file cannot be understood. */
export function readState(home: string, service: ServiceName): ServiceState | null {
  try {
    const state = JSON.parse(readFileSync(stateFile(home, service), 'utf8')) as ServiceState;
    const whole = Number.isSafeInteger(state.pid) && Number.isSafeInteger(state.port) && typeof state.host === 'string' && Array.isArray(state.marks) && state.marks.length > 0;
    return whole ? state : null;
  } catch {
    return null;
  }
}

/** Written beside and moved into place, so that a reader never sees half a file. */
export function writeState(home: string, state: ServiceState): void {
  const file = stateFile(home, state.service);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(`${file}.new`, `${JSON.stringify(state, null, 2)}\n`);
  renameSync(`${file}.new`, file);
}

export function removeState(home: string, service: ServiceName): void {
  rmSync(stateFile(home, service), { force: true });
}

/** The state when the process it names is alive and is this service; else null. */
export function livingState(home: string, service: ServiceName): ServiceState | null {
  const state = readState(home, service);
  return state !== null && isProcess(state.pid, state.marks) ? state : null;
}
