import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { verifies } from '../../../conformance/http/verifies.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { SseFrame } from '../../platform/http/operation-types.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { MemoryReplica } from '../adapters/replica-memory.ts';
import type { WireEvent } from './event-digest.ts';
import { frameOf, openFederatedStream, type FederatedStreamOptions, type ReplicaOfRun } from './federated-stream.ts';
import type { NodeOfRun } from './node-connection.ts';
import { away, eventAt, logOf, RUN, ScriptedNode, TENANT, type ConnectionScript, type Deed } from './scripted-node.fixture.ts';

const AUTH = { tenant_id: TENANT, principal: { principal_id: 'usr_test', principal_type: 'user' }, scopes: [] } as AuthContext;
const OPTIONS = { after: null, maxAttempts: 3, baseBackoffMs: 1, maxBackoffMs: 4, gapGraceMs: 40 };

async function replicaOf(events: readonly WireEvent[]): Promise<ReplicaOfRun & { add(more: readonly WireEvent[]): Promise<unknown> }> {
  const replica = new MemoryReplica();
  await replica.store(AUTH, 'stk_b', events);
  return {
    read: (after) => replica.read(AUTH, RUN, after),
    extent: () => replica.extent(AUTH, RUN),
    waitForMore: (signal) => replica.waitForMore(AUTH, RUN, signal),
    add: (more) => replica.store(AUTH, 'stk_b', more),
  };
}

const open = (node: NodeOfRun | null, replica: ReplicaOfRun | null = null, options: Partial<FederatedStreamOptions> = {}) =>
  openFederatedStream({ tenantId: TENANT, runId: RUN, node, replica }, { ...OPTIONS, signal: new AbortController().signal, ...options });

async function collect(stream: AsyncIterable<SseFrame>): Promise<SseFrame[]> {
  const frames: SseFrame[] = [];
  for await (const frame of stream) if ('data' in frame) frames.push(frame);
  return frames;
}

const sequences = (frames: readonly SseFrame[]): number[] => frames.map((frame) => ('data' in frame ? Number(frame.id) : Number.NaN));
const range = (from: number, to: number): number[] => Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => from + index);

const deed: fc.Arbitrary<Deed> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ tell: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 2, arbitrary: fc.record({ again: fc.integer({ min: 0, max: 9 }) }) },
  { weight: 1, arbitrary: fc.record({ skip: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ foreign: fc.constantFrom('tenant', 'run') as fc.Arbitrary<'tenant' | 'run'> }) },
  { weight: 1, arbitrary: fc.record({ pauseMs: fc.integer({ min: 0, max: 2 }) }) },
);
const script = (length: number): fc.Arbitrary<ConnectionScript> =>
  fc.record({ refused: fc.boolean(), deeds: fc.array(deed, { maxLength: 6 }), end: fc.constantFrom('closed' as const, 'cut' as const), visible: fc.integer({ min: 0, max: length }) });
const history = fc.integer({ min: 1, max: 30 }).chain((length) =>
  fc.record({ length: fc.constant(length), after: fc.option(fc.integer({ min: 0, max: length })), scripts: fc.array(script(length), { maxLength: 8 }), held: fc.subarray(range(1, length)) }),
);

describe('whatever a node does', () => {
  it('the reader gets each sequence once, in order, from the cursor to the last event and nothing after it', verifies(['PRS-7.3-04', 'PRS-7.4-04', 'PRS-7.4-05'], async () => {
    await fc.assert(fc.asyncProperty(history, async ({ length, after, scripts }) => {
      const log = logOf(length);
      const node = new ScriptedNode(log, scripts);
      const frames = await collect(await open(node, null, { after, maxAttempts: scripts.length + 3 }));
      expect(frames).toEqual(log.slice(after ?? 0).map(frameOf));
      expect(node.openConnections, 'connections left open').toBe(0);
    }), { numRuns: 300 });
  }), 180_000);

  it('and no less with a replica that holds any part of it', verifies(['PRS-7.4-04', 'PRS-7.4-05'], async () => {
    await fc.assert(fc.asyncProperty(history, async ({ length, after, scripts, held }) => {
      const log = logOf(length);
      const replica = await replicaOf(log.filter(({ sequence }) => held.includes(sequence)));
      const frames = await collect(await open(new ScriptedNode(log, scripts), replica, { after, maxAttempts: held.length > 0 ? 1 : scripts.length + 3 }));
      expect(frames).toEqual(log.slice(after ?? 0).map(frameOf));
    }), { numRuns: 300 });
  }), 180_000);

  it('never shows an event of another tenant or run', verifies(['PRS-7.4-09'], async () => {
    for (const foreign of ['tenant', 'run'] as const) {
      const node = new ScriptedNode(logOf(4), Array.from({ length: 20 }, () => ({ deeds: [{ tell: 2 }, { foreign }], end: 'closed' as const })));
      const frames: SseFrame[] = [];
      const reading = async (): Promise<void> => {
        for await (const frame of await open(node)) frames.push(frame);
      };
      // The first two come, then the same stranger again and again, and the rest of each new connection.
      await reading();
      expect(sequences(frames)).toEqual([1, 2, 3, 4]);
      const stubborn = new ScriptedNode(logOf(4), Array.from({ length: 20 }, () => ({ deeds: [{ foreign }], end: 'closed' as const })));
      await expect(open(stubborn).then(collect)).rejects.toMatchObject({ code: 'dependency_unavailable', details: { reason: 'peer_events_foreign' } });
    }
  }));

  it('gives up on one that brings nothing, time after time, and counts anew after each event', async () => {
    const nothing: ConnectionScript = { deeds: [], end: 'cut' };
    const node = new ScriptedNode(logOf(6), [nothing, nothing, { deeds: [{ tell: 2 }], end: 'cut' }, nothing, nothing, nothing, nothing]);
    const seen: number[] = [];
    await expect((async () => {
      for await (const frame of await open(node)) seen.push(...sequences([frame]));
    })()).rejects.toMatchObject({ code: 'dependency_unavailable' });
    expect(seen).toEqual([1, 2]);
    expect(node.opened).toEqual([0, 0, 0, 2, 2, 2]);
  });

  it('is told what the node refuses before anything is sent', async () => {
    for (const code of ['not_found', 'forbidden'] as const) {
      const refusing: NodeOfRun = { open: () => Promise.reject(new AgentOsError(code, { message: 'It says no.' })), hasEnded: () => Promise.resolve(false) };
      await expect(open(refusing)).rejects.toMatchObject({ code });
    }
    const absent: NodeOfRun = { open: () => Promise.reject(away('down')), hasEnded: () => Promise.resolve(false) };
    await expect(open(absent)).rejects.toMatchObject({ code: 'dependency_unavailable' });
    await expect(open(null)).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('cursors', () => {
  it('are exclusive, and one behind the end of a finished run gets an empty stream that closes', verifies(['PRS-7.3-04'], async () => {
    for (const after of [0, 1, 4, 5, 6, 99, 1e15]) {
      const node = new ScriptedNode(logOf(5), Array.from({ length: 9 }, () => ({ deeds: [{ tell: 99 }], end: 'closed' as const })));
      expect(sequences(await collect(await open(node, null, { after })))).toEqual(range(after + 1, 5));
    }
  }));

  it('at the end of a finished run are answered without another try, since the last event is seen again', async () => {
    const closes: ConnectionScript = { deeds: [{ tell: 99 }], end: 'closed' };
    const node = new ScriptedNode(logOf(5), [closes, closes, closes, closes]);
    expect(await collect(await open(node, null, { after: 5 }))).toEqual([]);
    expect(node.opened).toEqual([5, 4]);
  });
});

describe('readers', () => {
  it('that stall make the node wait: nothing is read ahead', verifies(['PRS-7.3-04'], async () => {
    const node = new ScriptedNode(logOf(10_000));
    const stream = (await open(node))[Symbol.asyncIterator]();
    for (let read = 1; read <= 5; read += 1) {
      await stream.next();
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(node.pulled).toBe(read);
    }
    await stream.return?.();
    expect(node.openConnections).toBe(0);
  }));

  it('that leave while the node is silent close its connection, and leave nothing behind', async () => {
    const leaving = new AbortController();
    const node = new ScriptedNode(logOf(3), [{ deeds: [{ tell: 1 }, { pauseMs: 200 }, { tell: 1 }], end: 'closed' }]);
    const stream = (await open(node, null, { signal: leaving.signal }))[Symbol.asyncIterator]();
    expect((await stream.next()).value).toMatchObject({ id: '1' });
    const pending = stream.next();
    leaving.abort();
    expect(await pending).toEqual({ done: true, value: undefined });
    expect(getEventListeners(leaving.signal, 'abort')).toEqual([]);
    await expect.poll(() => node.openConnections).toBe(0);
  });

  it('are kept with comments while nothing happens, wherever the events come from', async () => {
    const quiet = new ScriptedNode(logOf(2), [{ deeds: [{ tell: 1 }, { pauseMs: 60 }, { tell: 1 }], end: 'closed' }]);
    for (const [node, replica] of [[quiet, null], [null, await replicaOf(logOf(2).slice(0, 1))]] as const) {
      const frames: SseFrame[] = [];
      for await (const frame of await open(node, replica, { keepAliveMs: 10 })) {
        frames.push(frame);
        if (frames.length === 3) break;
      }
      expect(frames).toEqual([frameOf(eventAt(1, 2)), { comment: 'keep-alive' }, { comment: 'keep-alive' }]);
    }
  });
});

describe('a node that is away', () => {
  const down: ConnectionScript = { refused: true, deeds: [], end: 'cut' };

  it('is stood in for by the replica as far as that reaches, and goes on when it is back', verifies(['PRS-7.3-04', 'PRS-7.4-06'], async () => {
    const log = logOf(8);
    // Away for longer than a stream without a replica would wait, and in the middle of the run.
    const node = new ScriptedNode(log, [{ deeds: [{ tell: 2 }], end: 'cut' }, ...Array.from({ length: 6 }, () => down)]);
    expect(await collect(await open(node, await replicaOf(log.slice(0, 5))))).toEqual(log.map(frameOf));
    expect(node.opened).toEqual([0, ...Array.from({ length: 7 }, () => 5)]);
  }));

  it('is not asked any more when the replica has the whole run', async () => {
    const log = logOf(4);
    const node = new ScriptedNode(log, Array.from({ length: 50 }, () => down));
    for (const after of [null, 2, 4, 1e15]) expect(sequences(await collect(await open(node, await replicaOf(log), { after })))).toEqual(range((after ?? 0) + 1, 4));
    expect(node.opened).toHaveLength(4);
  });

  it('leaves the run to the replica when it does not know it any more', async () => {
    const log = logOf(4);
    const gone: NodeOfRun = { open: () => Promise.reject(new AgentOsError('not_found', { message: 'There is no such run.' })), hasEnded: () => Promise.resolve(false) };
    expect(await collect(await open(gone, await replicaOf(log)))).toEqual(log.map(frameOf));
  });
});

describe('a run that was only copied', () => {
  it('is told in order, with what comes while it is read, and ends with its last event', verifies(['PRS-7.3-05', 'PRS-7.4-05'], async () => {
    const log = logOf(70);
    const replica = await replicaOf(log.slice(0, 40));
    const reading = open(null, replica, { gapGraceMs: 2_000 }).then(collect);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await replica.add(log.slice(45, 70));
    await new Promise((resolve) => setTimeout(resolve, 20));
    await replica.add(log.slice(40, 45));
    expect(await reading).toEqual(log.map(frameOf));
  }));

  it('is told over a gap that nobody fills, after a while', async () => {
    const log = [eventAt(12, 0), eventAt(13, 0), eventAt(20, 20)];
    expect(sequences(await collect(await open(null, await replicaOf(log))))).toEqual([12, 13, 20]);
  });

  it('may begin with 0, which a cursor of 0 has seen', async () => {
    const log = [eventAt(0, 2), eventAt(1, 2), eventAt(2, 2)];
    expect(sequences(await collect(await open(null, await replicaOf(log))))).toEqual([0, 1, 2]);
    expect(sequences(await collect(await open(null, await replicaOf(log), { after: 0 })))).toEqual([1, 2]);
    expect(sequences(await collect(await open(null, await replicaOf(log), { after: 7 })))).toEqual([]);
  });
});
