/** A node of its own for one test file: temporary folders, free ports, driven by the command line alone. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, chmodSync, chownSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeAll } from 'vitest';
import { findFreePort } from '../../scripts/lib/ports.ts';
import { runCommand, type CommandResult } from '../../scripts/lib/process.ts';
import { repositoryRoot } from '../../scripts/lib/repository.ts';
import { buildIsStale } from '../../scripts/lib/services/build.ts';

export interface CliNode {
  readonly home: string;
  readonly reports: string;
  readonly baseUrl: string;
  /** What its commands run with. */
  readonly env: Readonly<NodeJS.ProcessEnv>;
  /** Runs one command line to its end. */
  agentos(...args: readonly string[]): Promise<CommandResult>;
  /** Starts one and leaves it running. */
  start(...args: readonly string[]): ChildProcess;
  /** pid of a service, as its state file tells. */
  pidOf(service: string): number;
  remove(): Promise<void>;
}

const PROGRAM = path.join(repositoryRoot, 'dist', 'scripts', 'agentos.js');

/** The command line is tested as users run it: built. */
export async function ensureBuilt(): Promise<void> {
  if (existsSync(PROGRAM) && !buildIsStale()) return;
  const result = await runCommand(process.execPath, [path.join(repositoryRoot, 'scripts/build.mjs')], { cwd: repositoryRoot, timeoutMs: 60_000 });
  if (result.code !== 0) throw new Error(`The build failed: ${result.stderr}`);
}

export interface CliNodeOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly uid?: number;
}

export async function createCliNode(options: CliNodeOptions = {}): Promise<CliNode> {
  const folder = mkdtempSync(path.join(tmpdir(), 'agentos-cli-'));
  chmodSync(folder, 0o755);
  if (options.uid !== undefined) chownSync(folder, options.uid, options.uid);
  const home = path.join(folder, '.agentos');
  const reports = path.join(folder, 'reports');
  const [orchestrator, modelPolicy, federation] = await Promise.all([findFreePort(), findFreePort(), findFreePort()]);
  const env: NodeJS.ProcessEnv = {
    PATH: process.env['PATH'],
    HOME: folder,
    AGENTOS_HOME: home,
    AGENTOS_REPORTS_DIR: reports,
    AGENTOS_AGENT_ORCHESTRATOR_PORT: String(orchestrator),
    AGENTOS_MODEL_POLICY_PORT: String(modelPolicy),
    AGENTOS_FEDERATION_PORT: String(federation),
    AGENTOS_STOP_GRACE_MS: '0',
    ...options.env,
  };
  const identity = options.uid === undefined ? {} : { uid: options.uid, gid: options.uid };
  const agentos = (...args: readonly string[]): Promise<CommandResult> =>
    runCommand(process.execPath, [PROGRAM, ...args], { ...identity, cwd: repositoryRoot, env, timeoutMs: 120_000 });
  return {
    home,
    reports,
    baseUrl: `http://127.0.0.1:${orchestrator}`,
    env,
    agentos,
    start: (...args) => spawn(process.execPath, [PROGRAM, ...args], { ...identity, cwd: repositoryRoot, env, stdio: ['ignore', 'pipe', 'pipe'] }),
    pidOf: (service) => (JSON.parse(readFileSync(path.join(home, 'state', `${service}.json`), 'utf8')) as { pid: number }).pid,
    async remove() {
      if (existsSync(home)) await agentos('nuke', '--hard', '--yes-really');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** For a file of tests that each bring up nodes of their own: what a test started ends with it, the last first. */
export function cliNodes(): { newNode(options?: CliNodeOptions): Promise<CliNode>; atEnd(end: () => Promise<unknown>): void } {
  const ends: (() => Promise<unknown>)[] = [];
  const atEnd = (end: () => Promise<unknown>): void => void ends.push(end);
  beforeAll(ensureBuilt, 60_000);
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  }, 60_000);
  return {
    atEnd,
    async newNode(options = {}) {
      const node = await createCliNode(options);
      atEnd(() => node.remove());
      return node;
    },
  };
}

/** JSON lines, one document each. */
export function jsonLines<Line>(text: string): readonly Line[] {
  return text.trim().split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Line);
}
