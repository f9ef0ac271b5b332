/** Deleting what is past its time: bounded, whole runs, and never one that has not ended. */
import { expect, it } from 'vitest';
import { verifies } from '../../http/verifies.ts';
import { rejection } from '../fixtures.ts';
import { allEvents, canceled, completion, create, createAndClaim, newRun, WORKER } from '../run-fixtures.ts';
import type { Under } from './run-state.ts';

const soon = (): string => new Date(Date.now() + 60_000).toISOString();
const key = (ttlHours: number) => ({ key: `k_${Math.random()}`, requestHash: 'h', ttlHours });

export function retention(under: Under): void {
  const sweep = async (endedBefore: string | null, limit = 100): Promise<{ runs: number; keys: number }> => {
    const total = { runs: 0, keys: 0 };
    for (;;) {
      const deleted = await under().runState.deleteExpired(WORKER, { endedBefore, limit });
      expect(deleted.runs).toBeLessThanOrEqual(limit);
      total.runs += deleted.runs;
      total.keys += deleted.keys;
      if (deleted.runs < limit && deleted.keys < limit) return total;
    }
  };

  it('deletes ended runs with their events, in batches, and leaves what has not ended', verifies(['PRS-5.2-08'], async () => {
    await sweep(soon());
    const tenant = await under().newTenant();
    const ended: string[] = [];
    for (let i = 0; i < 5; i += 1) {
      const run = await create(under(), tenant, { labels: { team: 'a', n: String(i) } });
      await under().runState.cancelRun(tenant, run.runId, canceled(run.runId));
      ended.push(run.runId);
    }
    const { lease, run: running } = await createAndClaim(under(), tenant);
    const queued = await create(under(), tenant);
    expect(await sweep('2000-01-01T00:00:00.000Z')).toMatchObject({ runs: 0 });
    expect(await sweep(null)).toMatchObject({ runs: 0 });
    expect(await sweep(soon(), 2)).toMatchObject({ runs: 5 });
    for (const runId of ended) {
      expect((await rejection(under().runState.getRun(tenant, runId))).code).toBe('not_found');
      expect((await rejection(under().events.read(tenant, runId, { after: 0, limit: 10 }))).code).toBe('not_found');
    }
    expect((await under().runState.listRuns(tenant, { labels: { team: 'a' }, limit: 10 })).runs).toEqual([]);
    expect((await under().runState.getRun(tenant, queued.runId)).status).toBe('queued');
    expect(await under().runState.advance(tenant, lease, completion(running.runId, 0))).toMatchObject({ outcome: 'applied' });
    expect(await allEvents(under(), tenant, running.runId)).toHaveLength(3);
    expect(await under().queue.depth(WORKER)).toMatchObject({ drift: 0 });
  }));

  it('deletes idempotency records that have expired, and not that of a run under way', async () => {
    await sweep(soon());
    const tenant = await under().newTenant();
    const [live, expired, underWay] = [newRun({ idempotency: key(1) }), newRun({ idempotency: key(-1) }), newRun({ idempotency: key(-1) })];
    for (const run of [live, expired, underWay]) await under().runState.createRun(tenant, run);
    for (const run of [live, expired]) await under().runState.cancelRun(tenant, run.runId, canceled(run.runId));
    expect(await sweep(null)).toEqual({ runs: 0, keys: 1 });
    expect(await under().runState.createRun(tenant, { ...newRun(), idempotency: live.idempotency })).toMatchObject({ outcome: 'replayed' });
    expect(await under().runState.createRun(tenant, { ...newRun(), idempotency: underWay.idempotency })).toMatchObject({ outcome: 'replayed' });
    expect(await under().runState.createRun(tenant, { ...newRun(), idempotency: expired.idempotency })).toMatchObject({ outcome: 'created' });
  });

  it('lets a key be used again when its run was deleted', async () => {
    const tenant = await under().newTenant();
    const first = newRun({ idempotency: key(24) });
    await under().runState.createRun(tenant, first);
    await under().runState.cancelRun(tenant, first.runId, canceled(first.runId));
    await sweep(soon());
    expect(await under().runState.createRun(tenant, { ...newRun(), idempotency: first.idempotency })).toMatchObject({ outcome: 'created' });
  });

  it('may be done by many at once', async () => {
    const tenant = await under().newTenant();
    for (let i = 0; i < 20; i += 1) {
      const run = await create(under(), tenant);
      await under().runState.cancelRun(tenant, run.runId, canceled(run.runId));
    }
    const swept = await Promise.all(Array.from({ length: 4 }, () => under().runState.deleteExpired(WORKER, { endedBefore: soon(), limit: 50 })));
    await sweep(soon());
    expect(swept.reduce((sum, deleted) => sum + deleted.runs, 0)).toBeLessThanOrEqual(20 + 100);
    expect((await under().runState.listRuns(tenant, { limit: 50 })).runs).toEqual([]);
  });
}
