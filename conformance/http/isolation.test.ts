/** One tenant never sees another's things, whatever it asks (PRS 13.9, 15; C-57). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, readEvents, untilEnded, type Json } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { verifies } from './verifies.ts';

let node: TestNode;
let run: Json;
let stranger: string;
const ao = (): string => node.urls['agent-orchestrator'];

beforeAll(async () => {
  node = await startNode();
  stranger = await node.tenant();
  for (const tenant of ['tnt_demo', stranger]) await node.agent(tenant, { agentId: 'agt_suite', tools: ['tool.kv.put', 'tool.kv.get'] });
  run = (await call(ao(), '/v1/agents/agt_sample_echo_v1/runs', { body: { input: 'a secret of tnt_demo' } })).body.run;
  await untilEnded(ao(), run.run_id as string);
});
afterAll(() => node?.close());

const OBJECTS: ReadonlyArray<readonly [string, string, string]> = [
  ['getRun', 'GET', '/v1/runs/{id}'],
  ['streamRunEvents', 'GET', '/v1/runs/{id}/events'],
  ['cancelRun', 'POST', '/v1/runs/{id}:cancel'],
];

describe('another tenant', () => {
  it.each(OBJECTS)('%s answers as for one that does not exist', verifies(['PRS-13-09', 'PRS-3.1-05', 'PRS-11.1-06', 'PRS-11.2-02'], async (_id: string, method: string, path: string) => {
    const foreign = await call(ao(), path.replace('{id}', run.run_id as string), { method, tenant: stranger });
    const absent = await call(ao(), path.replace('{id}', 'run_absent'), { method, tenant: stranger });
    expect([foreign.status, absent.status]).toEqual([404, 404]);
    const words = (body: Json, id: string): string => JSON.stringify({ ...body, correlation_id: '' }).replaceAll(id, '<id>');
    expect(words(foreign.body, run.run_id as string)).toBe(words(absent.body, 'run_absent'));
  }));

  it('lists nothing of it', async () => {
    for (const path of ['/v1/runs', '/v1/agents/agt_sample_echo_v1/runs']) {
      const { body } = await call(ao(), path, { tenant: stranger });
      expect(JSON.stringify(body)).not.toContain(run.run_id);
    }
  });

  it('does not see its agents', verifies(['PRS-4.2-13', 'PRS-4.2-14', 'PRS-13-09'], async () => {
    const mine = await call(ao(), '/v1/agents');
    expect(mine.status).toBe(200);
    const ids = mine.body.agents.map((agent: Json) => agent.agent_id as string);
    expect(ids).toEqual(expect.arrayContaining(['agt_sample_echo_v1', 'agt_demo', 'agt_review_summarizer_v1']));
    expect((await call(ao(), '/v1/agents', { tenant: stranger })).body.agents.map((agent: Json) => agent.agent_id as string)).toEqual(['agt_suite']);
    expect((await call(ao(), '/v1/agents/agt_demo')).status).toBe(200);
    expect((await call(ao(), '/v1/agents/agt_demo', { tenant: stranger })).status).toBe(404);
  }));

  it('does not see what a tool of the first has stored', verifies(['PRS-13-09', 'HLD-5.2-02'], async () => {
    const ask = async (input: string, tenant: string): Promise<string> => {
      const made = (await call(ao(), '/v1/agents/agt_suite/runs', { tenant, body: { input } })).body.run;
      await untilEnded(ao(), made.run_id as string, { tenant });
      return (await readEvents(ao(), made.events_url as string, { tenant })).raw;
    };
    await ask('Use tool.kv.put with key "colour" and value "ultramarine".', 'tnt_demo');
    expect(await ask('Use tool.kv.get with key "colour".', stranger)).not.toContain('ultramarine');
  }));

  it('that is not registered is refused by every service', verifies(['PRS-4.3-01', 'PRS-10.1-06'], async () => {
    const asks: ReadonlyArray<readonly [string, string]> = [[ao(), '/v1/runs'], [ao(), '/v1/agents'], [node.urls['model-policy'], '/v1/models'], [node.urls.federation, '/v1/federation/peer']];
    for (const [base, path] of asks) {
      const answer = await call(base, path, { tenant: 'tnt_absent' });
      expect([answer.status, answer.body.error.code], path).toEqual([403, 'tenant_unknown']);
    }
  }));

  it('that is suspended is refused', verifies(['PRS-15.4-04'], async () => {
    const tenant = await node.tenant();
    expect((await call(ao(), '/v1/runs', { tenant })).status).toBe(200);
    const patched = await call(ao(), `/v1/admin/tenants/${tenant}`, { method: 'PATCH', headers: { 'x-scopes': 'tenants:admin' }, body: { status: 'suspended' } });
    expect(patched.status, JSON.stringify(patched.body)).toBe(200);
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    const refused = await call(ao(), '/v1/runs', { tenant });
    expect(refused.status).toBe(403);
    expect(refused.body.error).toMatchObject({ code: 'forbidden', details: { reason: 'tenant_suspended' } });
  }));
});

describe('scopes', () => {
  const guarded: ReadonlyArray<readonly [string, string, string, Json]> = [
    ['runs:create', 'POST', '/v1/agents/agt_sample_echo_v1/runs', { input: 'x' }],
    ['runs:read', 'GET', '/v1/runs', undefined],
    ['runs:cancel', 'POST', '/v1/runs/run_x:cancel', undefined],
    ['agents:read', 'GET', '/v1/agents', undefined],
    ['tenants:admin', 'GET', '/v1/admin/tenants', undefined],
  ];

  it.each(guarded)('%s is needed for %s %s', verifies(['PRS-10.1-01', 'PRS-10.1-02', 'PRS-10.1-04', 'PRS-3.1-04'], async (scope: string, method: string, path: string, body: Json) => {
    const without = await call(ao(), path, { method, headers: { 'x-scopes': 'nothing:at-all' }, ...(body === undefined ? {} : { body }) });
    expect(without.status, JSON.stringify(without.body)).toBe(403);
    expect(without.body.error.code).toBe('forbidden');
    const granted = await call(ao(), path, { method, headers: { 'x-scopes': scope }, ...(body === undefined ? {} : { body }) });
    expect([403, 401]).not.toContain(granted.status);
  }));

  it('models:invoke and models:list guard Model Policy', verifies(['PRS-10.1-01'], async () => {
    const mp = node.urls['model-policy'];
    expect((await call(mp, '/v1/models', { headers: { 'x-scopes': 'runs:read' } })).status).toBe(403);
    expect((await call(mp, '/v1/policy:check', { headers: { 'x-scopes': 'runs:read' }, body: { policy_check: { content: { type: 'text', text: 'x' } } } })).status).toBe(403);
  }));
});
