/** One thing at a time goes away: the database, a worker, a process that is asked to stop, NATS. How soon work goes on. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestPostgres, type TestPostgres } from '../../scripts/lib/postgres/index.ts';
import { call } from '../harness/client.ts';
import { testDatabase, type TestDatabase } from '../harness/database.ts';
import { startFleet, type Fleet, type Member } from '../harness/fleet.ts';
import { nodeMigrations } from '../harness/migrations.ts';
import { natsUnavailable, planNats, type TestNats } from '../harness/nats.ts';
import { verifies } from '../http/verifies.ts';
import { Burst, percentile, type BurstAnswer } from './burst.ts';
import { startLoad } from './continuous-load.ts';
import { readOn, isTerminal } from './follower.ts';
import { ECHO_LOG, judge, runsInFlight, untilAllEnded } from './judge.ts';

const TENANT = 'tnt_demo';
const LEASE_MS = 3_000;
const GRACE_MS = 2_000;

async function until(what: string, limitMs: number, found: () => Promise<boolean>): Promise<number> {
  const startedAt = performance.now();
  while (!(await found())) {
    if (performance.now() - startedAt > limitMs) throw new Error(`${what}: not within ${limitMs} ms.`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return performance.now() - startedAt;
}

describe('a node of two APIs and two workers', () => {
  let postgres: TestPostgres;
  let fleet: Fleet;
  let burst: Burst;
  beforeAll(async () => {
    postgres = await startTestPostgres({ durable: true });
    fleet = await startFleet({
      databaseUrl: postgres.url,
      members: { 'api-1': 'api', 'api-2': 'api', 'worker-1': 'worker', 'worker-2': 'worker' },
      env: { AGENTOS_LEASE_MS: String(LEASE_MS), AGENTOS_STOP_GRACE_MS: String(GRACE_MS), AGENTOS_LOG_LEVEL: 'error' },
    });
    burst = new Burst(fleet.apis.map(({ url }) => url), { connections: 8 });
  }, 120_000);
  afterAll(async () => {
    await burst?.close();
    await fleet?.close();
    await postgres?.stop();
  }, 180_000);

  const create = async (): Promise<BurstAnswer & { readonly runId: string }> => {
    const answer = await burst.create({ tenantId: TENANT, agentId: 'agt_sample_echo_v1' });
    expect(answer.status).toBe(201);
    return answer as BurstAnswer & { readonly runId: string };
  };
  /** Those that hold runs now, with how many. */
  const holders = async (): Promise<(readonly [Member, number])[]> => {
    const held = await Promise.all(fleet.workers.map(async (worker) => [worker, await runsInFlight(postgres.url, [...worker.postgres.workers])] as const));
    return held.filter(([, count]) => count > 0);
  };

  it('serves again within five seconds of a restart of Postgres, and no process has ended', verifies(['PRS-12.1-01', 'PRS-3.1-03'], async () => {
    fleet.models.setDelay(() => 150);
    const load = startLoad({ targets: fleet.apis, runsPerSecond: 20, agentId: 'agt_sample_echo_v1', tenants: [TENANT], name: 'restart' });
    try {
      await new Promise((resolve) => setTimeout(resolve, 800));
      expect(await runsInFlight(postgres.url)).toBeGreaterThan(0);
      await postgres.kill();
      const [down] = await Promise.all([burst.create({ tenantId: TENANT }), new Promise((resolve) => setTimeout(resolve, 400))]);
      expect([down.status, down.code, down.retryAfter === null]).toEqual([503, 'dependency_unavailable', false]);
      await postgres.start();
      const acceptsAt = performance.now();
      const known = load.acknowledged.length;
      await until('an acknowledged run', 20_000, async () => load.acknowledged.length > known);
      const tookMs = performance.now() - acceptsAt;
      process.stderr.write(`faults/outages: first success ${tookMs.toFixed(0)} ms after Postgres accepts\n`);
      expect(tookMs).toBeLessThanOrEqual(5_000);
      await load.finish(20_000);
    } finally {
      await load.close();
    }
    await untilAllEnded(postgres.url, 20_000);
    expect((await judge(postgres.url, { acknowledged: load.acknowledged, log: ECHO_LOG })).violations).toEqual([]);
    expect(fleet.unexpectedExits).toEqual([]);
  }), 90_000);

  it('takes over the runs of a killed worker within its lease and two seconds', verifies(['PRS-1-02', 'PRS-12.1-01'], async () => {
    fleet.models.setMode('hangs');
    const { runId } = await create();
    await until('a worker that holds the run', 10_000, async () => (await holders()).length > 0);
    const [[worker]] = (await holders()) as [readonly [Member, number]];
    const killedAt = performance.now();
    await worker.signal('SIGKILL');
    await until('another worker', 20_000, async () => (await holders()).some(([other]) => other !== worker));
    const tookMs = performance.now() - killedAt;
    process.stderr.write(`faults/outages: the run of a killed worker went on after ${tookMs.toFixed(0)} ms, under a lease of ${LEASE_MS} ms\n`);
    expect(tookMs).toBeLessThanOrEqual(LEASE_MS + 2_000);
    fleet.models.setMode('answers');
    await worker.start();
    await call(fleet.apis[0]!.url, `/v1/runs/${runId}:cancel`, { method: 'POST' });
    await untilAllEnded(postgres.url, 20_000);
  }), 180_000);

  it('loses a worker that is asked to stop without a pause: its runs are given back', verifies(['PRS-12.1-01', 'PRS-8.1-02'], async () => {
    fleet.models.setMode('hangs');
    const made = await Promise.all(Array.from({ length: 6 }, create));
    await until('six runs that are held', 10_000, async () => (await runsInFlight(postgres.url)) >= 6);
    const [[worker]] = (await holders()) as [readonly [Member, number]];
    const startedAt = performance.now();
    expect(await worker.signal('SIGTERM')).toBe(0);
    expect(performance.now() - startedAt).toBeLessThanOrEqual(25_000);
    fleet.models.setMode('answers');
    await until('the other worker holds what was given back, or has done it', 2_000, async () => (await holders()).every(([other]) => other !== worker));
    await worker.start();
    for (const { runId } of made) await call(fleet.apis[0]!.url, `/v1/runs/${runId}:cancel`, { method: 'POST' });
    await untilAllEnded(postgres.url, 20_000);
    const rows = await call(fleet.apis[0]!.url, `/v1/runs/${made[0]!.runId}`);
    expect(rows.status).toBe(200);
  }), 180_000);

  it('loses an API that is asked to stop without an error: not ready first, streams ended, requests finished', verifies(['PRS-12.1-01', 'PRS-8.1-02'], async () => {
    const api = fleet.member('api-2');
    fleet.models.setMode('hangs');
    const { runId } = await create();
    const stream = readOn(api.url, { tenantId: TENANT, runId, after: 0 });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const startedAt = performance.now();
    const gone = api.signal('SIGTERM');
    await until('readiness says no', GRACE_MS, async () => (await fetch(`${api.url}/readyz`)).status === 503);
    const during = await call(api.url, `/v1/runs/${runId}`);
    expect(during.status, 'whoever still comes is served').toBe(200);
    const delivered = await stream;
    expect(delivered.length).toBeGreaterThan(0);
    expect(await gone).toBe(0);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(GRACE_MS);
    expect(performance.now() - startedAt).toBeLessThanOrEqual(25_000);
    fleet.models.setMode('answers');
    const rest = readOn(fleet.apis[0]!.url, { tenantId: TENANT, runId, after: delivered.at(-1)!.sequence });
    await call(fleet.apis[0]!.url, `/v1/runs/${runId}:cancel`, { method: 'POST' });
    const sequences = [...delivered, ...(await rest)];
    expect(sequences.map(({ sequence }) => sequence)).toEqual(sequences.map((_, index) => index + 1));
    expect(isTerminal(sequences.at(-1)!.type)).toBe(true);
    await api.start();
    expect(fleet.unexpectedExits).toEqual([]);
  }), 180_000);
});

const unavailable = await natsUnavailable();

describe.skipIf(unavailable !== null)('a node that wakes over NATS', () => {
  let database: TestDatabase;
  let nats: TestNats;
  let fleet: Fleet;
  beforeAll(async () => {
    [database, nats] = await Promise.all([testDatabase({ migrations: nodeMigrations }), planNats()]);
    // NATS is not there yet: the node starts without it.
    fleet = await startFleet({ databaseUrl: database.url, members: { 'api-1': 'api', 'worker-1': 'worker' }, proxied: false, env: { NATS_URL: nats.url, AGENTOS_LOG_LEVEL: 'error' } });
  }, 120_000);
  afterAll(async () => {
    await fleet?.close();
    await nats?.stop();
    await database?.drop();
  }, 180_000);

  const connected = async (wanted: 0 | 1): Promise<boolean> => {
    const texts = await Promise.all(fleet.members.map(async ({ url }) => (await fetch(`${url}/metrics`)).text()));
    return texts.every((text) => new RegExp(`^agentos_nats_connected.* ${wanted}$`, 'm').test(text));
  };
  /** From creation to the end of the stream, one after the other. */
  const wholeRuns = async (count: number): Promise<number[]> => {
    const burst = new Burst([fleet.apis[0]!.url], { connections: 4 });
    const took: number[] = [];
    try {
      for (let i = 0; i < count; i += 1) {
        const startedAt = performance.now();
        const { runId } = await burst.create({ tenantId: TENANT, agentId: 'agt_sample_echo_v1' });
        const events = await readOn(fleet.apis[0]!.url, { tenantId: TENANT, runId: runId!, after: 0 });
        expect(events.map(({ type }) => type)).toEqual(ECHO_LOG);
        took.push(performance.now() - startedAt);
      }
    } finally {
      await burst.close();
    }
    return took;
  };

  it('works without it, faster with it, and loses nothing when it goes', verifies(['PRS-3.1-03', 'PRS-12.1-01'], async () => {
    const without = await wholeRuns(3);
    await nats.start();
    await until('NATS is used', 10_000, () => connected(1));
    await wholeRuns(1);
    const beside = await wholeRuns(12);
    await nats.kill();
    await until('its loss is noticed', 10_000, () => connected(0));
    const after = await wholeRuns(2);
    await nats.start();
    await until('it is used again', 10_000, () => connected(1));
    await wholeRuns(1);
    const again = await wholeRuns(6);
    const median = (values: readonly number[]): number => percentile(values, 0.5);
    process.stderr.write(`faults/outages: whole runs over two processes, median: ${median(beside).toFixed(0)} ms with NATS, ${median(without).toFixed(0)} and ${median(after).toFixed(0)} without, ${median(again).toFixed(0)} when it was back\n`);
    expect(median(beside), 'a wake-up beats a poll').toBeLessThan(median(without));
    expect(median(again)).toBeLessThan(median(after));
    expect((await judge(database.url, { acknowledged: [], log: ECHO_LOG })).violations).toEqual([]);
    expect(fleet.unexpectedExits).toEqual([]);
  }), 90_000);
});
