/** What every ReplicaPort must do (PRS 7.3, 7.4): each event once, in order, whatever comes twice, late or wrong. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../../services/platform/ids.ts';
import type { AuthContext } from '../../../services/platform/tenancy/auth-context.ts';
import { chance } from '../../faults/seeded.ts';
import { verifies } from '../../http/verifies.ts';
import type { ReplicaHarness } from '../contract.ts';
import { elapsedMs, expectCapabilities, pause, rejection } from '../fixtures.ts';
import { replicaEvent, replicaRun, type WireEvent } from '../replica-fixtures.ts';

const STACK = 'stk_b';
type Under = () => ReplicaHarness;

export function replicaSuite(create: () => Promise<ReplicaHarness>): void {
  let harness: ReplicaHarness | undefined;
  beforeAll(async () => {
    harness = await create();
  });
  afterAll(() => harness?.dispose());
  const under: Under = () => harness!;
  describe('storing', () => storing(under));
  describe('repeats and contradictions', () => contradictions(under));
  describe('tenants', () => tenants(under));
  describe('waiting', () => waiting(under));
  describe('many at once', () => many(under));
  describe('retention', () => retention(under));
}

const all = (under: Under, auth: AuthContext, runId: string): Promise<readonly WireEvent[]> => under().replica.read(auth, runId, { sequence: -1, limit: 100_000 });

function storing(under: Under): void {
  it('declares what it is', () => {
    expectCapabilities(under().replica.capabilities());
  });

  it('gives events back as they came, in order, from any cursor, in pages', verifies(['PRS-7.4-05', 'PRS-7.4-03'], async () => {
    const tenant = await under().newTenant();
    const runId = newId('run');
    const events = replicaRun(tenant, runId, 9);
    expect(await under().replica.store(tenant, STACK, events)).toEqual(events.map(() => 'stored'));
    for (const sequence of [-1, 0, 4, 8, 9, 1e15, Number.MAX_SAFE_INTEGER]) {
      for (const limit of [1, 3, 100]) expect(await under().replica.read(tenant, runId, { sequence, limit })).toEqual(events.filter((event) => event.sequence > sequence).slice(0, limit));
    }
    // Members and their order, which readers of the stream see.
    expect(JSON.stringify(await all(under, tenant, runId))).toBe(JSON.stringify(events));
    expect(await under().replica.extent(tenant, runId)).toEqual({ sourceStackId: STACK, contiguousTo: 9, ended: true });
  }));

  it('knows nothing of a run that nobody told it of', async () => {
    const tenant = await under().newTenant();
    expect(await all(under, tenant, newId('run'))).toEqual([]);
    expect(await under().replica.extent(tenant, newId('run'))).toBeNull();
    expect(await under().replica.store(tenant, STACK, [])).toEqual([]);
  });

  it('takes a late event that fills a gap, and says how far a run is whole', verifies(['PRS-7.4-05'], async () => {
    const tenant = await under().newTenant();
    const runId = newId('run');
    const events = replicaRun(tenant, runId, 8);
    const steps: readonly (readonly [sequences: readonly number[], contiguousTo: number, ended: boolean])[] = [[[4, 5], 0, false], [[1], 1, false], [[8], 1, true], [[3], 1, true], [[2], 5, true], [[7, 6], 8, true]];
    for (const [sequences, contiguousTo, ended] of steps) {
      expect(await under().replica.store(tenant, STACK, sequences.map((sequence) => events[sequence - 1]!))).toEqual(sequences.map(() => 'stored'));
      expect(await under().replica.extent(tenant, runId)).toEqual({ sourceStackId: STACK, contiguousTo, ended });
    }
    expect(await all(under, tenant, runId)).toEqual(events);
  }));

  it('takes the sequence 0 that other nodes may begin with, and the greatest there is', async () => {
    const tenant = await under().newTenant();
    const runId = newId('run');
    const odd = [replicaEvent(tenant, runId, 0), replicaEvent(tenant, runId, Number.MAX_SAFE_INTEGER)];
    expect(await under().replica.store(tenant, STACK, odd)).toEqual(['stored', 'stored']);
    expect(await all(under, tenant, runId)).toEqual(odd);
    expect(await under().replica.extent(tenant, runId)).toMatchObject({ contiguousTo: 0 });
  });

  it('keeps what it acknowledged, for other processes too', async ({ skip }) => {
    const { another } = under();
    if (another === undefined) return skip('the adapter is not durable');
    const tenant = await under().newTenant();
    const runId = newId('run');
    const events = replicaRun(tenant, runId, 3);
    await under().replica.store(tenant, STACK, events);
    const other = await another();
    try {
      expect(await other.replica.read(tenant, runId, { sequence: 0, limit: 10 })).toEqual(events);
      expect(await other.replica.store(tenant, STACK, events)).toEqual(['duplicate', 'duplicate', 'duplicate']);
    } finally {
      await other.close();
    }
  });
}

function contradictions(under: Under): void {
  it('stores an event once however often it comes, in one batch or in many', verifies(['PRS-7.4-04'], async () => {
    const tenant = await under().newTenant();
    const runId = newId('run');
    const [first, second] = replicaRun(tenant, runId, 3) as [WireEvent, WireEvent];
    expect(await under().replica.store(tenant, STACK, [first, first, second, first])).toEqual(['stored', 'duplicate', 'stored', 'duplicate']);
    expect(await under().replica.store(tenant, STACK, [second, first])).toEqual(['duplicate', 'duplicate']);
    expect(await all(under, tenant, runId)).toEqual([first, second]);
  }));

  it('knows an event again whatever the order of its payload and whatever was filled in', async () => {
    const tenant = await under().newTenant();
    const runId = newId('run');
    const event = replicaEvent(tenant, runId, 1, { payload: { a: 1, b: { c: [1, { d: 2, e: 3 }] } } });
    await under().replica.store(tenant, STACK, [event]);
    const again = { ...event, time: '2027-01-01T00:00:00Z', trace: { traceparent: '', span_id: '' }, payload: { b: { c: [1, { e: 3, d: 2 }] }, a: 1 } };
    expect(await under().replica.store(tenant, STACK, [again])).toEqual(['duplicate']);
    expect(await all(under, tenant, runId)).toEqual([event]);
  });

  it('refuses another event under an id or in a place that is taken, and leaves what is there', verifies(['PRS-7.4-04'], async () => {
    const tenant = await under().newTenant();
    const runId = newId('run');
    const [first, second, third] = replicaRun(tenant, runId, 4) as [WireEvent, WireEvent, WireEvent];
    await under().replica.store(tenant, STACK, [first]);
    const batch = [
      { ...first, payload: { status: 'forged' } },
      { ...first, event_id: newId('evt') },
      { ...second, event_id: first.event_id },
      second,
      { ...second, payload: {} },
      { ...third, run_id: newId('run'), event_id: second.event_id },
      third,
    ];
    expect(await under().replica.store(tenant, STACK, batch)).toEqual(['conflict', 'conflict', 'conflict', 'stored', 'conflict', 'conflict', 'stored']);
    expect(await all(under, tenant, runId)).toEqual([first, second, third]);
    expect(await under().replica.extent(tenant, batch[5]!.run_id), 'a run of which nothing was stored is not there').toBeNull();
  }));

  it('takes events of a run from the node that its first came from, and from no other', verifies(['PRS-7.4-08'], async () => {
    const tenant = await under().newTenant();
    const runId = newId('run');
    const [first, second] = replicaRun(tenant, runId, 2) as [WireEvent, WireEvent];
    await under().replica.store(tenant, STACK, [first]);
    expect(await under().replica.store(tenant, 'stk_c', [first, second])).toEqual(['duplicate', 'conflict']);
    expect(await under().replica.extent(tenant, runId)).toEqual({ sourceStackId: STACK, contiguousTo: 1, ended: false });
  }));

  it('does not mind what Postgres would not take', async () => {
    const tenant = await under().newTenant();
    const runId = newId('run');
    const event = replicaEvent(tenant, runId, 1, { payload: { text: 'a\u0000b\ud800c' } });
    expect(await under().replica.store(tenant, STACK, [event])).toEqual(['stored']);
    expect(await under().replica.store(tenant, STACK, [event])).toEqual(['duplicate']);
    expect(await all(under, tenant, runId)).toHaveLength(1);
  });
}

function tenants(under: Under): void {
  it('keeps tenants apart even where ids are equal, and refuses an event of another', verifies(['PRS-7.4-09', 'PRS-13-09'], async () => {
    const [one, other] = [await under().newTenant(), await under().newTenant()];
    const runId = newId('run');
    const mine = replicaRun(one, runId, 3);
    const theirs = replicaRun(other, runId, 2);
    expect(await under().replica.store(one, STACK, mine)).toEqual(['stored', 'stored', 'stored']);
    expect(await all(under, other, runId)).toEqual([]);
    expect(await under().replica.extent(other, runId)).toBeNull();
    expect(await under().replica.store(other, 'stk_c', theirs)).toEqual(['stored', 'stored']);
    expect([await all(under, one, runId), await all(under, other, runId)]).toEqual([mine, theirs]);
    const refused = await rejection(under().replica.store(one, STACK, [replicaEvent(one, runId, 4), replicaEvent(other, runId, 5)]));
    expect(refused.code).toBe('forbidden');
    expect(await all(under, one, runId), 'all or none').toEqual(mine);
  }));
}

function waiting(under: Under): void {
  it('wakes who waits for more, looks again within a second, and ends with its signal', async () => {
    const tenant = await under().newTenant();
    const runId = newId('run');
    const { signal } = new AbortController();
    const woken = under().replica.waitForMore(tenant, runId, signal);
    await under().replica.store(tenant, STACK, [replicaEvent(tenant, runId, 1)]);
    expect(await woken).toBe(true);
    expect(await elapsedMs(async () => expect(await under().replica.waitForMore(tenant, runId, signal)).toBe(true))).toBeLessThan(3_000);
    const leaving = new AbortController();
    const left = under().replica.waitForMore(tenant, runId, leaving.signal);
    await pause(20);
    leaving.abort();
    expect(await left).toBe(false);
    expect(await under().replica.waitForMore(tenant, runId, AbortSignal.abort())).toBe(false);
  });
}

function many(under: Under): void {
  it('takes ten thousand events at once, and says of each what became of it', verifies(['PRS-7.4-04', 'PRS-7.4-05'], async () => {
    const tenant = await under().newTenant();
    const events = Array.from({ length: 10 }, () => replicaRun(tenant, newId('run'), 1_000)).flat();
    const shuffled = events.map((event, at) => ({ event, key: (at * 7_919) % 10_000 })).sort((a, b) => a.key - b.key).map(({ event }) => event);
    const took = await elapsedMs(async () => expect(await under().replica.store(tenant, STACK, shuffled)).toEqual(shuffled.map(() => 'stored')));
    const again = await elapsedMs(async () => expect(await under().replica.store(tenant, STACK, events)).toEqual(events.map(() => 'duplicate')));
    // A statement an event would be ten thousand round trips.
    expect(took).toBeLessThan(8_000);
    expect(again).toBeLessThan(8_000);
    expect(await under().replica.extent(tenant, events[0]!.run_id)).toEqual({ sourceStackId: STACK, contiguousTo: 1_000, ended: true });
  }), 30_000);

  it('keeps each event once when writers overlap, whatever they bring', verifies(['PRS-7.4-04'], async () => {
    const { seed, between } = chance();
    const tenant = await under().newTenant();
    const runs = Array.from({ length: 3 }, () => replicaRun(tenant, newId('run'), 40));
    const pool = runs.flat();
    const other = await under().another?.();
    const batches = Array.from({ length: 40 }, () => Array.from({ length: between(1, 30) }, () => pool[between(0, pool.length - 1)]!));
    const verdicts = await Promise.all(batches.map((batch, at) => (at % 2 === 0 ? under() : (other ?? under())).replica.store(tenant, STACK, batch)));
    await other?.close();
    const brought = new Map<WireEvent, number>();
    batches.forEach((batch, at) => batch.forEach((event, index) => {
      expect(verdicts[at]![index], `seed ${seed}`).not.toBe('conflict');
      brought.set(event, (brought.get(event) ?? 0) + (verdicts[at]![index] === 'stored' ? 1 : 0));
    }));
    expect([...brought.values()].every((times) => times === 1), `seed ${seed}`).toBe(true);
    for (const run of runs) {
      const held = run.filter((event) => brought.has(event));
      expect(await all(under, tenant, run[0]!.run_id), `seed ${seed}`).toEqual(held);
      const gap = run.findIndex((event) => !brought.has(event));
      if (held.length > 0) expect(await under().replica.extent(tenant, run[0]!.run_id), `seed ${seed}`).toMatchObject({ contiguousTo: gap === -1 ? 40 : gap, ended: brought.has(run[39]!) });
    }
  }));
}

function retention(under: Under): void {
  it('deletes runs to which nothing has come since, with their events and nothing else', async () => {
    const tenant = await under().newTenant();
    const [old, young] = [newId('run'), newId('run')];
    await under().replica.store(tenant, STACK, replicaRun(tenant, old, 3));
    await pause(30);
    const storedBefore = new Date();
    await pause(30);
    await under().replica.store(tenant, STACK, replicaRun(tenant, young, 3));
    // Runs of earlier tests are as old; they go as well.
    for (let deleted = 1; deleted > 0;) {
      deleted = await under().replica.deleteExpired({ storedBefore, limit: 5 });
      expect(deleted).toBeLessThanOrEqual(5);
    }
    expect([await all(under, tenant, old), await under().replica.extent(tenant, old)]).toEqual([[], null]);
    expect(await all(under, tenant, young)).toHaveLength(3);
    expect(await under().replica.store(tenant, STACK, replicaRun(tenant, old, 1)), 'ids are free again').toEqual(['stored']);
  });
}
