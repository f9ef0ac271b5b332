/** What only a real Postgres can show: killed processes, lost answers, fair claims over a backlog, plans, reconnection. */
import { spawn } from 'node:child_process';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabase, type TestDatabase } from '../../../conformance/harness/database.ts';
import { AUDIT_SET } from '../../../conformance/harness/migrations.ts';
import { startPostgresProxy } from '../../../conformance/harness/postgres-proxy.ts';
import { createDatabase, type Database } from '../../platform/db/pool.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { runCanceled, runCompleted } from '../events/drafts.ts';
import type { CreateRunResult, RunTransition } from '../ports/run-state.ts';
import { systemClock } from '../runtime/retry.ts';
import { CLAIM, UNLIMITED, newRun } from '../runtime/runtime.fixture.ts';
import { Worker } from '../runtime/worker.ts';
import { PostgresEvents } from './events-postgres.ts';
import { PostgresMemory } from './memory-postgres.ts';
import { SCHEMA, migrations } from './migrations/index.ts';
import { PostgresWake } from './postgres-wake.ts';
import { PostgresQueue, reconcileCounters } from './queue-postgres.ts';
import { PostgresRunState } from './run-state-postgres.ts';
import { BuiltinTools } from './tool-builtin.ts';
import { conversationModel } from './worker-process.fixture.ts';

const WORKER = { workerId: 'wrk_test' };
let test: TestDatabase;
let database: Database;
let wake: PostgresWake;
let runState: PostgresRunState;
let queue: PostgresQueue;
let events: PostgresEvents;

const tenant = (name: string): AuthContext => ({ tenant_id: `tnt_${name}`, principal: { principal_id: 'usr_test', principal_type: 'user' }, scopes: ['runs:create'] });

async function create(auth: AuthContext, overrides: Parameters<typeof newRun>[0] = {}): Promise<string> {
  const result = await runState.createRun(auth, newRun(overrides));
  if (result.outcome !== 'created') throw new Error(`not created: ${result.outcome}`);
  return result.run.runId;
}

async function sequences(auth: AuthContext, runId: string): Promise<number[]> {
  return (await events.read(auth, runId, { after: 0, limit: 500 })).events.map((event) => event.sequence);
}

/** A claim spans tenants, so no test leaves runs behind for the next. */
async function cancelAll(...tenants: readonly AuthContext[]): Promise<void> {
  for (const auth of tenants) {
    for (const status of ['queued', 'running'] as const) {
      for (;;) {
        const { runs, hasMore } = await runState.listRuns(auth, { status, limit: 500 });
        await Promise.all(runs.map(({ runId }) => runState.cancelRun(auth, runId, runCanceled(runId, 'usr_test'))));
        if (!hasMore) break;
      }
    }
  }
}

const range = (length: number): number[] => Array.from({ length }, (_, index) => index + 1);

beforeAll(async () => {
  test = await testDatabase({ migrations: [AUDIT_SET, { schema: SCHEMA, migrations }] });
  database = await createDatabase({ url: test.url, applicationName: 'orchestrator-test', keyedStatements: true });
  wake = new PostgresWake({ pool: database.pool, url: test.url });
  runState = new PostgresRunState(database.pool);
  queue = new PostgresQueue(database.pool, wake);
  events = new PostgresEvents(database.pool, wake);
});

afterAll(async () => {
  await runState.close();
  await wake.close();
  await database.close();
  await test.drop();
});

describe('a killed worker', () => {
  it('loses nothing: another completes its runs without gap or repeat, within the lease and two seconds', async () => {
    const auth = tenant('killed');
    const ids = await Promise.all(Array.from({ length: 12 }, () => create(auth)));
    const child = spawn(process.execPath, ['--import', 'tsx', new URL('./worker-process.fixture.ts', import.meta.url).pathname, 'run'], { env: { ...process.env, DATABASE_URL: test.url }, stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = new Promise((resolve) => child.once('exit', resolve));
    let calls = 0;
    await new Promise<void>((resolve) => child.stdout.on('data', (chunk: Buffer) => {
      calls += chunk.toString().split('calling').length - 1;
      if (calls >= 11) resolve();
    }));
    child.kill('SIGKILL');
    await exited;
    const killedAt = performance.now();
    const running = (await runState.listRuns(auth, { status: 'running', limit: 100 })).runs.length;
    expect(running).toBeGreaterThan(0);
    const worker = new Worker(queue, {
      runState, events, model: conversationModel(1, () => undefined), tools: new BuiltinTools(new PostgresMemory(database.pool)), entitlement: async () => null, clock: systemClock, log: pino({ level: 'silent' }),
    }, { leaseMs: 800, heartbeatMs: 200, pollMs: 100 });
    worker.start();
    while ((await runState.listRuns(auth, { status: 'completed', limit: 100 })).runs.length < ids.length) {
      expect(performance.now() - killedAt, 'every run resumes in time').toBeLessThan(800 + 2_000 + 2_000);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await worker.stop();
    let reclaimed = 0;
    for (const runId of ids) {
      const run = await runState.getRun(auth, runId);
      if (run.attempts > 1) reclaimed += 1;
      expect(run).toMatchObject({ output: { text: 'After 2 tools.' }, summary: { stepsTotal: 4, modelCallsTotal: 2, toolCallsTotal: 2 }, lastSequence: 19 });
      expect(await sequences(auth, runId)).toEqual(range(19));
    }
    expect(reclaimed).toBe(running);
    expect(await queue.depth(WORKER)).toEqual({ queued: 0, running: 0, drift: 0 });
  }, 180_000);
});

describe('a commit whose answer is lost', () => {
  it('makes neither a second run nor a second event', async () => {
    const auth = tenant('ambiguous');
    const proxy = await startPostgresProxy(test.url);
    const far = await createDatabase({ url: proxy.url, applicationName: 'far-stores', keyedStatements: true });
    const state = new PostgresRunState(far.pool);
    proxy.loseCommits(() => Math.random() < 0.3);
    const results: CreateRunResult[] = await Promise.all(Array.from({ length: 60 }, () => state.createRun(auth, newRun())));
    expect(new Set(results.map((result) => result.outcome))).toEqual(new Set(['created']));
    const claimed = await queue.claim(WORKER, { ...CLAIM, limit: 100, leaseMs: 60_000 });
    expect(claimed).toHaveLength(60);
    for (let step = 0; step < 4; step += 1) {
      const outcomes = await Promise.all(claimed.map(({ lease, run }) => retry(() => state.advance(auth, lease, {
        expectedStep: step, summaryDelta: { stepsTotal: 0, toolCallsTotal: 0, modelCallsTotal: 0 },
        events: step === 3 ? [runCompleted(run.runId, { type: 'text', text: 'x' })] : [{ eventId: `evt_${run.runId}_${step}`, type: 'agentos.run.step.started', stepId: null, spanId: '00f067aa0ba902b7', payload: { name: 's' } }],
        end: step === 3 ? { status: 'completed', output: { type: 'text', text: 'x' } } : null,
      } satisfies RunTransition))));
      expect(outcomes.filter((outcome) => outcome.outcome === 'fenced')).toEqual([]);
    }
    proxy.loseCommits(null);
    expect(proxy.lostCommits).toBeGreaterThan(0);
    for (const { run } of claimed) expect(await sequences(auth, run.runId)).toEqual(range(6));
    expect((await runState.listRuns(auth, { limit: 200 })).runs).toHaveLength(60);
    expect(await queue.depth(WORKER)).toEqual({ queued: 0, running: 0, drift: 0 });
    await state.close();
    await far.close();
    await proxy.close();
  });
});

describe('fairness', () => {
  it('serves twenty tenants beside one with two thousand waiting runs', async () => {
    const big = tenant('big');
    await Promise.all(Array.from({ length: 2_000 }, () => create(big)));
    const small = Array.from({ length: 20 }, (_, index) => tenant(`small_${index}`));
    await Promise.all(small.flatMap((auth) => [create(auth), create(auth)]));
    const claimed = await queue.claim(WORKER, { ...CLAIM, limit: 63, leaseMs: 60_000 });
    const byTenant = new Map<string, number>();
    for (const { lease } of claimed) byTenant.set(lease.tenantId, (byTenant.get(lease.tenantId) ?? 0) + 1);
    for (const auth of small) expect(byTenant.get(auth.tenant_id), auth.tenant_id).toBe(2);
    expect(byTenant.get(big.tenant_id)).toBe(23);
    await cancelAll(big, ...small);
  });

  it('serves a tenant’s high priority before its normal and low', async () => {
    const auth = tenant('priorities');
    const low = await create(auth, { options: { priority: 'low' } });
    await create(auth, { options: { priority: 'low' } });
    const normal = await create(auth);
    const high = await create(auth, { options: { priority: 'high' } });
    const order: string[] = [];
    while (order.length < 4) for (const { lease, run } of await queue.claim(WORKER, { ...CLAIM, leaseMs: 60_000 })) {
      if (lease.tenantId === auth.tenant_id) order.push(lease.runId);
      await runState.cancelRun(run.auth, lease.runId, runCanceled(lease.runId, 'usr_test'));
    }
    expect(order.slice(0, 3).sort()).toEqual([low, normal, high].sort());
  });

  it('takes runs by index, however many there are', async () => {
    const plan = await test.asSuperuser(async (client) => {
      await client.query(`INSERT INTO orchestrator.runs (tenant_id, run_id, agent_id, agent_version, created_at, correlation_id, traceparent, principal_id, request, work, priority, queue_rank, available_at)
        SELECT 'tnt_plan', 'run_' || n, 'a', '1', now(), 'c', 't', 'p', '{}', '{}', 1, n, now() + interval '1 day' FROM generate_series(1, 100000) n`);
      await client.query('ANALYZE orchestrator.runs');
      const { rows } = await client.query(`EXPLAIN SELECT tenant_id, run_id FROM orchestrator.runs WHERE status = 'queued' AND available_at <= statement_timestamp() ORDER BY queue_rank LIMIT 32 FOR UPDATE SKIP LOCKED`);
      const expired = await client.query(`EXPLAIN SELECT tenant_id, run_id FROM orchestrator.runs WHERE status = 'running' AND lease_until < statement_timestamp() ORDER BY lease_until LIMIT 32 FOR UPDATE SKIP LOCKED`);
      await client.query(`DELETE FROM orchestrator.runs WHERE tenant_id = 'tnt_plan'`);
      return JSON.stringify([rows, expired.rows]);
    });
    expect(plan).toContain('runs_queued');
    expect(plan).toContain('runs_leased');
    expect(plan).not.toContain('Seq Scan');
  });
});

describe('a server that goes away', () => {
  it('costs nothing but time: connections and wake-ups come back', async () => {
    const auth = tenant('severed');
    await create(auth);
    await test.severConnections();
    const other = new PostgresWake({ pool: database.pool, url: test.url, coalesceMs: 5 });
    const runId = await retry(() => create(auth));
    const waiting = events.wait(auth, runId, { after: 1, maxWaitMs: 10_000, signal: new AbortController().signal });
    const heard = new Promise((resolve) => void queue.onWrittenElsewhere((...what) => resolve(what)));
    // Announced by another process until the listener, which was severed, hears it.
    const announce = setInterval(() => other.announceRun(auth.tenant_id, runId, 2), 50);
    const startedAt = performance.now();
    // A listener that comes back wakes everybody, whether or not it has heard of the run by then.
    await waiting;
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    await expect(heard, 'a worker hears of writes by others').resolves.toEqual([auth.tenant_id, runId, 2]);
    clearInterval(announce);
    await other.close();
    await cancelAll(auth);
  });
});

describe('counters', () => {
  it('hold when runs of a tenant are created and end in one and the same flush', async () => {
    const auth = tenant('counters');
    await Promise.all(Array.from({ length: 40 }, () => create(auth)));
    for (let round = 0; round < 10; round += 1) {
      const claimed = await queue.claim(WORKER, { ...CLAIM, limit: 20, leaseMs: 60_000 });
      const ending = claimed.map(({ lease, run }, index) =>
        index % 3 === 0
          ? runState.cancelRun(auth, run.runId, runCanceled(run.runId, 'usr_test'))
          : runState.advance(auth, lease, { expectedStep: 0, events: [runCompleted(run.runId, { type: 'text', text: 'x' })], summaryDelta: { stepsTotal: 0, toolCallsTotal: 0, modelCallsTotal: 0 }, end: { status: 'completed', output: { type: 'text', text: 'x' } } }),
      );
      await Promise.all([...ending, ...Array.from({ length: 20 }, () => create(auth))]);
      expect((await queue.depth(WORKER)).drift).toBe(0);
    }
    const limits = { ...UNLIMITED, maxConcurrentRuns: 41 };
    const outcomes = await Promise.all([1, 2, 3].map(() => runState.createRun(auth, newRun({ limits }))));
    expect(outcomes.map((result) => result.outcome).sort()).toEqual(['concurrency_exceeded', 'concurrency_exceeded', 'created']);
    await cancelAll(auth);
  });

  it('are set right at start', async () => {
    const auth = tenant('drifted');
    await create(auth);
    await test.asSuperuser((client) => client.query("UPDATE orchestrator.tenant_runs SET active = 7 WHERE tenant_id = 'tnt_drifted'"));
    expect((await queue.depth(WORKER)).drift).toBe(6);
    expect(await reconcileCounters(database.pool)).toEqual(['tnt_drifted']);
    expect((await queue.depth(WORKER)).drift).toBe(0);
    expect(await reconcileCounters(database.pool)).toEqual([]);
  });
});

describe('rates', () => {
  it('are held over two processes', async () => {
    const auth = tenant('rates');
    const second = new PostgresRunState(database.pool);
    const limits = { ...UNLIMITED, createQps: 20, createBurst: 10 };
    const startedAt = performance.now();
    let granted = 0;
    await Promise.all(Array.from({ length: 40 }, async (_, index) => {
      while (performance.now() - startedAt < 1_000) {
        const result = await (index % 2 === 0 ? runState : second).createRun(auth, newRun({ limits }));
        if (result.outcome === 'created') granted += 1;
      }
    }));
    const seconds = (performance.now() - startedAt) / 1_000;
    expect(granted).toBeGreaterThanOrEqual(10 + Math.floor(20 * 0.9));
    expect(granted).toBeLessThanOrEqual(10 + 20 * seconds + 1);
    await second.close();
  });
});

describe('the queue of the node', () => {
  it('takes as many runs as it may, counted over two processes and all tenants', async () => {
    const tenants = Array.from({ length: 4 }, (_, index) => tenant(`full${index}`));
    const second = new PostgresRunState(database.pool);
    const before = (await queue.depth(WORKER)).queued;
    const limits = { ...UNLIMITED, maxQueuedRuns: before + 60 };
    const outcomes = await Promise.all(Array.from({ length: 200 }, async (_, index) => (await (index % 2 === 0 ? runState : second).createRun(tenants[index % 4]!, newRun({ limits }))).outcome));
    expect(outcomes.filter((outcome) => outcome === 'created')).toHaveLength(60);
    expect(outcomes.filter((outcome) => outcome === 'queue_full')).toHaveLength(140);
    expect(await queue.depth(WORKER)).toMatchObject({ queued: before + 60, drift: 0 });
    await cancelAll(...tenants);
    await second.close();
  });
});

async function retry<T>(call: () => Promise<T>): Promise<T> {
  for (const end = Date.now() + 5_000; ; ) {
    try {
      return await call();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
