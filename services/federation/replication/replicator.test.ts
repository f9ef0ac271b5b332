import { Registry } from 'prom-client';
import { afterEach, describe, expect, it } from 'vitest';
import { verifies } from '../../../conformance/http/verifies.ts';
import type { Peer } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { createLogger } from '../../platform/telemetry/logger.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { MemoryAudit } from '../../platform/audit/audit-memory.ts';
import { MemoryFollowList } from '../adapters/follow-list-memory.ts';
import { MemoryReplica } from '../adapters/replica-memory.ts';
import { peerOf } from '../federation.fixture.ts';
import type { PeerPort } from '../ports/peer.ts';
import type { WireEvent } from './event-digest.ts';
import { createReplicationMetrics } from './replication-metrics.ts';
import { Replicator, type ReplicatorOptions } from './replicator.ts';
import { logOf, RUN, ScriptedNode, TENANT, type ConnectionScript } from './scripted-node.fixture.ts';

const AUTH = { tenant_id: TENANT, principal: { principal_id: 'usr_test', principal_type: 'user' }, scopes: [] } as AuthContext;
const QUICK = { pollMs: 5, leaseMs: 3_000, baseBackoffMs: 5, maxBackoffMs: 20, quietMs: 15, gatherMs: 2 };
const log = createLogger({ service: 'federation', level: 'silent' });
const PEERS: Readonly<Record<string, Peer>> = { stk_b: peerOf('stk_b') };
const quiet: ConnectionScript = { deeds: [{ tell: 1 }, { pauseMs: 60_000 }], end: 'closed' };
const down: ConnectionScript = { refused: true, deeds: [], end: 'cut' };

const running: Replicator[] = [];
afterEach(async () => {
  for (const replicator of running.splice(0)) await replicator.stop();
});

/** A node with these runs, all of which were forwarded to it. */
function world(scripts: Readonly<Record<string, readonly ConnectionScript[]>>, length = 6) {
  const runs = new Map(Object.entries(scripts).map(([runId, script]) => [runId, new ScriptedNode(eventsOf(runId, length), script)]));
  const audit = new MemoryAudit();
  const replica = new MemoryReplica(audit);
  const list = new MemoryFollowList(() => [...runs.keys()].map((runId) => ({ tenantId: TENANT, runId, targetStackId: 'stk_b', createdAt: new Date() })));
  const asked: AuthContext[] = [];
  const port = {
    openEvents: (auth: AuthContext, _peer: Peer, { runId, afterSequence }: { runId: string; afterSequence: number }, { signal }: { signal: AbortSignal }) => {
      asked.push(auth);
      return runs.get(runId)!.open(afterSequence, signal);
    },
  } as unknown as PeerPort;
  const nodes = {
    own: peerOf('stk_a'),
    target(stackId: string) {
      const peer = PEERS[stackId];
      if (peer === undefined) throw new AgentOsError('not_found', { message: `No peer ${stackId}.` });
      return { peer, port };
    },
  };
  const registry = new Registry();
  const metrics = createReplicationMetrics({ registry });
  const start = (options: Partial<ReplicatorOptions> = {}): Replicator => {
    const replicator = new Replicator({ list, nodes, replica, metrics, log }, { ...QUICK, ...options });
    running.push(replicator);
    replicator.start();
    return replicator;
  };
  const copied = async (runId: string): Promise<readonly WireEvent[]> => replica.read(AUTH, runId, { sequence: 0, limit: 1_000 });
  return { runs, replica, list, audit, registry, asked, start, copied, whole: (runId: string) => expect.poll(() => copied(runId), { timeout: 5_000 }).toEqual(eventsOf(runId, length)) };
}

const eventsOf = (runId: string, length: number): WireEvent[] => logOf(length).map((event) => ({ ...event, run_id: runId, event_id: `${event.event_id}_${runId}` }));

describe('the replicator', () => {
  it('copies what is forwarded, once, whatever the connections do, and stops at the last event', verifies(['PRS-7.4-04', 'PRS-7.4-05', 'PRS-10.3-03'], async () => {
    const here = world({ [RUN]: [{ deeds: [{ tell: 2 }], end: 'cut' }, down, { deeds: [{ again: 1 }, { tell: 2 }, { skip: 1 }], end: 'closed' }, { deeds: [{ foreign: 'tenant' }], end: 'closed' }] });
    here.start();
    await here.whole(RUN);
    await expect.poll(() => here.list.open()).toBe(0);
    expect(here.runs.get(RUN)!.openConnections).toBe(0);
    const opened = here.runs.get(RUN)!.opened.length;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(here.runs.get(RUN)!.opened, 'a finished run is not asked for again').toHaveLength(opened);
    expect(here.asked[0]).toMatchObject({ tenant_id: TENANT, principal: { principal_id: 'svc_federation' }, scopes: ['runs:read'] });
    const { records } = await here.audit.list(AUTH, { limit: 50, action: 'events.replicate' });
    expect(records.reduce((sum, record) => sum + (record.details as { stored: number }).stored, 0)).toBe(6);
    for (const record of records) expect(record).toMatchObject({ peer: 'stk_b', outcome: 'allowed', resource: { type: 'run', id: RUN }, principal: { principal_id: 'svc_federation' } });
    expect(await here.registry.metrics()).toMatch(/agentos_federation_replica_events_total\{way="followed",verdict="stored"\} 6/);
  }));

  it('goes on where the copy ends, after a restart', verifies(['PRS-7.4-11'], async () => {
    const here = world({ [RUN]: [{ deeds: [{ tell: 3 }, { pauseMs: 60_000 }], end: 'closed' }] });
    const first = here.start();
    await expect.poll(() => here.copied(RUN)).toHaveLength(3);
    await first.stop();
    here.start();
    await here.whole(RUN);
    expect(here.runs.get(RUN)!.opened).toEqual([0, 3]);
  }));

  it('follows as many runs as it may, and lets one in which nothing happens make room', async () => {
    const names = Array.from({ length: 12 }, (_, index) => `run_${index}`);
    const here = world(Object.fromEntries(names.map((name, index) => [name, index < 3 ? [quiet] : []])));
    let most = 0;
    const watching = setInterval(() => (most = Math.max(most, [...here.runs.values()].reduce((sum, node) => sum + node.openConnections, 0))), 1);
    here.start({ runs: 3 });
    // The first three take all places and then say nothing for a minute.
    for (const name of names.slice(3)) await here.whole(name);
    clearInterval(watching);
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(3);
  });

  it('shares the work with other processes: a run is followed by one of them, and taken over when its lease runs out', async () => {
    const names = Array.from({ length: 8 }, (_, index) => `run_${index}`);
    const here = world(Object.fromEntries(names.map((name) => [name, [{ deeds: [{ tell: 2 }, { pauseMs: 20 }, { tell: 2 }], end: 'cut' as const }]])));
    let most = 0;
    const watching = setInterval(() => (most = Math.max(most, ...[...here.runs.values()].map((node) => node.openConnections))), 1);
    here.start({ runs: 4 });
    here.start({ runs: 4 });
    for (const name of names) await here.whole(name);
    clearInterval(watching);
    expect(most).toBe(1);
    // A process that dies holds a lease and renews it no more.
    const dead = world({ [RUN]: [] });
    await dead.list.enter({ ownStackId: 'stk_a', since: new Date(0), limit: 10 });
    expect(await dead.list.take({ limit: 1, leaseMs: 60 })).toHaveLength(1);
    dead.start();
    await dead.whole(RUN);
  });

  it('waits longer and longer for a node that is away, and goes on when it is back', verifies(['PRS-7.4-06'], async () => {
    const here = world({ [RUN]: Array.from({ length: 6 }, () => down) });
    here.start();
    await here.whole(RUN);
    expect(here.runs.get(RUN)!.opened).toHaveLength(7);
  }));

  it('leaves alone what its node does not know any more', async () => {
    const here = world({ [RUN]: [] });
    here.runs.get(RUN)!.open = () => Promise.reject(new AgentOsError('not_found', { message: 'There is no such run.' }));
    here.start();
    await expect.poll(async () => [await here.list.open(), (await here.list.enter({ ownStackId: 'stk_a', since: new Date(0), limit: 1 }))]).toEqual([0, 0]);
  });

  it('stores what others have stored no second time, and counts what contradicts', async () => {
    const here = world({ [RUN]: [] });
    const events = eventsOf(RUN, 6);
    await here.replica.store(AUTH, 'stk_b', [events[0]!, { ...events[2]!, payload: { forged: true } }]);
    here.start();
    await expect.poll(() => here.list.open()).toBe(0);
    await expect.poll(() => here.registry.metrics()).toMatch(/verdict="conflict"\} 1/);
    expect((await here.copied(RUN)).map((event) => event.sequence)).toEqual([1, 2, 3, 4, 5, 6]);
  });
});
