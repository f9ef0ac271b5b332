/** Agents over HTTP: create, replace, versions, roll back, deactivate, delete (PRS 4.1). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, untilEnded, type Answer, type Json } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { faultsOf, operation } from './operations.ts';
import { verifies } from './verifies.ts';

const AO = 'agent-orchestrator';
let node: TestNode;
const ao = (): string => node.urls['agent-orchestrator'];
beforeAll(async () => {
  node = await startNode();
});
afterAll(() => node?.close());

let made = 0;
const freshId = (): string => `agt_made_${(made += 1)}`;
const create = (body: Json, headers: Record<string, string> = {}): Promise<Answer> => call(ao(), '/v1/agents', { body, headers });
const replace = (agentId: string, body: Json): Promise<Answer> => call(ao(), `/v1/agents/${agentId}`, { method: 'PUT', body });
const versionsOf = async (agentId: string, query = ''): Promise<Answer> => call(ao(), `/v1/agents/${agentId}/versions${query}`);

const WHOLE = {
  name: 'Support',
  description: 'Answers.',
  status: 'active',
  instructions: 'Answer politely.',
  model_ref: 'tier:fast',
  requirements: { max_latency_ms: 2000 },
  tools: ['tool.echo', 'tool.kv.get'],
  tool_choice: 'auto',
  limits: { max_steps: 7, timeout_ms: 9000, tool_timeout_ms: 800, model_timeout_ms: 900 },
  retry: { model_attempts: 2, tool_attempts: 4, backoff_ms: 10, max_backoff_ms: 100 },
  permissions: { agents: ['agt_demo'], memory: { read: ['kv:*'], write: [] }, hosts: ['*.example.com'] },
  on_tool_failure: 'retry',
};

describe('an agent', () => {
  it('is created as version 1 and read back whole', verifies(['PRS-4.1-02', 'PRS-4.2-14'], async () => {
    const agentId = freshId();
    const answer = await create({ agent_id: agentId, ...WHOLE });
    expect(answer.status, JSON.stringify(answer.body)).toBe(201);
    expect(faultsOf(operation(AO, 'createAgent'), 201, answer.body)).toEqual([]);
    expect(answer.body.agent).toMatchObject({ agent_id: agentId, tenant_id: 'tnt_demo', version: '1', ...WHOLE });
    expect((await call(ao(), `/v1/agents/${agentId}`)).body.agent).toEqual(answer.body.agent);
  }));

  it('gets an id and defaults where none are given', async () => {
    const { status, body } = await create({ name: 'Bare' });
    expect(status).toBe(201);
    expect(body.agent).toMatchObject({ version: '1', status: 'active', tools: [], model_ref: 'tier:balanced', tool_choice: 'auto' });
    expect(body.agent.agent_id).toMatch(/^agt_[0-9A-HJKMNP-TV-Z]{26}$/);
    expect(body.agent).not.toHaveProperty('permissions');
  });

  it('is created once; a repetition under a key is the same request', verifies(['PRS-4.3-05'], async () => {
    const agentId = freshId();
    expect((await create({ agent_id: agentId, name: 'One' }, { 'idempotency-key': 'k1' })).status).toBe(201);
    const again = await create({ agent_id: agentId, name: 'One' }, { 'idempotency-key': 'k1' });
    expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([200, 'true']);
    const other = await create({ agent_id: agentId, name: 'Two' }, { 'idempotency-key': 'k1' });
    expect([other.status, other.body.error.details.reason]).toEqual([409, 'agent_exists']);
    expect((await create({ agent_id: agentId, name: 'One' })).status).toBe(409);
  }));

  it('gets a version for each definition that differs', async () => {
    const agentId = freshId();
    await create({ agent_id: agentId, name: 'First' });
    expect((await replace(agentId, { name: 'Second' })).body.agent).toMatchObject({ version: '2', name: 'Second' });
    expect((await replace(agentId, { name: 'Second' })).body.agent).toMatchObject({ version: '2' });
    const listed = await versionsOf(agentId);
    expect(faultsOf(operation(AO, 'listAgentVersions'), 200, listed.body)).toEqual([]);
    expect(listed.body.agents.map((agent: Json) => `${agent.version} ${agent.name}`)).toEqual(['2 Second', '1 First']);
    const page = await versionsOf(agentId, '?limit=1');
    expect([page.body.agents.length, page.body.has_more]).toEqual([1, true]);
    expect((await versionsOf(agentId, '?limit=1&after=2')).body).toMatchObject({ agents: [{ version: '1' }], has_more: false });
  });

  it('rolls back to an earlier version by a new one', async () => {
    const agentId = freshId();
    await create({ agent_id: agentId, name: 'Good' });
    await replace(agentId, { name: 'Bad' });
    const answer = await call(ao(), `/v1/agents/${agentId}/rollback`, { body: { version: '1' } });
    expect([answer.status, answer.body.agent.version, answer.body.agent.name]).toEqual([200, '3', 'Good']);
    expect((await call(ao(), `/v1/agents/${agentId}/rollback`, { body: { version: '77' } })).status).toBe(404);
  });

  it('refuses another id in the body than in the path, and an agent that is not there', async () => {
    const agentId = freshId();
    await create({ agent_id: agentId, name: 'One' });
    expect((await replace(agentId, { agent_id: 'agt_other', name: 'One' })).body.error).toMatchObject({ code: 'invalid_request', details: { errors: [{ path: '/agent_id' }] } });
    expect((await replace('agt_absent', { name: 'One' })).status).toBe(404);
    expect((await call(ao(), '/v1/agents/agt_absent', { method: 'DELETE' })).status).toBe(404);
  });

  it('keeps a run on the version that it was created with', verifies(['PRS-3.1-01'], async () => {
    const agentId = freshId();
    await create({ agent_id: agentId, name: 'One' });
    const { run } = (await call(ao(), `/v1/agents/${agentId}/runs`, { body: { input: 'hello' } })).body;
    await replace(agentId, { name: 'Two' });
    expect((await untilEnded(ao(), run.run_id as string)).agent_version).toBe('1');
    expect((await call(ao(), `/v1/agents/${agentId}/runs`, { body: { input: 'hello' } })).body.run.agent_version).toBe('2');
  }));

  it('starts no run while it is inactive', async () => {
    const agentId = freshId();
    await create({ agent_id: agentId, name: 'One' });
    await replace(agentId, { name: 'One', status: 'inactive' });
    const answer = await call(ao(), `/v1/agents/${agentId}/runs`, { body: { input: 'hello' } });
    expect([answer.status, answer.body.error.details.reason]).toEqual([409, 'agent_inactive']);
    await replace(agentId, { name: 'One', status: 'active' });
    expect((await call(ao(), `/v1/agents/${agentId}/runs`, { body: { input: 'hello' } })).status).toBe(201);
  });

  it('may be run by those alone whom it names', async () => {
    const agentId = freshId();
    await create({ agent_id: agentId, name: 'One', permissions: { principals: ['usr_support'] } });
    const run = (principal: string): Promise<Answer> => call(ao(), `/v1/agents/${agentId}/runs`, { body: { input: 'hello' }, headers: { 'x-principal-id': principal } });
    expect((await run('usr_support')).status).toBe(201);
    const refused = await run('usr_other');
    expect([refused.status, refused.body.error.code, refused.body.error.details.reason]).toEqual([403, 'forbidden', 'agent_not_permitted']);
  });

  it('is deleted with its versions, and not while it runs', async () => {
    const agentId = freshId();
    await create({ agent_id: agentId, name: 'One' });
    const { run } = (await call(ao(), `/v1/agents/${agentId}/runs`, { body: { input: 'hello' } })).body;
    await untilEnded(ao(), run.run_id as string);
    expect((await call(ao(), `/v1/agents/${agentId}`, { method: 'DELETE' })).status).toBe(204);
    expect((await call(ao(), `/v1/agents/${agentId}`)).status).toBe(404);
    expect((await versionsOf(agentId)).status).toBe(404);
    expect((await call(ao(), `/v1/runs/${run.run_id}`)).status).toBe(200);
  });

  it('belongs to its tenant', verifies(['PRS-13-09'], async () => {
    const tenant = await node.tenant();
    const agentId = freshId();
    await create({ agent_id: agentId, name: 'Mine' });
    for (const [method, path, body] of [['GET', '', undefined], ['PUT', '', { name: 'Theirs' }], ['DELETE', '', undefined], ['GET', '/versions', undefined], ['POST', '/rollback', { version: '1' }]] as const) {
      const foreign = await call(ao(), `/v1/agents/${agentId}${path}`, { method, tenant, ...(body === undefined ? {} : { body }) });
      expect(foreign.status, `${method} ${path}`).toBe(404);
    }
    expect((await call(ao(), `/v1/agents/${agentId}`)).body.agent.name).toBe('Mine');
  }));
});
