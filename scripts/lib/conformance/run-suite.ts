/**
 * Runs a port's suite with Vitest, in this process's own instance: from a clone after `npm ci`, on an adapter that may
 * lie anywhere. Nothing of the repository's own test set-up takes part; no database is started.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { Writable } from 'node:stream';
import type { TestCase, TestModule, Vitest } from 'vitest/node';
import type { ConformanceReport } from '../../../generated/types/index.ts';
import { CliError, EXIT } from '../errors.ts';
import { repositoryRoot } from '../repository.ts';

export type Check = ConformanceReport['checks'][number];

export interface SuiteResult {
  readonly checks: readonly Check[];
  /** The adapter's file could not be used; in words for its author. */
  readonly unusable: string | null;
  /** As the adapter's factory names it. */
  readonly adapter: string | null;
}

export interface SuitePart {
  readonly port: string;
  readonly part: string;
  readonly behaviours: readonly string[];
}

const SUITE = 'conformance/ports/external-suite.ts';
const MAX_DETAIL_CHARACTERS = 1_500;

export async function runSuite(asked: { readonly port: string; readonly file: string }, onCheck: (check: Check) => void): Promise<SuiteResult> {
  const vitest = await openVitest(asked, onCheck);
  try {
    await vitest.start();
    const [module] = vitest.state.getTestModules();
    if (module === undefined) throw new CliError('the suite was not found', { exitCode: EXIT.dependency, evidence: [path.join(repositoryRoot, SUITE)], next: 'run it from a whole clone' });
    const checks = [...module.children.allTests()].map(checkOf);
    const problems = [...module.errors(), ...vitest.state.getUnhandledErrors().map((error) => error as { name?: string; message?: string })];
    const unusable = problems.find(({ name }) => name === 'AdapterFileError');
    if (unusable !== undefined) return { checks: [], unusable: unusable.message ?? 'The file cannot be used.', adapter: null };
    const broken = problems.map(({ name, message }): Check => ({ part: 'suite', behaviour: 'runs to its end without an error outside of its tests', status: 'failed', duration_ms: 0, detail: `${name ?? 'Error'}: ${message ?? ''}`.slice(0, MAX_DETAIL_CHARACTERS) }));
    return { checks: [...checks, ...broken], unusable: null, adapter: (module.meta() as { adapter?: string }).adapter ?? null };
  } finally {
    await vitest.close();
  }
}

/** The parts of every port's suite, without running anything. */
export async function listParts(): Promise<readonly SuitePart[]> {
  const vitest = await openVitest(null, () => undefined);
  try {
    await vitest.collect();
    const parts = new Map<string, { port: string; part: string; behaviours: string[] }>();
    for (const module of vitest.state.getTestModules()) {
      for (const test of module.children.allTests()) {
        const { port, part, behaviour } = placeOf(test);
        const row = parts.get(`${port}\n${part}`) ?? { port, part, behaviours: [] };
        row.behaviours.push(behaviour);
        parts.set(`${port}\n${part}`, row);
      }
    }
    return [...parts.values()];
  } finally {
    await vitest.close();
  }
}

async function openVitest(asked: { readonly port: string; readonly file: string } | null, onCheck: (check: Check) => void): Promise<Vitest> {
  const { createVitest } = await import('vitest/node').catch((cause: unknown) => {
    throw new CliError('Vitest is not installed', { exitCode: EXIT.dependency, evidence: ['the suites run on it; it is a development dependency'], next: `npm ci --prefix ${repositoryRoot}`, cause });
  });
  if (!existsSync(path.join(repositoryRoot, SUITE))) throw new CliError('the port suites are not here', { exitCode: EXIT.dependency, evidence: [path.join(repositoryRoot, SUITE)], next: 'run it from a whole clone' });
  const reporter = {
    onTestCaseResult: (test: TestCase) => onCheck(checkOf(test)),
    onTestRunEnd: (_modules: readonly TestModule[]) => undefined,
  };
  return createVitest(
    'test',
    {
      root: repositoryRoot, config: false, include: [SUITE], watch: false, reporters: [reporter], provide: { conformance: asked }, pool: 'forks', maxWorkers: 1,
      testTimeout: 20_000, hookTimeout: 60_000, teardownTimeout: 10_000, silent: true, sequence: { hooks: 'list' }, passWithNoTests: true,
    },
    { clearScreen: false, logLevel: 'silent', server: { fs: { strict: false } } },
    // Nothing but the report speaks.
    { stdout: new Sink(), stderr: new Sink() },
  );
}

function placeOf(test: TestCase): { port: string; part: string; behaviour: string } {
  const [port = '', ...rest] = test.fullName.split(' > ');
  return { port, part: rest.slice(0, -1).join(' › '), behaviour: rest.at(-1) ?? '' };
}

function checkOf(test: TestCase): Check {
  const { part, behaviour } = placeOf(test);
  const result = test.result();
  const detail = result.state === 'failed' ? result.errors.map(({ message }) => message).join('\n') : result.state === 'skipped' ? (result.note ?? '') : '';
  return {
    part, behaviour, status: result.state === 'pending' ? 'skipped' : result.state,
    duration_ms: Math.max(0, Math.round(test.diagnostic()?.duration ?? 0)), detail: stripColour(detail).slice(0, MAX_DETAIL_CHARACTERS),
  };
}

class Sink extends Writable {
  override _write(_chunk: unknown, _encoding: BufferEncoding, done: () => void): void {
    done();
  }
}

// eslint-disable-next-line no-control-regex
const stripColour = (text: string): string => text.replace(/\u001b\[[0-9;]*m/g, '');
