/**
 * Agent Orchestrator scaled out: any number of API and worker processes and one Model Policy over one Postgres, each
 * process with its own way to the database and to the models, so that a fault can be done to one of them alone.
 *
 * Only processes that were started here are ever signalled. A process that ends without having been told to is kept in
 * `unexpectedExits`: nothing that happens around a service may end it.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { migrate } from '../../services/platform/db/migrate.ts';
import { buildForTest, type Replacement, type TestBuild } from './builds.ts';
import { planNode } from './environment.ts';
import { startFaultyProxy, type FaultyProxy } from './faulty-proxy.ts';
import { freePorts } from './free-port.ts';
import { nodeMigrations } from './migrations.ts';
import { startPostgresProxy, type PostgresProxy } from './postgres-proxy.ts';
import { seedDatabase } from './seed.ts';

export type FleetRole = 'api' | 'worker' | 'all';

export interface Member {
  readonly name: string;
  readonly role: FleetRole;
  readonly url: string;
  readonly postgres: PostgresProxy;
  readonly pid: number | undefined;
  readonly running: boolean;
  start(): Promise<void>;
  /** Sends the signal; with one that ends the process, resolves with its exit code once it is gone. */
  signal(name: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT'): Promise<number | null>;
  /** What it printed last. */
  output(): string;
}

export interface Fleet {
  readonly members: readonly Member[];
  readonly apis: readonly Member[];
  readonly workers: readonly Member[];
  /** What stands between the orchestrators and Model Policy. */
  readonly models: FaultyProxy;
  readonly unexpectedExits: readonly string[];
  member(name: string): Member;
  /** Ends everything; also what is stopped or silent. */
  close(): Promise<void>;
}

export interface FleetOptions {
  readonly databaseUrl: string;
  /** Names and roles; an `all` process both serves and works. */
  readonly members: Readonly<Record<string, FleetRole>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly mutants?: readonly Replacement[];
  /** False: members go straight to the database. */
  readonly proxied?: boolean;
  /** True: members go straight to Model Policy; for measuring. */
  readonly directModels?: boolean;
}

const ORCHESTRATOR = 'services/agent-orchestrator/main.ts';
const MODEL_POLICY = 'services/model-policy/main.ts';
const START_LIMIT_MS = 120_000;
const STOP_LIMIT_MS = 30_000;

export const ENDING = new Set(['SIGKILL', 'SIGTERM']);

/** Migrates and seeds the database, starts every process and waits until all are ready. */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const build = await buildForTest([ORCHESTRATOR, MODEL_POLICY], options.mutants ?? []);
  const closing: (() => Promise<unknown>)[] = [async () => build.remove()];
  const close = async (): Promise<void> => {
    for (const step of closing.splice(0).reverse()) await step();
  };
  try {
    for (const set of nodeMigrations) await migrate({ url: options.databaseUrl, ...set });
    await seedDatabase(options.databaseUrl);
    const plan = planNode({ databaseUrl: options.databaseUrl, ports: await freePorts(3), ...(options.env === undefined ? {} : { env: options.env }) });
    const unexpectedExits: string[] = [];
    const modelPolicy = launcher({ name: 'model-policy', entry: build.entry(MODEL_POLICY), flags: [], url: plan.urls['model-policy'], env: plan.env, unexpectedExits });
    closing.push(() => modelPolicy.signal('SIGKILL'));
    await modelPolicy.start();
    const models = await startFaultyProxy(plan.urls['model-policy']);
    closing.push(() => models.close());
    const members = await Promise.all(Object.entries(options.members).map(([name, role]) => addMember({ name, role, build, plan: plan.env, models, options, unexpectedExits, closing })));
    await Promise.all(members.map((member) => member.start()));
    const member = (name: string): Member => {
      const found = members.find((one) => one.name === name);
      if (found === undefined) throw new Error(`There is no process ${name}.`);
      return found;
    };
    return { members, apis: members.filter(({ role }) => role !== 'worker'), workers: members.filter(({ role }) => role !== 'api'), models, unexpectedExits, member, close };
  } catch (error) {
    await close().catch(() => undefined);
    throw error;
  }
}

interface Joining {
  readonly name: string;
  readonly role: FleetRole;
  readonly build: TestBuild;
  readonly plan: Readonly<Record<string, string>>;
  readonly models: FaultyProxy;
  readonly options: FleetOptions;
  readonly unexpectedExits: string[];
  readonly closing: (() => Promise<unknown>)[];
}

async function addMember({ name, role, build, plan, models, options, unexpectedExits, closing }: Joining): Promise<Member> {
  const [port] = await freePorts(1);
  const postgres = await startPostgresProxy(options.databaseUrl);
  closing.push(() => postgres.close());
  const url = `http://127.0.0.1:${port}`;
  const env = { ...plan, AGENTOS_PORT: String(port), ...(options.directModels ? {} : { AGENTOS_MODEL_POLICY_URL: models.url }), DATABASE_URL: options.proxied === false ? options.databaseUrl : postgres.url };
  const process = launcher({ name, entry: build.entry(ORCHESTRATOR), flags: ['--role', role], url, env, unexpectedExits });
  closing.push(() => process.signal('SIGKILL'));
  return Object.assign(process, { role, postgres });
}

interface Launch {
  readonly name: string;
  readonly entry: string;
  readonly flags: readonly string[];
  readonly url: string;
  readonly env: Readonly<Record<string, string>>;
  readonly unexpectedExits: string[];
}

function launcher({ name, entry, flags, url, env, unexpectedExits }: Launch): Omit<Member, 'role' | 'postgres'> {
  let child: ChildProcess | null = null;
  let expected = false;
  let lines: string[] = [];
  const output = (): string => lines.join('');
  return {
    name,
    url,
    output,
    get pid() {
      return child?.pid;
    },
    get running() {
      return child !== null && child.exitCode === null && child.signalCode === null;
    },
    async start() {
      lines = [];
      expected = false;
      const inherited = Object.fromEntries(Object.entries(process.env).filter(([key]) => ['PATH', 'HOME', 'TMPDIR', 'LANG'].includes(key)));
      const started = spawn(process.execPath, ['--enable-source-maps', entry, ...flags], { env: { ...inherited, ...env, AGENTOS_ENV_FILE: '/dev/null' }, stdio: ['ignore', 'pipe', 'pipe'] });
      child = started;
      const keep = (chunk: Buffer): void => {
        lines.push(chunk.toString('utf8'));
        if (lines.length > 400) lines.shift();
      };
      started.stdout.on('data', keep);
      started.stderr.on('data', keep);
      started.once('exit', (code, signal) => {
        if (!expected) unexpectedExits.push(`${name} ended with ${code ?? signal}: ${output().slice(-2_000)}`);
      });
      await untilReady(name, url, started, output);
    },
    async signal(signal) {
      if (child === null || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
      if (!ENDING.has(signal)) {
        child.kill(signal);
        return null;
      }
      expected = true;
      const ending = child;
      const gone = once(ending, 'exit');
      ending.kill(signal);
      const timer = setTimeout(() => ending.kill('SIGKILL'), STOP_LIMIT_MS);
      await gone;
      clearTimeout(timer);
      return ending.exitCode;
    },
  };
}

async function untilReady(name: string, url: string, child: ChildProcess, output: () => string): Promise<void> {
  const deadline = Date.now() + START_LIMIT_MS;
  for (let last = 'no answer'; ;) {
    // Killed while it started, which is what whoever killed it wanted.
    if (child.signalCode !== null) return;
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode} while starting:\n${output().slice(-4_000)}`);
    if (Date.now() > deadline) {
      child.kill('SIGKILL');
      throw new Error(`${name} was not ready after ${START_LIMIT_MS} ms (${last}):\n${output().slice(-4_000)}`);
    }
    const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2_000) }).catch((error: unknown) => error as Error);
    if (answer instanceof Response && answer.ok) return;
    last = answer instanceof Response ? `readyz ${answer.status}: ${await answer.text()}` : answer.message;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
