/**
 * The way between two nodes is cut again and again while runs are executed on one and followed on the other, by readers
 * and by the replicator: the delivered sets and the copies equal the log, in order.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runCompleted, stepStarted } from '../../services/agent-orchestrator/events/drafts.ts';
import type { ClaimedRun } from '../../services/agent-orchestrator/ports/queue.ts';
import { call, readEvents, type Json } from '../harness/client.ts';
import { CALLER } from '../harness/peer-caller.ts';
import { startTwoNodes, type FederatedNode } from '../harness/two-nodes.ts';
import { verifies } from '../http/verifies.ts';
import { openPostgresRunStores } from '../ports/orchestrator-store.ts';
import { asLease, claimOptions, WORKER } from '../ports/run-fixtures.ts';
import { startStoreGate } from '../ports/store-gate.ts';
import { chance, isLongForm } from './seeded.ts';

const RUNS = isLongForm ? 40 : 10;
const READERS = 3;
const CUTS = isLongForm ? 60 : 6;
/** Streams that B serves when all is well: the readers' and the replicator's. */
const STREAMS = RUNS * (READERS + 1);
const NOTHING = { stepsTotal: 0, toolCallsTotal: 0, modelCallsTotal: 0 };
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

type Stores = Awaited<ReturnType<typeof openPostgresRunStores>>;

/** Writes the run's events with pauses, as a worker would, and ends it when it is told to. */
async function execute({ runState, events }: Stores, claimed: ClaimedRun, pauseMs: () => number, isEnough: () => boolean): Promise<void> {
  const { runId } = claimed.run;
  for (let at = 0, last = false; !last; at += 1) {
    await sleep(pauseMs());
    last = isEnough();
    const event = last ? runCompleted(runId, { type: 'text', text: 'Done.' }) : stepStarted(runId, at + 1, { step_kind: 'plan', name: 'tick', message: `Step ${at}` });
    const result = await runState.advance(CALLER as never, asLease(claimed), { expectedStep: at, events: [event], summaryDelta: NOTHING, end: last ? { status: 'completed', output: { type: 'text', text: 'Done.' } } : null } as never);
    if (result.outcome !== 'applied') throw new Error(`Event ${at} of ${runId} was not written: ${result.outcome}.`);
    events.announce(CALLER as never, runId, result.lastSequence);
  }
}

async function figure(node: FederatedNode, name: RegExp): Promise<number> {
  return Number(name.exec((await call(node.urls.federation, '/metrics')).body as string)?.[1] ?? 0);
}

const rows = async (node: FederatedNode, sql: string, runId: string): Promise<Json[]> => node.database.asSuperuser(async (client) => (await client.query(sql, [runId])).rows);

it('readers and copies get each event once, in order, however often the way is cut', verifies(['PRS-7.3-04', 'PRS-7.4-04', 'PRS-7.4-05', 'PRS-7.4-06'], async () => {
  const { seed, between } = chance();
  process.stderr.write(`faults/federated-streams: seed ${seed} (AGENTOS_CHAOS_SEED=${seed} repeats it)\n`);
  const nodes = await startTwoNodes({ env: { a: { AGENTOS_FED_REPLICATION: 'on', AGENTOS_FED_MAX_ATTEMPTS: '20' }, b: { AGENTOS_ROLE: 'api' } } });
  const gate = await startStoreGate(nodes.b.peerUrl);
  const stores = await openPostgresRunStores(nodes.b.database.url);
  try {
    // A finds B behind the gate.
    const file = join(nodes.a.folder, 'peers.json');
    writeFileSync(file, readFileSync(file, 'utf8').replaceAll(nodes.b.peerUrl, new URL(gate.url).origin));
    await expect.poll(async () => JSON.stringify((await call(nodes.a.urls.federation, '/v1/federation/peers')).body), { timeout: 10_000 }).toContain(new URL(gate.url).port);
    const runIds = await Promise.all(Array.from({ length: RUNS }, async () => {
      const body = { forward: { target_selector: { stack_id: nodes.b.stackId }, auth: CALLER, run_request: { agent_id: 'agt_demo', input: 'hello' } } };
      const answer = await call(nodes.a.urls.federation, '/v1/federation/runs:forward', { body });
      expect(answer.status, JSON.stringify(answer.body)).toBe(200);
      return answer.body.forwarded.remote_run_id as string;
    }));
    const reading = runIds.flatMap((runId) => Array.from({ length: READERS }, () => readEvents(nodes.a.urls.federation, `/v1/federation/runs/${runId}/events`, { timeoutMs: 120_000 })));
    const claimed: ClaimedRun[] = [];
    while (claimed.length < RUNS) claimed.push(...(await stores.queue.claim(WORKER, claimOptions({ limit: RUNS, leaseMs: 300_000 }))));
    let enough = false;
    const executing = Promise.all(claimed.map((run) => execute(stores, run, () => between(20, 200), () => enough)));
    executing.catch(() => undefined);
    for (let cut = 0; cut < CUTS; cut += 1) {
      // A cut counts when it hits streams that are open.
      await expect.poll(() => figure(nodes.b, /agentos_http_open_streams\{[^}]*\} (\d+)/), { timeout: 60_000, interval: 100, message: `INVALID: the streams did not come back after cut ${cut}, seed ${seed}` }).toBeGreaterThanOrEqual(STREAMS);
      await sleep(between(50, 400));
      await gate.shut();
      await sleep(between(0, 150));
      await gate.open();
    }
    enough = true;
    await executing;
    const readings = await Promise.all(reading);
    expect(await figure(nodes.b, /agentos_http_requests_total\{[^}]*operation="streamFederatedRunEvents",status="200"[^}]*\} (\d+)/), `INVALID: too few streams were cut, seed ${seed}`).toBeGreaterThanOrEqual(STREAMS * CUTS);
    for (const [index, { frames, ended, status }] of readings.entries()) {
      const log = await rows(nodes.b, 'SELECT event_id FROM orchestrator.run_events WHERE run_id = $1 ORDER BY sequence', runIds[Math.floor(index / READERS)]!);
      expect({ status, ended }, `seed ${seed}`).toEqual({ status: 200, ended: true });
      expect(log.length).toBeGreaterThan(CUTS);
      expect(frames.map((frame) => frame.data.event.event_id), `seed ${seed}`).toEqual(log.map((row) => row.event_id));
    }
    for (const runId of runIds) {
      const log = await rows(nodes.b, 'SELECT sequence::int, event_id FROM orchestrator.run_events WHERE run_id = $1 ORDER BY sequence', runId);
      await expect.poll(() => rows(nodes.a, 'SELECT sequence::int, event_id FROM federation.replica_events WHERE run_id = $1 ORDER BY sequence', runId), { timeout: 30_000, message: `seed ${seed}` }).toEqual(log);
    }
  } finally {
    await stores.close();
    await gate.close();
    await nodes.close();
  }
}), 300_000);
