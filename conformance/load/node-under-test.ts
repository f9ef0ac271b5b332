/** A node for benchmarks: the built services as processes of their own, on free ports, with quotas out of the way. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { request } from 'undici';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const START_LIMIT_MS = 20_000;
/** BENCH_PROFILE_DIR=folder writes a CPU profile of each service there when it ends. */
const PROFILE = process.env['BENCH_PROFILE_DIR'] ? ['--cpu-prof', `--cpu-prof-dir=${process.env['BENCH_PROFILE_DIR']}`] : [];

export interface NodeUnderTest {
  readonly orchestratorUrl: string;
  readonly modelPolicyUrl: string;
  readonly orchestratorPid: number;
  readonly modelPolicyPid: number;
  stop(): Promise<void>;
}

/** Migrates and seeds as `agentos up` does. */
export function seedDatabase(databaseUrl: string): void {
  const environment = { ...process.env, DATABASE_URL: databaseUrl, AGENTOS_ENV_FILE: '/dev/null' };
  execFileSync(process.execPath, [builtEntry('agent-orchestrator', 'seed-main.js')], { env: environment, stdio: ['ignore', 'ignore', 'inherit'] });
}

export function builtEntry(service: string, file: string, root: string = ROOT): string {
  const entry = path.join(root, 'dist/services', service, file);
  if (!existsSync(entry)) throw new Error(`${entry} is missing. Build first: npm run build`);
  return entry;
}

export interface NodeOptions {
  /** Where `dist/` lies: another build of the platform, to compare two; this repository when absent. */
  readonly root?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Processes that only work beside one that only serves; 0, the default, is one process for both. */
  readonly workers?: number;
}

/** Starts Model Policy and Agent Orchestrator on this database and waits until both are ready. */
export async function startNode(databaseUrl: string, options: NodeOptions = {}): Promise<NodeUnderTest> {
  const [orchestratorPort, modelPolicyPort] = await Promise.all([freePort(), freePort()]);
  const orchestratorUrl = `http://127.0.0.1:${orchestratorPort}`;
  const modelPolicyUrl = `http://127.0.0.1:${modelPolicyPort}`;
  const environment = {
    ...process.env,
    AGENTOS_MODE: 'demo',
    AGENTOS_CONTRACT_CHECK: 'off',
    AGENTOS_LOG_LEVEL: 'warn',
    AGENTOS_ENV_FILE: '/dev/null',
    AGENTOS_SIGNING_KEY: randomBytes(48).toString('base64url'),
    AGENTOS_DEFAULT_TENANT: 'tnt_demo',
    AGENTOS_STOP_GRACE_MS: '0',
    AGENTOS_QUOTA_RUN_CREATE_QPS: '1000000',
    AGENTOS_QUOTA_RUN_CREATE_BURST: '1000000',
    AGENTOS_QUOTA_CONCURRENT_RUNS: '100000',
    AGENTOS_QUOTA_INVOKE_QPS: '1000000',
    AGENTOS_WORKER_CONCURRENCY: '64',
    AGENTOS_AGENT_ORCHESTRATOR_URL: orchestratorUrl,
    AGENTOS_MODEL_POLICY_URL: modelPolicyUrl,
    DATABASE_URL: databaseUrl,
    ...options.environment,
  };
  const start = (service: string, port: number, role = 'all'): ChildProcess => {
    const env = { AGENTOS_ROLE: role, ...environment };
    return spawn(process.execPath, [...PROFILE, builtEntry(service, 'main.js', options.root), '--port', String(port)], { env, stdio: ['ignore', 'inherit', 'inherit'] });
  };
  const workers = await Promise.all(Array.from({ length: options.workers ?? 0 }, freePort));
  const processes = [
    start('model-policy', modelPolicyPort),
    start('agent-orchestrator', orchestratorPort, workers.length === 0 ? 'all' : 'api'),
    ...workers.map((port) => start('agent-orchestrator', port, 'worker')),
  ];
  const stop = async (): Promise<void> => {
    await Promise.all(processes.map(stopProcess));
  };
  try {
    await Promise.all([modelPolicyPort, orchestratorPort, ...workers].map((port, index) => untilReady(`http://127.0.0.1:${port}/readyz`, processes[index]!)));
  } catch (error) {
    await stop();
    throw error;
  }
  return { orchestratorUrl, modelPolicyUrl, modelPolicyPid: processes[0]!.pid!, orchestratorPid: processes[1]!.pid!, stop };
}

/** As untilReady, for a server whose every answer means that it serves. */
export function untilAnswers(url: string, child: ChildProcess): Promise<void> {
  return untilReady(url, child, () => true);
}

export async function untilReady(url: string, child: ChildProcess, isReady: (status: number) => boolean = (status) => status === 200): Promise<void> {
  const deadline = Date.now() + START_LIMIT_MS;
  let last = 'no answer';
  while (Date.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`The service behind ${url} ended with code ${child.exitCode} while starting.`);
    try {
      const answer = await request(url);
      const body = await answer.body.text();
      if (isReady(answer.statusCode)) return;
      last = `${answer.statusCode} ${body}`;
    } catch (error) {
      last = String(error);
    }
    await sleep(50);
  }
  throw new Error(`${url} was not ready within ${START_LIMIT_MS} ms: ${last}`);
}

export async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await ended;
  clearTimeout(timer);
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
