/**
 * Services of a node that run while their state file is gone or broken, as after a full disk or a removed folder. They
 * are found by their command line and by the state folder that they were told, and get a state again, so that they can
 * be stopped and replaced. Only Linux lets a process be asked for its environment; elsewhere none is found.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { commandLineOf } from '../process.ts';
import { programOf } from './build.ts';
import { SERVICES, type ServiceEntry, type ServiceName } from './catalog.ts';
import { logFileOfService } from './control.ts';
import { readState, writeState, type ServiceState } from './state.ts';

/** Answers whom it found again. */
export function adoptLostServices(home: string): readonly ServiceName[] {
  const lost = SERVICES.filter((service) => readState(home, service.name) === null);
  if (lost.length === 0 || process.platform !== 'linux') return [];
  const marks = new Map(lost.map((service) => [service, programOf(service.name).mark]));
  const found: ServiceState[] = [];
  for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry)).map(Number)) {
    const line = commandLineOf(pid);
    for (const [service, mark] of marks) {
      const state = line?.includes(mark) === true ? stateOf(pid, line, service, mark, home) : null;
      if (state !== null) found.push(state);
    }
  }
  for (const state of found) writeState(home, state);
  return found.map((state) => state.service);
}

/** null where the process is that service of another node. */
function stateOf(pid: number, line: string, { name }: ServiceEntry, mark: string, home: string): ServiceState | null {
  const [, port] = / --port (\d+)/.exec(line) ?? [];
  const [, host] = / --host (\S+)/.exec(line) ?? [];
  const environment = environmentOf(pid);
  if (port === undefined || host === undefined || !environment.includes(`AGENTOS_DATA_DIR=${home}`)) return null;
  return {
    service: name, pid, startedAt: statSync(`/proc/${pid}`).ctime.toISOString(), command: line.split(' '), marks: [mark, `--port ${port}`], host, port: Number(port),
    tls: environment.some((entry) => entry.startsWith('AGENTOS_TLS_CERT_FILE=')),
    // Nobody knows what it was started from, so it counts as started from something else.
    buildId: '', settingsId: '', logFile: logFileOfService(home, name),
  };
}

/** Empty for a process of another user, and for one that has just ended. */
function environmentOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
  } catch {
    return [];
  }
}
