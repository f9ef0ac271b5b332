/** What every QueuePort must do (PRS 5.2, HLD 10.2): leases, order, fairness, and an end for poisoned runs. */
import { describe, expect, it } from 'vitest';
import { newId } from '../../../services/platform/ids.ts';
import { verifies } from '../../http/verifies.ts';
import type { RunStoreHarness } from '../contract.ts';
import { elapsedMs, expectCapabilities, pause } from '../fixtures.ts';
import { allEvents, claimAll, claimOptions, completion, create, createAndClaim, createMany, newRun, step, terminalCount, WORKER } from '../run-fixtures.ts';
import { parking } from './queue-parking.ts';
import { withRunStore, type Under } from './run-state.ts';

const OTHER = { workerId: 'wrk_other' } as const;

export function queueSuite(createHarness: () => Promise<RunStoreHarness>): void {
  const under = withRunStore(createHarness);
  describe('claims', () => claims(under));
  describe('starvation', () => starvation(under));
  describe('leases', () => leases(under));
  describe('poison', () => poison(under));
  describe('waiting', () => waiting(under));
  describe('parking', () => parking(under));
}

function claims(under: Under): void {
  it('declares what it is', () => {
    expectCapabilities(under().queue.capabilities());
  });

  it('hands out nothing when there is nothing', async () => {
    expect(await under().queue.claim(WORKER, claimOptions({ limit: 10 }))).toEqual([]);
    expect(await under().queue.depth(WORKER)).toEqual({ queued: 0, running: 0, drift: 0 });
  });

  it('hands out each run once, under a lease, and says that it started', verifies(['PRS-5.2-10'], async () => {
    const tenant = await under().newTenant();
    const { lease, run } = await createAndClaim(under(), tenant);
    expect(lease).toEqual({ tenantId: tenant.tenant_id, runId: run.runId, token: expect.any(String) as string });
    expect(lease.token.length).toBeGreaterThanOrEqual(8);
    expect(await under().queue.claim(OTHER, claimOptions({ limit: 10 }))).toEqual([]);
    expect((await allEvents(under(), tenant, run.runId)).map((event) => event.type)).toEqual(['agentos.run.created', 'agentos.run.started']);
    expect(await under().queue.depth(WORKER)).toEqual({ queued: 0, running: 1, drift: 0 });
  }));

  it('says of single tenants what waits and what is worked on', async () => {
    const [busy, idle, unasked] = [await under().newTenant(), await under().newTenant(), await under().newTenant()];
    expect(await under().queue.loads(WORKER, [])).toEqual(new Map());
    await createMany(under(), busy, 3);
    const claimed = await under().queue.claim(WORKER, claimOptions({ limit: 1 }));
    expect(claimed.map(({ lease }) => lease.tenantId)).toEqual([busy.tenant_id]);
    await create(under(), unasked);
    expect(await under().queue.loads(WORKER, [busy.tenant_id, idle.tenant_id])).toEqual(new Map([[busy.tenant_id, { queued: 2, running: 1 }], [idle.tenant_id, { queued: 0, running: 0 }]]));
  });

  it('gives at most as many as were asked for', async () => {
    const tenant = await under().newTenant();
    await createMany(under(), tenant, 5);
    const claimed = await under().queue.claim(WORKER, claimOptions({ limit: 3 }));
    expect(claimed.length).toBeGreaterThan(0);
    expect(claimed.length).toBeLessThanOrEqual(3);
    expect(await under().queue.depth(WORKER)).toEqual({ queued: 5 - claimed.length, running: claimed.length, drift: 0 });
  });

  it('takes the oldest of a tenant first', async () => {
    const tenant = await under().newTenant();
    const made: string[] = [];
    for (let i = 0; i < 5; i += 1) made.push((await create(under(), tenant)).runId);
    const taken: string[] = [];
    for (let i = 0; i < 5; i += 1) taken.push(...(await under().queue.claim(WORKER, claimOptions())).map((claimed) => claimed.run.runId));
    expect(taken).toEqual(made);
  });

  it('lets a small tenant pass a long backlog', verifies(['PRS-15.3-01'], async () => {
    const [large, small, late] = [await under().newTenant(), await under().newTenant(), await under().newTenant()];
    await createMany(under(), large, 40);
    await createMany(under(), small, 3);
    const firstTen: string[] = [];
    for (let i = 0; i < 10; i += 1) firstTen.push(...(await under().queue.claim(WORKER, claimOptions())).map((claimed) => claimed.lease.tenantId));
    expect(firstTen.filter((tenantId) => tenantId === small.tenant_id)).toHaveLength(3);
    await createMany(under(), late, 2);
    const nextSix: string[] = [];
    for (let i = 0; i < 6; i += 1) nextSix.push(...(await under().queue.claim(WORKER, claimOptions())).map((claimed) => claimed.lease.tenantId));
    expect(nextSix.filter((tenantId) => tenantId === late.tenant_id), 'one that comes late is not put behind the backlog').toHaveLength(2);
  }));
}

function starvation(under: Under): void {
  it('serves a backlog beside tenants that come back as soon as they are served', async () => {
    const large = await under().newTenant();
    const loops = await Promise.all(Array.from({ length: 4 }, () => under().newTenant()));
    await createMany(under(), large, 10);
    for (const tenant of loops) await create(under(), tenant);
    let served = 0;
    for (let round = 0; round < 25; round += 1) {
      const [claimed] = await under().queue.claim(WORKER, claimOptions());
      await under().runState.advance(claimed!.run.auth, claimed!.lease, completion(claimed!.run.runId, 0));
      if (claimed!.lease.tenantId === large.tenant_id) served += 1;
      else await create(under(), claimed!.run.auth);
    }
    expect(served, 'one of five tenants, so a fifth of the claims').toBeGreaterThanOrEqual(4);
  });

  it('serves a low priority beside high ones that never end', async () => {
    const tenant = await under().newTenant();
    const one = (priority: 'low' | 'high') => create(under(), tenant, newRun({ options: { ...newRun().options, priority } }));
    const low: string[] = [];
    for (let i = 0; i < 4; i += 1) low.push((await one('low')).runId);
    await one('high');
    const served: string[] = [];
    for (let round = 0; round < 16; round += 1) {
      served.push(...(await under().queue.claim(WORKER, claimOptions())).map(({ run }) => run.runId));
      await one('high');
    }
    expect(served.findIndex((runId) => !low.includes(runId)), 'high ones pass what came before them').toBeLessThan(4);
    expect(low.filter((runId) => !served.includes(runId)), 'and not for ever').toEqual([]);
  });
}

function leases(under: Under): void {
  it('hands an expired run out again, before queued ones and with a new token', verifies(['PRS-1-02'], async () => {
    const [tenant, busy] = [await under().newTenant(), await under().newTenant()];
    const { lease, run } = await createAndClaim(under(), tenant, { leaseMs: 120 });
    await createMany(under(), busy, 10);
    await pause(300);
    const [again] = await under().queue.claim(OTHER, claimOptions());
    expect(again!.run).toMatchObject({ runId: run.runId, attempts: 2, status: 'running' });
    expect(again!.lease.token).not.toBe(lease.token);
    expect((await allEvents(under(), tenant, run.runId)).map((event) => event.type), 'it does not start twice').toEqual(['agentos.run.created', 'agentos.run.started']);
    expect(await under().queue.depth(WORKER)).toMatchObject({ drift: 0, running: 1 });
  }));

  it('keeps a lease alive by heartbeat', async () => {
    const tenant = await under().newTenant();
    const { lease, run } = await createAndClaim(under(), tenant, { leaseMs: 400 });
    for (let i = 0; i < 4; i += 1) {
      await pause(150);
      expect(await under().queue.heartbeat(WORKER, [lease], 400)).toEqual([]);
    }
    expect(await under().queue.claim(OTHER, claimOptions())).toEqual([]);
    expect((await under().runState.advance(tenant, lease, step(run.runId, 0))).outcome).toBe('applied');
  });

  it('tells a worker which leases it has lost', async () => {
    const tenant = await under().newTenant();
    const lost = await createAndClaim(under(), tenant, { leaseMs: 100 });
    await pause(250);
    const [taken] = await under().queue.claim(OTHER, claimOptions());
    expect(taken!.run.runId).toBe(lost.run.runId);
    const held = await createAndClaim(under(), tenant);
    const ended = await createAndClaim(under(), tenant);
    await under().runState.advance(tenant, ended.lease, completion(ended.run.runId, 0));
    const gone = await under().queue.heartbeat(WORKER, [lost.lease, held.lease, ended.lease], 1000);
    expect(gone.map((lease) => lease.runId).sort()).toEqual([lost.run.runId, ended.run.runId].sort());
    expect(gone.map((lease) => lease.token)).toContain(lost.lease.token);
  });

  it('lets the old holder of a run prolong nothing', async () => {
    const tenant = await under().newTenant();
    const lost = await createAndClaim(under(), tenant, { leaseMs: 60 });
    await pause(160);
    const [taken] = await under().queue.claim(OTHER, claimOptions({ leaseMs: 150 }));
    expect(await under().queue.heartbeat(WORKER, [lost.lease], 60_000)).toEqual([lost.lease]);
    await pause(300);
    const [again] = await under().queue.claim(WORKER, claimOptions());
    expect(again?.run.runId, 'the second lease ran out when it should').toBe(taken!.run.runId);
  });

  it('takes a run back and waits as long as asked', async () => {
    const tenant = await under().newTenant();
    const { lease, run } = await createAndClaim(under(), tenant);
    await under().queue.release(tenant, lease, 400);
    expect(await under().queue.claim(OTHER, claimOptions())).toEqual([]);
    expect((await under().runState.advance(tenant, lease, step(run.runId, 0))).outcome, 'what was given back is not held').toBe('fenced');
    await pause(600);
    const [again] = await under().queue.claim(OTHER, claimOptions());
    expect(again?.run.runId).toBe(run.runId);
    expect((await under().runState.advance(tenant, again!.lease, step(run.runId, 0))).outcome).toBe('applied');
  });

  it('ignores a release by one who does not hold the run', async () => {
    const [tenant, stranger] = [await under().newTenant(), await under().newTenant()];
    const { lease, run } = await createAndClaim(under(), tenant);
    await under().queue.release(tenant, { ...lease, token: newId('lse') }, 0);
    await under().queue.release(stranger, { ...lease, tenantId: stranger.tenant_id }, 0);
    expect(await under().queue.claim(OTHER, claimOptions())).toEqual([]);
    expect((await under().runState.advance(tenant, lease, step(run.runId, 0))).outcome).toBe('applied');
  });
}

function poison(under: Under): void {
  it('does not hold it against a run that workers gave it back', async () => {
    const tenant = await under().newTenant();
    const run = await create(under(), tenant);
    for (let round = 0; round < 4; round += 1) {
      const [claimed] = await under().queue.claim(WORKER, claimOptions({ maxAttempts: 2 }));
      expect(claimed?.run.runId, 'a stopping worker is no fault of the run').toBe(run.runId);
      await under().queue.release(tenant, claimed!.lease, 0);
    }
    expect(await under().runState.getRun(tenant, run.runId)).toMatchObject({ status: 'queued' });
  });

  it('does not hold it against a run that its workers died, as long as each got it further', async () => {
    const tenant = await under().newTenant();
    const run = await create(under(), tenant);
    const options = claimOptions({ leaseMs: 60, maxAttempts: 2 });
    for (let done = 0; done < 4; done += 1) {
      const [claimed] = await under().queue.claim(WORKER, options);
      expect(claimed?.run).toMatchObject({ runId: run.runId, attempts: done + 1 });
      expect((await under().runState.advance(tenant, claimed!.lease, step(run.runId, done))).outcome).toBe('applied');
      await pause(160);
    }
    expect(await under().runState.getRun(tenant, run.runId)).toMatchObject({ status: 'running', step: 4 });
  });

  it('fails a run that was claimed too often, and frees its slot', verifies(['PRS-4.2-12'], async () => {
    const tenant = await under().newTenant();
    const run = await create(under(), tenant);
    const options = claimOptions({ leaseMs: 60, maxAttempts: 2 });
    for (let attempt = 1; attempt <= 2; attempt += 1) {
      const [claimed] = await under().queue.claim(WORKER, options);
      expect(claimed?.run.attempts).toBe(attempt);
      await pause(160);
    }
    expect(await under().queue.claim(WORKER, options)).toEqual([]);
    const ended = await under().runState.getRun(tenant, run.runId);
    expect(ended).toMatchObject({ status: 'failed', error: { code: 'internal_error', details: { reason: 'poisoned' } } });
    expect(ended.completedAt).not.toBeNull();
    const events = await allEvents(under(), tenant, run.runId);
    expect(terminalCount(events)).toBe(1);
    expect(events.at(-1)).toMatchObject({ type: 'agentos.run.failed', payload: { status: 'failed' } });
    expect(await under().queue.depth(WORKER)).toEqual({ queued: 0, running: 0, drift: 0 });
  }));

  it('hands out the others beside a poisoned one', async () => {
    const tenant = await under().newTenant();
    await create(under(), tenant);
    const options = claimOptions({ leaseMs: 60, maxAttempts: 1 });
    await under().queue.claim(WORKER, options);
    const healthy = await create(under(), tenant);
    await pause(160);
    const claimed = await claimAll(under(), 1, { maxAttempts: 1 });
    expect(claimed.map((one) => one.run.runId)).toEqual([healthy.runId]);
  });
}

function waiting(under: Under): void {
  it('wakes a waiting worker when work comes', async () => {
    const tenant = await under().newTenant();
    const waited = elapsedMs(() => under().queue.waitForWork(10_000, new AbortController().signal));
    await pause(50);
    const run = await create(under(), tenant);
    under().queue.enqueue(tenant, run.runId);
    expect(await waited).toBeLessThan(2_500);
  });

  it('stops waiting after the time given, and on abort', async () => {
    expect(await elapsedMs(() => under().queue.waitForWork(200, new AbortController().signal))).toBeLessThan(1_500);
    const aborted = new AbortController();
    const waited = elapsedMs(() => under().queue.waitForWork(30_000, aborted.signal));
    setTimeout(() => aborted.abort(), 50);
    expect(await waited).toBeLessThan(1_500);
    expect(await elapsedMs(() => under().queue.waitForWork(30_000, AbortSignal.abort()))).toBeLessThan(500);
  });
}
