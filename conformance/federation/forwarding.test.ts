/** Two nodes, real sockets, mutual TLS: a caller of node A has work done on node B and sees all of it from A (PRS 7, 13.7, 13.11). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, untilEnded, type Json } from '../harness/client.ts';
import { startTwoNodes, type TwoNodes } from '../harness/two-nodes.ts';
import { verifies } from '../http/verifies.ts';
import { auditOf, eventsThrough, forward, orchestratorOf, runsOn, sequencesOf, typesOf, upTo } from './callers.ts';

let nodes: TwoNodes;
let tenant: string;
beforeAll(async () => {
  nodes = await startTwoNodes();
  tenant = await nodes.tenant();
});
afterAll(() => nodes?.close());

/** Selectors that lead to node B alone. */
const SELECTORS: ReadonlyArray<readonly [string, Json]> = [
  ['its stack id', { stack_id: 'stk_node_b' }],
  ['its region', { region: 'region-b' }],
  ['what it can do', { region: 'region-b', required_capabilities: ['events.stream', 'tenant_isolation'] }],
];

describe('a run that is forwarded', () => {
  it.each(SELECTORS)('by %s executes there, and its events and output come back through the node that was asked', verifies(['PRS-7.3-01', 'PRS-7.3-02', 'PRS-7.3-03', 'PRS-7.3-04', 'PRS-13-07', 'PRS-7.4-01'], async (_what, to: Json) => {
    const { status, body } = await forward(nodes.a, { tenant, to, input: 'Please echo this sentence.' });
    expect(status, JSON.stringify(body)).toBe(200);
    const { forwarded } = body;
    expect(forwarded).toMatchObject({ tenant_id: tenant, remote_stack_id: 'stk_node_b', remote_run_id: expect.stringMatching(/^run_/) as string });
    expect(new URL(forwarded.remote_events_url as string).pathname).toContain(forwarded.remote_run_id);

    const events = await eventsThrough(nodes.a, forwarded.remote_run_id as string, { tenant });
    expect(events.ended).toBe(true);
    expect(sequencesOf(events)).toEqual(upTo(events.frames.length));
    expect(typesOf(events).at(0)).toBe('run.created');
    expect(typesOf(events).at(-1)).toBe('run.completed');
    const there = await orchestratorOf(nodes.b, `/v1/runs/${forwarded.remote_run_id}`, { tenant });
    const through = await call(nodes.a.urls.federation, `/v1/federation/runs/${forwarded.remote_run_id}`, { tenant });
    expect(through.status).toBe(200);
    // What differs is where the events are for whom: each node names its own address of them.
    expect({ ...through.body.run, events_url: null }).toEqual({ ...there.body.run, events_url: null });
    expect((await call(nodes.a.urls.federation, through.body.run.events_url as string, { tenant })).status).toBe(200);
    expect(through.body.run).toMatchObject({ status: 'completed', output: { text: expect.stringContaining('echo this sentence') as string } });
    expect((await orchestratorOf(nodes.a, `/v1/runs/${forwarded.remote_run_id}`, { tenant })).status, 'it is no run of node A').toBe(404);
  }));

  it('goes in the name of its caller: tenant and principal arrive, and both nodes record whose peer it was', verifies(['PRS-13-11', 'PRS-7.4-07', 'PRS-10.3-03', 'PRS-15.6-01'], async () => {
    const caller = { 'x-principal-id': 'usr_ann', 'x-scopes': 'runs:forward,runs:read' };
    const { status, body } = await forward(nodes.a, { tenant, to: { stack_id: 'stk_node_b' }, headers: caller, auth: { principal: { principal_id: 'usr_somebody_else', principal_type: 'user' }, policy_context: { data_classification: 'internal', region: 'region-b', purpose: 'agent_run' } } });
    expect(status, JSON.stringify(body)).toBe(200);
    const runId = body.forwarded.remote_run_id as string;
    await untilEnded(nodes.b.urls['agent-orchestrator'], runId, { tenant });
    const of = async (node: 'a' | 'b', action: string): Promise<Json> => (await auditOf(nodes[node], tenant, action)).find((record) => record.resource?.id === runId);
    await expect.poll(() => of('a', 'run.forward'), { timeout: 5_000 }).toMatchObject({ outcome: 'allowed', peer: 'stk_node_b', tenant_id: tenant, principal: { principal_id: 'usr_ann' } });
    await expect.poll(() => of('b', 'run.receive'), { timeout: 5_000 }).toMatchObject({ outcome: 'allowed', peer: 'stk_node_a', tenant_id: tenant, principal: { principal_id: 'usr_ann' } });
    expect(await of('b', 'run.create'), 'the run itself').toMatchObject({ outcome: 'allowed', peer: 'stk_node_a', principal: { principal_id: 'usr_ann' }, policy_context: { data_classification: 'internal' } });
    expect(await auditOf(nodes.a, tenant, 'run.create'), 'nothing was created on node A').toEqual([]);
  }));

  it('is canceled through the node that was asked', async () => {
    const { body } = await forward(nodes.a, { tenant, to: { stack_id: 'stk_node_b' }, run: { run_options: { timeout_ms: 60_000 } } });
    const runId = body.forwarded.remote_run_id as string;
    const canceled = await call(nodes.a.urls.federation, `/v1/federation/runs/${runId}:cancel`, { tenant, method: 'POST' });
    const there = (await orchestratorOf(nodes.b, `/v1/runs/${runId}`, { tenant })).body.run as Json;
    // A run may end before the word arrives; either way both nodes say the same.
    if (canceled.status === 200) expect([canceled.body.run.status, there.status]).toEqual(['canceled', 'canceled']);
    else expect([canceled.status, canceled.body.error.code, there.status]).toEqual([409, 'invalid_state_transition', 'completed']);
    const again = await call(nodes.a.urls.federation, `/v1/federation/runs/${runId}:cancel`, { tenant, method: 'POST' });
    expect([again.status, again.body.error.code]).toEqual([409, 'invalid_state_transition']);
  });

  it('is one run, however often it is asked for under one key', async () => {
    const ask = () => forward(nodes.a, { tenant, to: { stack_id: 'stk_node_b' }, run: { idempotency_key: 'idem_forward_once' } });
    const before = (await runsOn(nodes.b, tenant)).length;
    const answers = await Promise.all([ask(), ask(), ask()]);
    answers.push(await ask());
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(answers.map(({ body }) => body.forwarded.remote_run_id as string)).size).toBe(1);
    expect(answers.at(-1)!.headers.get('idempotency-replayed')).toBe('true');
    expect((await runsOn(nodes.b, tenant)).length).toBe(before + 1);
    const other = await forward(nodes.a, { tenant, to: { stack_id: 'stk_node_b' }, input: 'something else', run: { idempotency_key: 'idem_forward_once' } });
    expect([other.status, other.body.error.code]).toEqual([409, 'conflict']);
  });

  it('has identifiers that no other run of either node has', verifies(['PRS-7.4-03'], async () => {
    const local = (node: 'a' | 'b') => orchestratorOf(nodes[node], '/v1/agents/agt_demo/runs', { tenant, body: { input: 'hello' } }).then(({ body }) => body.run.run_id as string);
    const forwarded = () => forward(nodes.a, { tenant, to: { stack_id: 'stk_node_b' } }).then(({ body }) => body.forwarded.remote_run_id as string);
    const runIds = await Promise.all(Array.from({ length: 8 }, () => [local('a'), local('b'), forwarded()]).flat());
    expect(new Set(runIds).size).toBe(24);
    const eventIds: string[] = [];
    for (const [index, runId] of runIds.entries()) {
      // The node that executes it, or, for a forwarded one, the node that was asked.
      const { frames } = await eventsThrough(index % 3 === 1 ? nodes.b : nodes.a, runId, { tenant });
      expect(frames.length).toBeGreaterThan(3);
      eventIds.push(...frames.map((frame) => frame.data.event.event_id as string));
    }
    expect(new Set(eventIds).size).toBe(eventIds.length);
  }));
});

describe('what node B refuses', () => {
  it('a tenant that is at its limit of runs there, with its own words, and no run is there', verifies(['PRS-7.4-08', 'PRS-7.4-10', 'PRS-15.6-01'], async () => {
    const id = await nodes.tenant({ b: { quotas: { runs: { max_concurrent_runs: 0 } } } });
    const direct = await orchestratorOf(nodes.b, '/v1/agents/agt_demo/runs', { tenant: id, body: { input: 'hello' } });
    const refused = await forward(nodes.a, { tenant: id, to: { stack_id: 'stk_node_b' } });
    for (const { status, body } of [direct, refused]) expect([status, body.error?.code], JSON.stringify(body)).toEqual([429, 'quota_exceeded']);
    expect(refused.body.error.details).toMatchObject({ peer: 'stk_node_b' });
    expect(await runsOn(nodes.b, id)).toEqual([]);
    expect((await auditOf(nodes.a, id, 'run.forward'))[0]).toMatchObject({ peer: 'stk_node_b', outcome: 'denied' });
    expect((await orchestratorOf(nodes.a, '/v1/agents/agt_demo/runs', { tenant: id, body: { input: 'hello' } })).status, 'node A would have taken it').toBe(201);
  }));

  it('a model or a tool that the tenant has on node A and not on node B', verifies(['PRS-7.4-08', 'PRS-15.6-01'], async () => {
    const id = await nodes.tenant({ b: { entitlements: { model_tiers_allowed: [], tool_ids_allowed: [] } } });
    for (const node of [nodes.a, nodes.b]) await node.running().agent(id, { agentId: 'agt_entitled', tools: ['tool.echo'], toolChoice: 'tool.echo' });
    const outcome = async (base: string, run: Json): Promise<Json> => {
      const ended = await untilEnded(base, run as string, { tenant: id });
      const { frames } = await eventsThrough(nodes.b, run as string, { tenant: id });
      return { status: ended.status as string, code: ended.error?.code as string | undefined, tools: frames.filter((frame) => frame.data.event.type === 'agentos.tool.call.completed' && frame.data.event.payload.status === 'ok').length };
    };
    const input = 'Use tool.echo to repeat this.';
    const direct = (await orchestratorOf(nodes.b, '/v1/agents/agt_entitled/runs', { tenant: id, body: { input } })).body.run.run_id as string;
    const forwarded = (await forward(nodes.a, { tenant: id, to: { stack_id: 'stk_node_b' }, agentId: 'agt_entitled', input })).body.forwarded.remote_run_id as string;
    const [asked, sent] = [await outcome(nodes.b.urls['agent-orchestrator'], direct), await outcome(nodes.b.urls['agent-orchestrator'], forwarded)];
    expect(sent).toEqual(asked);
    expect(sent).toMatchObject({ status: 'failed', tools: 0 });
    const onA = (await orchestratorOf(nodes.a, '/v1/agents/agt_entitled/runs', { tenant: id, body: { input } })).body.run.run_id as string;
    expect((await untilEnded(nodes.a.urls['agent-orchestrator'], onA, { tenant: id })).status, 'node A allows both').toBe('completed');
  }));

  it('a tenant that is suspended there, or that it does not know', verifies(['PRS-7.4-08', 'PRS-15.6-01'], async () => {
    const id = await nodes.tenant();
    const runId = (await forward(nodes.a, { tenant: id, to: { stack_id: 'stk_node_b' } })).body.forwarded.remote_run_id as string;
    const suspended = await orchestratorOf(nodes.b, `/v1/admin/tenants/${id}:suspend`, { method: 'POST', tenant: 'tnt_demo', headers: { 'x-scopes': 'tenants:admin' }, body: { reason: 'test' } });
    expect(suspended.status).toBe(200);
    const refused = await forward(nodes.a, { tenant: id, to: { stack_id: 'stk_node_b' } });
    expect([refused.status, refused.body.error?.code, refused.body.error?.details?.reason]).toEqual([403, 'forbidden', 'tenant_suspended']);
    expect((await call(nodes.a.urls.federation, `/v1/federation/runs/${runId}`, { tenant: id })).status, 'nor is what it has there shown').toBe(403);
    const onA = await nodes.a.running().tenant();
    const unknown = await forward(nodes.a, { tenant: onA, to: { stack_id: 'stk_node_b' } });
    expect([unknown.status, unknown.body.error?.code]).toEqual([403, 'tenant_unknown']);
  }));

  it('a target that is not there, or that cannot do it', verifies(['PRS-7.4-06', 'PRS-7.3-02'], async () => {
    const answers = await Promise.all([{ stack_id: 'stk_nobody' }, { region: 'nowhere' }, { region: 'region-b', required_capabilities: ['telepathy'] }].map((to) => forward(nodes.a, { tenant, to })));
    expect(answers.map(({ status, body }) => [status, body.error?.code])).toEqual([[404, 'not_found'], [404, 'not_found'], [409, 'conflict']]);
    expect(JSON.stringify(answers[2]!.body.error)).toContain('telepathy');
    expect((await forward(nodes.a, { tenant, to: { stack_id: 'stk_node_b' }, auth: { tenant_id: 'tnt_demo' } })).body.error.code).toBe('tenant_mismatch');
  }));
});

describe('two tenants over two nodes', () => {
  it('see nothing of each other, on either node', verifies(['PRS-7.4-09', 'PRS-15.6-01', 'PRS-13-11'], async () => {
    const [one, other] = [await nodes.tenant(), await nodes.tenant()];
    const runOf: Record<string, string> = {};
    for (const id of [one, other]) runOf[id] = (await forward(nodes.a, { tenant: id, to: { stack_id: 'stk_node_b' }, input: `secret of ${id}` })).body.forwarded.remote_run_id as string;
    for (const [mine, theirs] of [[one, other], [other, one]] as const) {
      expect((await eventsThrough(nodes.a, runOf[mine]!, { tenant: mine })).ended).toBe(true);
      for (const node of [nodes.a, nodes.b]) {
        const base = node.urls.federation;
        const path = `/v1/federation/runs/${runOf[theirs]}`;
        const asked = [await call(base, path, { tenant: mine }), await call(base, `${path}:cancel`, { tenant: mine, method: 'POST' }), await call(base, `${path}/events`, { tenant: mine }), await orchestratorOf(node, `/v1/runs/${runOf[theirs]}`, { tenant: mine })];
        expect(asked.map(({ status, body }) => [status, body.error?.code])).toEqual(asked.map(() => [404, 'not_found']));
        expect(JSON.stringify(asked.map(({ body }) => body as unknown))).not.toContain(theirs);
        const records = [...(await auditOf(node, mine, 'run.forward')), ...(await auditOf(node, mine, 'run.receive')), ...(await auditOf(node, mine, 'run.create'))];
        expect(JSON.stringify(records)).not.toContain(theirs);
      }
    }
    expect((await runsOn(nodes.b, one)).map((run) => run.run_id as string)).toEqual([runOf[one]]);
  }));

  it('are asked for on the peers\' listener by nodes alone: whoever has no certificate gets no answer at all', verifies(['PRS-7.4-01', 'PRS-15.6-01'], async () => {
    for (const node of [nodes.a, nodes.b]) await expect(call(node.peerUrl, '/v1/federation/health', { tenant })).rejects.toThrow();
  }));
});
