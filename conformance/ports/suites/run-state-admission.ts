/** Idempotency, rate and concurrency at creation (PRS 4.3, 15.3, HLD 10.3): one transaction decides all of it. */
import { expect, it } from 'vitest';
import { newId } from '../../../services/platform/ids.ts';
import type { CreateRunResult, NewRun } from '../../../services/agent-orchestrator/ports/run-state.ts';
import type { AuthContext } from '../../../services/platform/tenancy/auth-context.ts';
import { verifies } from '../../http/verifies.ts';
import { contextOf, pause } from '../fixtures.ts';
import { agentDefinition, canceled, claimOptions, completion, create, newRun, UNLIMITED, WORKER } from '../run-fixtures.ts';
import type { Under } from './run-state.ts';

const HASH_A = 'a'.repeat(64);
const HASH_B = 'b'.repeat(64);

function keyed(key: string, requestHash = HASH_A, overrides: Partial<NewRun> = {}): NewRun {
  return newRun({ idempotency: { key, requestHash, ttlHours: 24 }, ...overrides });
}

function counts(results: readonly CreateRunResult[]): Record<string, number> {
  const by: Record<string, number> = {};
  for (const { outcome } of results) by[outcome] = (by[outcome] ?? 0) + 1;
  return by;
}

async function runCount(under: Under, tenant: AuthContext): Promise<number> {
  return (await under().runState.listRuns(tenant, { limit: 200 })).runs.length;
}

export function admission(under: Under): void {
  idempotency(under);
  concurrency(under);
  rate(under);
  backpressure(under);
}

function idempotency(under: Under): void {
  it('answers an equal key and body with the first run', verifies(['PRS-4.3-04', 'PRS-5.2-08'], async () => {
    const tenant = await under().newTenant();
    const first = await create(under(), tenant, keyed('idem_1'));
    expect(first.idempotencyKey).toBe('idem_1');
    const again = await under().runState.createRun(tenant, keyed('idem_1'));
    expect(again).toMatchObject({ outcome: 'replayed', run: { runId: first.runId } });
    expect(await runCount(under, tenant)).toBe(1);
  }));

  it('refuses an equal key with another body, naming the first run', async () => {
    const tenant = await under().newTenant();
    const first = await create(under(), tenant, keyed('idem_1'));
    expect(await under().runState.createRun(tenant, keyed('idem_1', HASH_B))).toEqual({ outcome: 'key_reused', runId: first.runId });
    expect(await runCount(under, tenant)).toBe(1);
  });

  it('scopes keys by tenant, principal and agent', verifies(['PRS-4.3-06'], async () => {
    const tenant = await under().newTenant();
    const elsewhere = await under().newTenant();
    await create(under(), tenant, keyed('idem_1'));
    await create(under(), contextOf(tenant.tenant_id, 'usr_other'), keyed('idem_1', HASH_B));
    await create(under(), tenant, keyed('idem_1', HASH_B, { agent: agentDefinition('agt_other') }));
    await create(under(), elsewhere, keyed('idem_1', HASH_B));
    expect(await runCount(under, tenant)).toBe(3);
  }));

  it('replays while every quota is used up, at no cost', verifies(['PRS-4.3-07'], async () => {
    const tenant = await under().newTenant();
    const limits = { maxConcurrentRuns: 1, createQps: 0.001, createBurst: 1 };
    const first = await create(under(), tenant, keyed('idem_1', HASH_A, { limits }));
    const replays = await Promise.all(Array.from({ length: 20 }, () => under().runState.createRun(tenant, keyed('idem_1', HASH_A, { limits }))));
    expect(counts(replays)).toEqual({ replayed: 20 });
    expect((await under().runState.createRun(tenant, newRun({ limits }))).outcome).not.toBe('created');
    await under().runState.cancelRun(tenant, first.runId, canceled(first.runId));
    expect(await under().runState.createRun(tenant, keyed('idem_1', HASH_A, { limits }))).toMatchObject({ outcome: 'replayed', run: { status: 'canceled' } });
    expect(await under().queue.depth(WORKER), 'replays hold no slot').toEqual({ queued: 0, running: 0, drift: 0 });
  }));

  it('makes exactly one run of a hundred equal requests at once', verifies(['PRS-4.3-04'], async () => {
    const tenant = await under().newTenant();
    const results = await Promise.all(Array.from({ length: 100 }, () => under().runState.createRun(tenant, keyed('idem_race'))));
    expect(counts(results)).toEqual({ created: 1, replayed: 99 });
    expect(new Set(results.map((result) => ('run' in result ? result.run.runId : 'none'))).size).toBe(1);
    expect(await runCount(under, tenant)).toBe(1);
    expect(await under().queue.depth(WORKER)).toMatchObject({ queued: 1, running: 0, drift: 0 });
  }));

  it('decides between two bodies under one key exactly once', async () => {
    const tenant = await under().newTenant();
    const results = await Promise.all(Array.from({ length: 40 }, (_, i) => under().runState.createRun(tenant, keyed('idem_race', i % 2 === 0 ? HASH_A : HASH_B))));
    expect(counts(results)).toEqual({ created: 1, replayed: 19, key_reused: 20 });
  });

  it('does not keep the key of a refused creation', async () => {
    const tenant = await under().newTenant();
    const none = { ...UNLIMITED, maxConcurrentRuns: 0 };
    expect((await under().runState.createRun(tenant, keyed('idem_1', HASH_A, { limits: none }))).outcome).toBe('concurrency_exceeded');
    expect((await under().runState.createRun(tenant, keyed('idem_1', HASH_A))).outcome).toBe('created');
  });
}

function concurrency(under: Under): void {
  it('holds queued and running runs to the limit and names it', verifies(['PRS-15.3-01', 'HLD-10.2-01'], async () => {
    const tenant = await under().newTenant();
    const limits = { ...UNLIMITED, maxConcurrentRuns: 3 };
    const results = await Promise.all(Array.from({ length: 12 }, () => under().runState.createRun(tenant, newRun({ limits }))));
    expect(counts(results)).toEqual({ created: 3, concurrency_exceeded: 9 });
    expect(results.find((result) => result.outcome === 'concurrency_exceeded')).toEqual({ outcome: 'concurrency_exceeded', limit: 3, used: 3 });
    await under().queue.claim(WORKER, claimOptions({ limit: 2 }));
    expect((await under().runState.createRun(tenant, newRun({ limits }))).outcome, 'running runs count too').toBe('concurrency_exceeded');
    expect((await under().runState.createRun(await under().newTenant(), newRun({ limits }))).outcome, 'another tenant is not concerned').toBe('created');
  }));

  it('frees a slot when a run ends, by completion or by cancel', verifies(['T06-01', 'PRS-15.3-01'], async () => {
    const tenant = await under().newTenant();
    const limits = { ...UNLIMITED, maxConcurrentRuns: 2 };
    await create(under(), tenant, newRun({ limits }));
    const second = await create(under(), tenant, newRun({ limits }));
    const [claimed] = await under().queue.claim(WORKER, claimOptions());
    await under().runState.advance(tenant, claimed!.lease, completion(claimed!.run.runId, 0));
    const third = await create(under(), tenant, newRun({ limits }));
    const waiting = claimed!.run.runId === second.runId ? third : second;
    await under().runState.cancelRun(tenant, waiting.runId, canceled(waiting.runId));
    await create(under(), tenant, newRun({ limits }));
    expect((await under().runState.createRun(tenant, newRun({ limits }))).outcome).toBe('concurrency_exceeded');
  }));
}

function backpressure(under: Under): void {
  it('refuses whoever comes when the queue of the node is full, and takes runs again when there is room', async () => {
    const [tenant, other] = [await under().newTenant(), await under().newTenant()];
    const limits = { ...UNLIMITED, maxQueuedRuns: 4 };
    const results = await Promise.all(Array.from({ length: 9 }, (_, i) => under().runState.createRun(tenant, keyed(`idem_${i}`, HASH_A, { limits }))));
    expect(counts(results)).toEqual({ created: 4, queue_full: 5 });
    expect(await under().runState.createRun(other, newRun({ limits }))).toEqual({ outcome: 'queue_full', limit: 4 });
    const first = results.findIndex(({ outcome }) => outcome === 'created');
    expect((await under().runState.createRun(tenant, keyed(`idem_${first}`, HASH_A, { limits }))).outcome, 'a replay is not one more').toBe('replayed');
    expect((await under().runState.createRun(other, newRun())).outcome, 'where no limit is named, none holds').toBe('created');
    await under().queue.claim(WORKER, claimOptions({ limit: 2 }));
    expect((await under().runState.createRun(other, newRun({ limits }))).outcome, 'running runs do not wait').toBe('created');
  });
}

function rate(under: Under): void {
  it('admits the burst and then the sustained rate, however many come at once', verifies(['PRS-15.3-02'], async () => {
    const tenant = await under().newTenant();
    const limits = { ...UNLIMITED, createQps: 5, createBurst: 10 };
    const startedAt = performance.now();
    const results: CreateRunResult[] = [];
    for (let round = 0; round < 5; round += 1) {
      results.push(...(await Promise.all(Array.from({ length: 12 }, () => under().runState.createRun(tenant, newRun({ limits }))))));
    }
    const seconds = (performance.now() - startedAt) / 1000;
    const granted = counts(results)['created'] ?? 0;
    expect(granted).toBeGreaterThanOrEqual(10);
    expect(granted).toBeLessThanOrEqual(10 + 5 * seconds + 1);
    const refused = results.find((result) => result.outcome === 'rate_limited');
    expect(refused).toMatchObject({ outcome: 'rate_limited', limit: expect.any(Number) as number });
    if (refused?.outcome !== 'rate_limited') return expect.fail('nothing was refused');
    expect(refused.retryAfterSeconds).toBeGreaterThan(0);
    expect(refused.retryAfterSeconds).toBeLessThanOrEqual(2);
    await pause(refused.retryAfterSeconds * 1000 + 50);
    expect((await under().runState.createRun(tenant, newRun({ limits }))).outcome, 'admitted after the time named').toBe('created');
  }));

  it('refuses all at a rate of nought', async () => {
    const tenant = await under().newTenant();
    const result = await under().runState.createRun(tenant, newRun({ limits: { ...UNLIMITED, createQps: 0, createBurst: 10 } }));
    expect(result.outcome).toBe('rate_limited');
    expect(await runCount(under, tenant)).toBe(0);
  });

  it('counts tenants apart', async () => {
    const limits = { ...UNLIMITED, createQps: 0.001, createBurst: 1 };
    for (const tenant of [await under().newTenant(), await under().newTenant()]) {
      expect((await under().runState.createRun(tenant, newRun({ limits }))).outcome).toBe('created');
      expect((await under().runState.createRun(tenant, newRun({ limits, runId: newId('run') }))).outcome).toBe('rate_limited');
    }
  });
}
