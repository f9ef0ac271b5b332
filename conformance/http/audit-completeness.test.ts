/**
 * Nothing is changed without a record: every operation that is no reading is called once, and the trail is asked which of
 * them it has. An operation that the contract gains fails here until it leaves a record, or is named as one that does not.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OPERATION_ACCESS } from '../../generated/handlers/access.ts';
import { call, untilEnded, type Answer, type Json } from '../harness/client.ts';
import { storeKeys } from '../harness/keys.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { verifies } from './verifies.ts';

/** Those that leave none, and why. */
const WITHOUT_RECORD: Readonly<Record<string, string>> = {
  searchMemory: 'reads',
  replayRun: 'reads',
  policyCheck: 'reads: it judges a text and keeps nothing',
  ingestFederatedEvents: 'copies what another node recorded; its refusals are in federated-events.test.ts',
  cancelFederatedRun: 'needs two nodes: conformance/federation/forwarding.test.ts',
  forwardRun: 'needs two nodes: conformance/federation/forwarding.test.ts',
};

const changing = OPERATION_ACCESS.filter(({ method, aliasOf, planned, operationId }) => method !== 'GET' && aliasOf === null && !planned && WITHOUT_RECORD[operationId] === undefined);

let node: TestNode;
let tenant: string;
beforeAll(async () => {
  node = await startNode();
  tenant = await node.tenant({ tenant_id: 'tnt_recorded' });
});
afterAll(() => node?.close());

/** @throws Error for what was not answered with one of 200 to 204. */
async function done(service: 'agent-orchestrator' | 'model-policy', request: string, body?: unknown, scopes?: string): Promise<Answer> {
  const [method, path] = request.split(' ') as [string, string];
  const headers = { 'x-principal-id': 'usr_ada', ...(scopes === undefined ? {} : { 'x-scopes': scopes }) };
  const answer = await call(node.urls[service], path, { method, tenant, headers, ...(body === undefined ? {} : { body }) });
  if (answer.status > 204) throw new Error(`${request}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer;
}
const ao = (request: string, body?: unknown): Promise<Answer> => done('agent-orchestrator', request, body);
const mp = (request: string, body?: unknown): Promise<Answer> => done('model-policy', request, body);
const operator = (request: string, body?: unknown): Promise<Answer> => done('agent-orchestrator', request, body, 'tenants:admin');

async function administerTenants(): Promise<void> {
  const path = '/v1/admin/tenants/tnt_other';
  await operator('POST /v1/admin/tenants', { tenant_id: 'tnt_other', name: 'Other', plan_tier: 'standard' });
  await operator(`PUT ${path}`, { name: 'Another' });
  await operator(`PATCH ${path}`, { name: 'Yet another' });
  await operator(`PUT ${path}/principals/usr_bob`, { principal_type: 'user', roles: ['tenant_user'] });
  const { key } = (await operator(`POST ${path}/keys`, { principal_id: 'usr_bob' })).body;
  await operator(`POST ${path}/keys/${key.key_id}:rotate`);
  await operator(`DELETE ${path}/keys/${key.key_id}`);
  await operator(`DELETE ${path}/principals/usr_bob`);
  await operator(`POST ${path}:suspend`);
  await operator(`POST ${path}:resume`);
  await operator(`DELETE ${path}?confirm=tnt_other`);
  await operator(`POST ${path}:restore`);
}

async function administerAccounts(): Promise<void> {
  await ao('PUT /v1/principals/usr_bob', { principal_type: 'user', roles: ['tenant_user'] });
  const { key } = (await ao('POST /v1/keys', { principal_id: 'usr_bob' })).body;
  await ao(`POST /v1/keys/${key.key_id}:rotate`);
  await ao(`DELETE /v1/keys/${key.key_id}`);
  await ao('DELETE /v1/principals/usr_bob');
}

async function changeThings(): Promise<void> {
  const agent = { agent_id: 'agt_mine', name: 'Mine', instructions: 'Say hello.' };
  await ao('POST /v1/agents', agent);
  await ao('PUT /v1/agents/agt_mine', { ...agent, instructions: 'Say good morning.' });
  await ao('POST /v1/agents/agt_mine/rollback', { version: '1' });
  await ao('DELETE /v1/agents/agt_mine');
  const tool = { tool_id: 'tool.my.echo', name: 'Echo', description: 'Echoes.', input_schema: { type: 'object' }, webhook: { url: 'https://tools.example.com/echo' } };
  await ao('POST /v1/tools', tool);
  await ao('PUT /v1/tools/tool.my.echo', { ...tool, description: 'Repeats.' });
  await ao('DELETE /v1/tools/tool.my.echo');
  const server = { server_id: 'up', transport: { type: 'streamable_http', url: 'https://mcp.invalid/mcp' } };
  await ao('POST /v1/mcp-servers', server);
  await ao('PUT /v1/mcp-servers/up', { ...server, timeout_ms: 1_000 });
  await ao('POST /v1/mcp-servers/up:refresh');
  await ao('DELETE /v1/mcp-servers/up');
  const hook = { url: 'https://hooks.invalid/', event_types: ['*'], enabled: false };
  const { webhook } = (await ao('POST /v1/webhooks', hook)).body;
  await ao(`PUT /v1/webhooks/${webhook.webhook_id}`, hook);
  await ao(`POST /v1/webhooks/${webhook.webhook_id}:test`);
  await ao(`DELETE /v1/webhooks/${webhook.webhook_id}`);
  await ao('PUT /v1/memory/notes/items/a', { value: 'canary-5d1f' });
  await ao('DELETE /v1/memory/notes/items/a');
}

async function runAgents(): Promise<void> {
  const { run } = (await ao('POST /v1/agents/agt_demo/runs', { input: 'hello' })).body;
  await ao('POST /v1/runs', { agent_id: 'agt_demo', input: 'hello' });
  await ao('POST /v1/runs:batch', { runs: [{ agent_id: 'agt_demo', input: 'hello' }] });
  await untilEnded(node.urls['agent-orchestrator'], run.run_id, { tenant });
  await ao(`POST /v1/runs/${run.run_id}:retry`);
  // Which of the two is faster is not known: the cancel or the run.
  for (let left = 20; left > 0; left -= 1) {
    const next = (await ao('POST /v1/agents/agt_demo/runs', { input: 'hello', run_options: { priority: 'low' } })).body.run;
    const canceled = await call(node.urls['agent-orchestrator'], `/v1/runs/${next.run_id}:cancel`, { method: 'POST', tenant, headers: { 'x-principal-id': 'usr_ada' } });
    if (canceled.status === 200) return;
  }
  expect.fail('no run could be canceled before it had ended');
}

async function useModels(): Promise<void> {
  await mp('PUT /v1/policies/pol_mine', { rules: [] });
  await mp('DELETE /v1/policies/pol_mine');
  const messages = [{ role: 'user', content: 'hello' }];
  await mp('POST /v1/chat/completions', { model: 'tier:balanced', messages });
  await mp('POST /v1/embeddings', { model: 'tier:balanced', input: 'hello' });
  const auth = { tenant_id: tenant, principal: { principal_id: 'usr_ada', principal_type: 'user' }, scopes: [], policy_context: { purpose: 'a proof', consent_tags: ['research'], note: 'canary-5d1f', notes: { more: 'canary-5d1f' } } };
  await mp('POST /v1/models:invoke', { auth, request: { request_id: 'req_recorded', operation: 'chat', model_ref: 'tier:balanced', input: { messages } } });
  await done('model-policy', 'POST /v1/admin/routing:reload', undefined, 'routing:admin');
  const none = await call(node.urls['model-policy'], '/v1/admin/canaries/none:rollback', { method: 'POST', tenant, headers: { 'x-scopes': 'routing:admin' } });
  expect(none.status).toBe(404);
}

const recordsOf = async (where: string, values: readonly unknown[] = []): Promise<Json[]> =>
  (await node.database.asSuperuser((client) => client.query<{ entry: Json; tenant_id: string }>(`SELECT tenant_id, entry FROM audit.records r WHERE ${where} ORDER BY r.recorded_at, r.sequence`, [...values]))).rows.map(({ tenant_id, entry }) => ({ tenant_id, ...entry }));

describe('every operation that changes something', () => {
  it('leaves a record of who, where, what and for which tenant', verifies(['PRS-10.3-01', 'PRS-10.3-04'], async () => {
    await Promise.all([administerTenants(), administerAccounts(), changeThings(), runAgents(), useModels()]);
    const missing = async (): Promise<string[]> => {
      const recorded = new Set((await recordsOf("r.entry->>'action' <> 'auth.refused'")).map(({ operation }) => operation as string));
      return changing.map(({ operationId }) => operationId).filter((operationId) => !recorded.has(operationId));
    };
    // Model Policy writes the records of calls behind them.
    await expect.poll(missing, { timeout: 10_000 }).toEqual([]);
    for (const record of await recordsOf("r.entry->>'operation' = ANY ($1::text[])", [changing.map(({ operationId }) => operationId)])) {
      expect([record.operation, record.source, typeof record.correlation_id, typeof record.principal?.principal_id, ['tnt_recorded', 'tnt_other', '_platform'].includes(record.tenant_id as string)]).toEqual([record.operation, '127.0.0.1', 'string', 'string', true]);
    }
    const [put, deleted] = await recordsOf("r.entry->'resource'->>'type' = 'memory_item'");
    expect([put, deleted]).toMatchObject([{ action: 'memory.put', resource: { id: 'notes/a' }, details: { created: true } }, { action: 'memory.delete', resource: { id: 'notes/a' } }]);
    const invoked = await recordsOf("r.entry->'policy_context'->>'purpose' = 'a proof'");
    expect(invoked.map(({ policy_context }) => policy_context), 'of what callers say of themselves, what the contract names').toEqual([{ purpose: 'a proof', consent_tags: ['research'] }]);
    expect(JSON.stringify(await recordsOf('true'))).not.toContain('canary-5d1f');
  }), 180_000);

  it('also when a service does it, or reads the trail, for a tenant that it acts for', verifies(['PRS-10.3-05'], async () => {
    const [key] = await storeKeys(node.database.url, [{ tenantId: 'tnt_demo', principalId: 'svc_broker', scopes: ['tenants:act-as', 'audit:read', 'memory:write'] }]);
    const acting = (path: string, body?: unknown): Promise<Answer> => call(node.urls['agent-orchestrator'], path, { tenant, headers: { 'x-api-key': key! }, ...(body === undefined ? {} : { method: 'PUT', body }) });
    expect((await acting('/v1/memory/notes/items/b', { value: 1 })).status).toBe(201);
    expect((await acting('/v1/audit?action=memory.put')).body.records[0].details).toMatchObject({ acting_tenant_id: 'tnt_demo', acting_principal_id: 'svc_broker' });
    expect((await acting('/v1/audit:export')).status).toBe(200);
    const readings = await recordsOf("r.tenant_id = $1 AND r.entry->>'action' IN ('audit.read', 'audit.export')", [tenant]);
    expect(readings.map(({ action, details }) => [action, details.acting_tenant_id, details.acting_principal_id])).toEqual([['audit.read', 'tnt_demo', 'svc_broker'], ['audit.export', 'tnt_demo', 'svc_broker']]);
  }));
});
