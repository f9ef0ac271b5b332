/**
 * Processes on cores of their own: gateways on the first, what stands around them (upstream, clients, Postgres) on the
 * others, so that a gateway's figures are those of one core. Where there is no taskset, or one core, nothing is pinned.
 */
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';

export type Place = 'gateway' | 'around';

const CORES = cpus().length;
const CAN_PIN = CORES > 1 && spawnSync('taskset', ['--version'], { stdio: 'ignore' }).status === 0;

/** `taskset -c` lists; null: not pinned. */
export function coresOf(place: Place): string | null {
  if (!CAN_PIN) return null;
  return place === 'gateway' ? '0' : CORES === 2 ? '1' : `1-${CORES - 1}`;
}

export interface ProcessOptions {
  readonly place: Place;
  readonly environment?: NodeJS.ProcessEnv;
  readonly folder?: string;
  /** Where stdout goes: a file descriptor, or nowhere. */
  readonly output?: number;
  readonly hasChannel?: boolean;
}

/** Node with these arguments. taskset becomes the process it starts, so its id is the process's. */
export function startPinned(nodeArguments: readonly string[], { place, environment = process.env, folder, output, hasChannel = false }: ProcessOptions): ChildProcess {
  const cores = coresOf(place);
  const command = [process.execPath, ...nodeArguments];
  const [program, ...rest] = cores === null ? command : ['taskset', '-c', cores, ...command];
  return spawn(program!, rest, {
    env: environment, ...(folder === undefined ? {} : { cwd: folder }), serialization: 'advanced',
    stdio: ['ignore', output ?? 'ignore', 'inherit', ...(hasChannel ? (['ipc'] as const) : [])],
  });
}

/** A program of this folder, with a channel to it. */
export function startProgram(name: string, place: Place, environment: NodeJS.ProcessEnv = process.env): ChildProcess {
  return startPinned(['--import', import.meta.resolve('tsx'), fileURLToPath(new URL(`./${name}.ts`, import.meta.url))], { place, environment, hasChannel: true });
}

/** A server that runs already, with what it has forked. */
export function pin(pid: number, place: Place): void {
  const cores = coresOf(place);
  if (cores === null) return;
  const children = spawnSync('pgrep', ['-P', String(pid)], { encoding: 'utf8' }).stdout?.split('\n').filter((line) => line !== '') ?? [];
  for (const each of [String(pid), ...children]) execFileSync('taskset', ['-a', '-cp', cores, each], { stdio: 'ignore' });
}

/** The next message of a process. @throws Error when it ends instead. */
export function nextMessage<Message>(child: ChildProcess): Promise<Message> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null): void => reject(new Error(`A process of the benchmark (${child.spawnargs.at(-1)}) ended with code ${code}.`));
    child.once('exit', onExit);
    child.once('message', (message) => {
      child.off('exit', onExit);
      resolve(message as Message);
    });
  });
}
