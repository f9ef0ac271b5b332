/**
 * A node as real processes, from each service's main.ts, for tests that kill them. Only processes started here are
 * ever signalled. What they print is kept for the message of a failure.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { testDatabase, type TestDatabase } from './database.ts';
import { planNode, type NodePlan } from './environment.ts';
import { freePorts } from './free-port.ts';
import { nodeMigrations } from './migrations.ts';
import type { ServiceName } from './prism.ts';
import { seedDatabase } from './seed.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const START_LIMIT_MS = 120_000;
const STOP_LIMIT_MS = 30_000;

export interface ProcessNode {
  readonly urls: NodePlan['urls'];
  readonly database: TestDatabase;
  /** Starts a service that does not run and waits until it is ready. `env` is put on top of the node's. */
  start(service: ServiceName, env?: Readonly<Record<string, string>>): Promise<void>;
  /** Ends a service by this signal and waits until it is gone. Answers its exit code; null when the signal ended it. */
  kill(service: ServiceName, signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null>;
  /** Stops a service where it is: it reads and answers nothing until it is killed. */
  freeze(service: ServiceName): void;
  /** The last lines that a service printed. */
  output(service: ServiceName): string;
  stop(): Promise<void>;
}

interface Started {
  readonly child: ChildProcess;
  readonly lines: string[];
}

/** A planned node with its own seeded database; nothing runs yet. */
export async function planProcesses(env: Readonly<Record<string, string>> = {}): Promise<ProcessNode> {
  const database = await testDatabase({ migrations: nodeMigrations });
  await seedDatabase(database.url);
  const plan = planNode({ databaseUrl: database.url, ports: await freePorts(3), env });
  const running = new Map<ServiceName, Started>();

  const kill = async (service: ServiceName, signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> => {
    const started = running.get(service);
    if (started === undefined) throw new Error(`${service} does not run.`);
    running.delete(service);
    return end(started.child, signal);
  };
  const start = async (service: ServiceName, more: Readonly<Record<string, string>> = {}): Promise<void> => {
    if (running.has(service)) throw new Error(`${service} runs already.`);
    const started = launch(service, { ...plan.env, ...more });
    running.set(service, started);
    await untilReady(service, plan.urls[service], started);
  };
  const freeze = (service: ServiceName): void => void running.get(service)!.child.kill('SIGSTOP');
  const output = (service: ServiceName): string => (running.get(service)?.lines ?? []).join('');
  const stop = async (): Promise<void> => {
    for (const service of [...running.keys()].reverse()) await kill(service, 'SIGTERM');
    await database.drop();
  };
  return { urls: plan.urls, database, start, kill, freeze, output, stop };
}

function launch(service: ServiceName, env: Readonly<Record<string, string>>): Started {
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => ['PATH', 'HOME', 'TMPDIR', 'LANG'].includes(name)));
  const child = spawn(process.execPath, ['--import', 'tsx', `services/${service}/main.ts`], {
    cwd: ROOT,
    env: { ...inherited, ...env, AGENTOS_ENV_FILE: '/dev/null' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: string[] = [];
  const keep = (chunk: Buffer): void => {
    lines.push(chunk.toString('utf8'));
    if (lines.length > 2_000) lines.shift();
  };
  child.stdout!.on('data', keep);
  child.stderr!.on('data', keep);
  return { child, lines };
}

async function untilReady(service: ServiceName, url: string, { child, lines }: Started): Promise<void> {
  const deadline = Date.now() + START_LIMIT_MS;
  for (let last = 'no answer'; ;) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${service} ended with ${child.exitCode ?? child.signalCode} while starting:\n${lines.slice(-20).join('')}`);
    if (Date.now() > deadline) {
      await end(child, 'SIGKILL');
      throw new Error(`${service} was not ready after ${START_LIMIT_MS} ms (${last}):\n${lines.slice(-20).join('')}`);
    }
    const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2_000) }).catch((error: unknown) => error as Error);
    if (answer instanceof Response && answer.ok) return;
    last = answer instanceof Response ? `readyz ${answer.status}: ${await answer.text()}` : answer.message;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function end(child: ChildProcess, signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const gone = once(child, 'exit');
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
  await gone;
  clearTimeout(timer);
  return child.exitCode;
}
