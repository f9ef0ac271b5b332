/** What every EventPort must do (PRS 5.2, Appendix D.4): ordered reading from a cursor, and waking readers. */
import { describe, expect, it } from 'vitest';
import { newId } from '../../../services/platform/ids.ts';
import { verifies } from '../../http/verifies.ts';
import type { RunStoreHarness } from '../contract.ts';
import { elapsedMs, expectCapabilities, expectSameRefusal, pause } from '../fixtures.ts';
import { allEvents, completion, create, createAndClaim, step } from '../run-fixtures.ts';
import { withRunStore, type Under } from './run-state.ts';

export function eventsSuite(createHarness: () => Promise<RunStoreHarness>): void {
  const under = withRunStore(createHarness);
  describe('reading', () => reading(under));
  describe('waiting', () => waiting(under));
}

function reading(under: Under): void {
  it('declares what it is', () => {
    expectCapabilities(under().events.capabilities());
  });

  it('answers pages in order, from any cursor, with the same ids every time', verifies(['PRS-5.2-09', 'PRS-4.1-04', 'PRS-7.4-05'], async () => {
    const tenant = await under().newTenant();
    const { lease, run } = await createAndClaim(under(), tenant);
    for (let at = 0; at < 4; at += 1) await under().runState.advance(tenant, lease, step(run.runId, at));
    await under().runState.advance(tenant, lease, completion(run.runId, 4));
    const all = await allEvents(under(), tenant, run.runId);
    expect(all).toHaveLength(11);
    for (const after of [0, 3, 10]) {
      const page = await under().events.read(tenant, run.runId, { after, limit: 4 });
      expect(page.events).toEqual(all.slice(after, after + 4));
      expect(page).toMatchObject({ status: 'completed', lastSequence: 11 });
    }
    for (const event of all) expect(event.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
    expect(all.map((event) => event.time)).toEqual(all.map((event) => event.time).sort());
  }));

  it('answers nothing past the end, and says where the end is', async () => {
    const tenant = await under().newTenant();
    const run = await create(under(), tenant);
    expect(await under().events.read(tenant, run.runId, { after: 1, limit: 10 })).toEqual({ events: [], status: 'queued', lastSequence: 1 });
    expect(await under().events.read(tenant, run.runId, { after: 1_000_000, limit: 10 })).toMatchObject({ events: [], lastSequence: 1 });
  });

  it('hides events from every other tenant', verifies(['PRS-13-09', 'PRS-7.4-09', 'PRS-11.2-02'], async () => {
    const [owner, stranger] = [await under().newTenant(), await under().newTenant()];
    const run = await create(under(), owner);
    const absent = newId('run');
    const query = { after: 0, limit: 10 };
    await expectSameRefusal(under().events.read(stranger, run.runId, query), run.runId, under().events.read(stranger, absent, query), absent);
  }));
}

function waiting(under: Under): void {
  it('wakes a reader when events are announced', async () => {
    const tenant = await under().newTenant();
    const { lease, run } = await createAndClaim(under(), tenant);
    const waited = elapsedMs(() => under().events.wait(tenant, run.runId, { after: 2, maxWaitMs: 10_000, signal: new AbortController().signal }));
    await pause(50);
    const result = await under().runState.advance(tenant, lease, step(run.runId, 0));
    if (result.outcome !== 'applied') return expect.fail(result.outcome);
    under().events.announce(tenant, run.runId, result.lastSequence);
    expect(await waited).toBeLessThan(2_500);
  });

  it('stops waiting after the time given, and on abort', async () => {
    const tenant = await under().newTenant();
    const run = await create(under(), tenant);
    const wait = (maxWaitMs: number, signal: AbortSignal) => under().events.wait(tenant, run.runId, { after: 1, maxWaitMs, signal });
    expect(await elapsedMs(() => wait(200, new AbortController().signal))).toBeLessThan(1_500);
    const aborted = new AbortController();
    const waited = elapsedMs(() => wait(30_000, aborted.signal));
    setTimeout(() => aborted.abort(), 50);
    expect(await waited).toBeLessThan(1_500);
    expect(await elapsedMs(() => wait(30_000, AbortSignal.abort()))).toBeLessThan(500);
  });

  it('serves many readers of one run and forgets those that left', async () => {
    const tenant = await under().newTenant();
    const { lease, run } = await createAndClaim(under(), tenant);
    const stayed = Array.from({ length: 20 }, () => under().events.wait(tenant, run.runId, { after: 2, maxWaitMs: 10_000, signal: new AbortController().signal }));
    const controllers = Array.from({ length: 20 }, () => new AbortController());
    const leaving = controllers.map(({ signal }) => under().events.wait(tenant, run.runId, { after: 2, maxWaitMs: 10_000, signal }));
    for (const controller of controllers) controller.abort();
    await Promise.all(leaving);
    await under().runState.advance(tenant, lease, completion(run.runId, 0));
    under().events.announce(tenant, run.runId, 3);
    expect(await elapsedMs(() => Promise.all(stayed))).toBeLessThan(2_500);
  });
}
