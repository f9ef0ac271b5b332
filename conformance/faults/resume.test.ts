/**
 * kill -9 of the orchestrator in mid-run: another one goes on where the log ends. No acknowledged run is lost, no
 * sequence has a gap or a repeat, every run has one terminal event, no counter drifts.
 *
 * Short form; the seed is printed, and AGENTOS_CHAOS_SEED repeats a run. Model calls are held back a little, so that
 * the kill hits work in flight; the test fails when it does not.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, readEvents, untilEnded, type Json } from '../harness/client.ts';
import { startFaultyProxy, type FaultyProxy } from '../harness/faulty-proxy.ts';
import { planProcesses, type ProcessNode } from '../harness/processes.ts';
import { verifies } from '../http/verifies.ts';
import { chance } from './seeded.ts';

const RUNS = 40;
const KILLS = 2;
const LEASE_MS = 1_000;
const { seed, between } = chance();

let node: ProcessNode;
let proxy: FaultyProxy;
const ao = (): string => node.urls['agent-orchestrator'];

beforeAll(async () => {
  process.stderr.write(`faults/resume: seed ${seed} (AGENTOS_CHAOS_SEED=${seed} repeats it)\n`);
  node = await planProcesses({ AGENTOS_LEASE_MS: String(LEASE_MS), AGENTOS_WORKER_CONCURRENCY: '16' });
  await node.start('model-policy');
  proxy = await startFaultyProxy(node.urls['model-policy']);
  proxy.setDelay(() => between(20, 150));
  await startOrchestrator();
}, 120_000);
afterAll(async () => {
  await node?.stop();
  await proxy?.close();
}, 180_000);

const startOrchestrator = (): Promise<void> => node.start('agent-orchestrator', { AGENTOS_MODEL_POLICY_URL: proxy.url });

interface Census {
  readonly unfinished: number;
  readonly running: number;
  readonly drift: number;
  readonly reclaimed: number;
}

async function census(): Promise<Census> {
  const { rows } = await node.database.asSuperuser((client) => client.query<Census>(`
    SELECT count(*) FILTER (WHERE status IN ('queued', 'running'))::int AS unfinished,
           count(*) FILTER (WHERE status = 'running')::int AS running,
           count(*) FILTER (WHERE attempts > 1)::int AS reclaimed,
           (SELECT coalesce(sum(abs(t.active - (SELECT count(*) FROM orchestrator.runs r WHERE r.tenant_id = t.tenant_id AND r.status IN ('queued', 'running')))), 0)
              FROM orchestrator.tenant_runs t)::int AS drift
    FROM orchestrator.runs`));
  return rows[0]!;
}

function expectWholeLog(runId: string, frames: readonly { readonly data: Json }[]): void {
  const events = frames.map((frame) => frame.data.event);
  expect(events.map((event) => event.sequence as number), runId).toEqual(events.map((_, index) => index + 1));
  expect(new Set(events.map((event) => event.event_id as string)).size, runId).toBe(events.length);
  const types = events.map((event) => event.type as string);
  expect(types.filter((type) => type === 'agentos.run.created' || type === 'agentos.run.started'), runId).toEqual(['agentos.run.created', 'agentos.run.started']);
  expect(types.filter((type) => /^agentos\.run\.(completed|failed|canceled)$/.test(type)), runId).toEqual(['agentos.run.completed']);
  expect(types.at(-1)).toBe('agentos.run.completed');
  const calls = events.filter((event) => event.type === 'agentos.tool.call.completed').map((event) => event.payload.tool_call_id as string);
  expect(new Set(calls).size, `${runId} has told a tool call twice`).toBe(calls.length);
}

describe('a killed orchestrator', () => {
  it('is followed by one that completes every run it had accepted', verifies(['PRS-3.1-03', 'PRS-1-02', 'PRS-12.1-01', 'PRS-7.4-04'], async () => {
    const accepted: string[] = [];
    let inFlight = 0;
    for (let kill = 0; kill < KILLS; kill += 1) {
      const made = await Promise.all(Array.from({ length: RUNS / KILLS }, (_, i) => call(ao(), '/v1/agents/agt_sample_echo_v1/runs', { body: { input: `run ${kill}.${i}`, idempotency_key: `idem_${seed}_${kill}_${i}` } })));
      for (const answer of made) expect(answer.status, JSON.stringify(answer.body)).toBe(201);
      accepted.push(...made.map((answer) => answer.body.run.run_id as string));
      await new Promise((resolve) => setTimeout(resolve, between(60, 350)));
      await node.kill('agent-orchestrator', 'SIGKILL');
      inFlight += (await census()).running;
      await startOrchestrator();
    }
    expect(inFlight, 'the kills must hit work in flight, or this proves nothing').toBeGreaterThan(0);
    const ended = await Promise.all(accepted.map((runId) => untilEnded(ao(), runId, { timeoutMs: 30_000 })));
    expect(ended.filter((run) => run.status !== 'completed')).toEqual([]);
    for (const runId of accepted) expectWholeLog(runId, (await readEvents(ao(), `/v1/runs/${runId}/events`)).frames);
    const after = await census();
    expect(after).toMatchObject({ unfinished: 0, running: 0, drift: 0 });
    expect(after.reclaimed).toBeGreaterThanOrEqual(1);
  }), 120_000);

  it('keeps its promises about keys: a retried request finds its run', verifies(['PRS-4.3-04'], async () => {
    const body = { input: 'run 0.0', idempotency_key: `idem_${seed}_0_0` };
    const again = await call(ao(), '/v1/agents/agt_sample_echo_v1/runs', { body });
    expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([200, 'true']);
  }));

  it('that is asked to stop gives its runs back and exits cleanly', verifies(['PRS-12.1-01', 'PRS-8.1-02'], async () => {
    proxy.setDelay(() => 400);
    const made = await Promise.all(Array.from({ length: 8 }, (_, i) => call(ao(), '/v1/agents/agt_sample_echo_v1/runs', { body: { input: `last ${i}` } })));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await node.kill('agent-orchestrator', 'SIGTERM')).toBe(0);
    proxy.setDelay(() => 0);
    await startOrchestrator();
    for (const answer of made) {
      const runId = answer.body.run.run_id as string;
      expect((await untilEnded(ao(), runId)).status).toBe('completed');
      expectWholeLog(runId, (await readEvents(ao(), `/v1/runs/${runId}/events`)).frames);
    }
  }), 180_000);
});
