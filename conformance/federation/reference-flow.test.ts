/**
 * The federation flow that integrators of earlier versions run: forward with the flat auth form, follow the events by
 * `from_sequence`, hand the same envelope over twice (C-24 to C-29). Between two network addresses, not on localhost.
 */
import { networkInterfaces } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, type Json } from '../harness/client.ts';
import { startTwoNodes, type TwoNodes } from '../harness/two-nodes.ts';
import { verifies } from '../http/verifies.ts';
import { eventsThrough, sequencesOf, typesOf, upTo } from './callers.ts';

/** The address of this machine in a network; where it is in none, one that is at least not the usual loopback. */
const ADDRESS = Object.values(networkInterfaces()).flat().find((entry) => entry?.internal === false && entry.family === 'IPv4')?.address ?? '127.0.0.2';

const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

let nodes: TwoNodes;
beforeAll(async () => {
  nodes = await startTwoNodes({ peerHost: ADDRESS });
});
afterAll(() => nodes?.close());

describe('the flow of earlier versions', () => {
  it('forwards, follows and ingests', verifies(['RM-07', 'PRS-7.3-01', 'PRS-7.3-04', 'PRS-7.3-05', 'PRS-7.4-04'], async () => {
    expect(nodes.b.peerUrl).toContain(ADDRESS);
    const auth = { tenant_id: 'tnt_demo', principal_id: 'prn_ci', subject_type: 'api_key', api_key_id: 'key_ci', scopes: ['runs:write', 'events:read'] };
    const headers = { 'x-principal-id': 'prn_ci', 'x-scopes': 'runs:write events:read' };
    const made = await call(nodes.a.urls.federation, '/v1/federation/runs:forward', {
      headers,
      body: {
        forward: {
          target_selector: { stack_id: 'stk_node_b', region: 'region-b', required_capabilities: ['runs.forward', 'events.stream'], preferred_model_tier: 'balanced' },
          auth,
          run_request: { agent_id: 'agt_demo', input: { type: 'text', text: 'hello federation' }, tooling: { tools: [] }, run_options: { model_tier: 'balanced', stream_events: true }, idempotency_key: 'idem_reference_flow' },
          traceparent: TRACEPARENT,
        },
      },
    });
    expect(made.status, JSON.stringify(made.body)).toBe(200);
    const runId = made.body.forwarded.remote_run_id as string;

    const all = await eventsThrough(nodes.a, runId, { headers, query: '?from_sequence=0' });
    expect(sequencesOf(all)).toEqual(upTo(all.frames.length));
    expect(typesOf(all).at(-1)).toBe('run.completed');
    const rest = await eventsThrough(nodes.a, runId, { headers, query: '?from_sequence=2' });
    expect(rest.frames).toEqual(all.frames.slice(2));
    expect(all.frames[0]!.data.event.trace.traceparent, 'one trace over both nodes').toContain(TRACEPARENT.split('-')[1]);

    // What went through node A as a stream was not taken in there, so the first time it is new.
    const ingest = (): Promise<Json> => call(nodes.a.urls.federation, '/v1/federation/events:ingest', { headers: { ...headers, 'x-scopes': 'runs:write runs:forward' }, body: { peer_id: 'stk_node_b', auth, events: [all.frames[0]!.data] } });
    const [first, second] = [await ingest(), await ingest()];
    expect([first.status, first.body.accepted, first.body.rejected], JSON.stringify(first.body)).toEqual([200, 1, 0]);
    expect([second.status, second.body.accepted, second.body.rejected], JSON.stringify(second.body)).toEqual([200, 0, 1]);
  }));

  it('is the same on the node that executes: its own runs are streamed there, too', async () => {
    const { body } = await call(nodes.b.urls['agent-orchestrator'], '/v1/agents/agt_demo/runs', { body: { input: 'hello' } });
    const local = await eventsThrough(nodes.b, body.run.run_id as string);
    expect(typesOf(local).at(-1)).toBe('run.completed');
    expect((await eventsThrough(nodes.a, body.run.run_id as string)).status, 'node A never heard of it').toBe(404);
  });
});
