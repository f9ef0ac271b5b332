/** What each method of the resources sends, and what it makes of the answer. */
import { describe, expect, it } from 'vitest';
import { type AgentOS, PermissionDeniedError, type PrincipalWrite } from './index.ts';
import { failure, json, serverThat } from './server.fixture.ts';

const IDS = { correlation_id: 'corr_1', tenant_id: 'tnt_demo' };
const definition = { name: 'Support' };
const tool = { description: 'Looks up.', input_schema: { type: 'object' }, webhook: { url: 'https://crm.example.com' } };
const server = { transport: { type: 'stdio', command_id: 'files' } } as const;
const person: PrincipalWrite = { principal_type: 'user', roles: ['tenant_user'] };
const subscription = { url: 'https://hooks.example.com', event_types: ['*'] };

interface Case {
  readonly name: string;
  readonly call: (client: AgentOS) => PromiseLike<unknown>;
  /** Method and path, with the body where there is one. */
  readonly sends: readonly [method: string, url: string, body?: unknown];
  readonly answer: object | null;
  readonly gives: unknown;
}

const cases: readonly Case[] = [
  { name: 'agents.create', call: (c) => c.agents.create(definition), sends: ['POST', '/v1/agents', definition], answer: { agent: { version: '1' } }, gives: { version: '1' } },
  { name: 'agents.get', call: (c) => c.agents.get('agt/1'), sends: ['GET', '/v1/agents/agt%2F1'], answer: { agent: { version: '1' } }, gives: { version: '1' } },
  { name: 'agents.update', call: (c) => c.agents.update('agt_1', definition), sends: ['PUT', '/v1/agents/agt_1', definition], answer: { agent: { version: '2' } }, gives: { version: '2' } },
  { name: 'agents.delete', call: (c) => c.agents.delete('agt_1'), sends: ['DELETE', '/v1/agents/agt_1'], answer: null, gives: undefined },
  { name: 'agents.rollBack', call: (c) => c.agents.rollBack('agt_1', '1'), sends: ['POST', '/v1/agents/agt_1/rollback', { version: '1' }], answer: { agent: { version: '3' } }, gives: { version: '3' } },
  { name: 'runs.createBatch', call: (c) => c.runs.createBatch([{ agent_id: 'agt_1', input: 'hi' }]), sends: ['POST', '/v1/runs:batch', { runs: [{ agent_id: 'agt_1', input: 'hi' }] }], answer: { results: [{ index: 0, status: 201 }] }, gives: [{ index: 0, status: 201 }] },
  { name: 'runs.retry', call: (c) => c.runs.retry('run_1', { run_options: { priority: 'high' } }), sends: ['POST', '/v1/runs/run_1:retry', { run_options: { priority: 'high' } }], answer: { run: { run_id: 'run_2', retry_of: 'run_1' } }, gives: { run_id: 'run_2', retry_of: 'run_1' } },
  { name: 'runs.replay', call: (c) => c.runs.replay('run_1'), sends: ['POST', '/v1/runs/run_1:replay'], answer: { run_id: 'run_1', agreed: true }, gives: { run_id: 'run_1', agreed: true, ...IDS } },
  { name: 'tools.create', call: (c) => c.tools.create({ tool_id: 'tool.crm', ...tool }), sends: ['POST', '/v1/tools', { tool_id: 'tool.crm', ...tool }], answer: { tool: { tool_id: 'tool.crm' } }, gives: { tool_id: 'tool.crm' } },
  { name: 'tools.get', call: (c) => c.tools.get('tool.crm'), sends: ['GET', '/v1/tools/tool.crm'], answer: { tool: { tool_id: 'tool.crm' } }, gives: { tool_id: 'tool.crm' } },
  { name: 'tools.replace', call: (c) => c.tools.replace('tool.crm', tool), sends: ['PUT', '/v1/tools/tool.crm', tool], answer: { tool: { tool_id: 'tool.crm' } }, gives: { tool_id: 'tool.crm' } },
  { name: 'tools.delete', call: (c) => c.tools.delete('tool.crm'), sends: ['DELETE', '/v1/tools/tool.crm'], answer: null, gives: undefined },
  { name: 'mcpServers.create', call: (c) => c.mcpServers.create({ server_id: 'files', ...server }), sends: ['POST', '/v1/mcp-servers', { server_id: 'files', ...server }], answer: { mcp_server: { server_id: 'files' } }, gives: { server_id: 'files' } },
  { name: 'mcpServers.get', call: (c) => c.mcpServers.get('files'), sends: ['GET', '/v1/mcp-servers/files'], answer: { mcp_server: { server_id: 'files' } }, gives: { server_id: 'files' } },
  { name: 'mcpServers.replace', call: (c) => c.mcpServers.replace('files', server), sends: ['PUT', '/v1/mcp-servers/files', server], answer: { mcp_server: { server_id: 'files' } }, gives: { server_id: 'files' } },
  { name: 'mcpServers.delete', call: (c) => c.mcpServers.delete('files'), sends: ['DELETE', '/v1/mcp-servers/files'], answer: null, gives: undefined },
  { name: 'mcpServers.refresh', call: (c) => c.mcpServers.refresh('files'), sends: ['POST', '/v1/mcp-servers/files:refresh'], answer: { mcp_server: {}, tool_ids: ['tool.mcp.files.read'] }, gives: { mcp_server: {}, tool_ids: ['tool.mcp.files.read'], ...IDS } },
  { name: 'memory.put', call: (c) => c.memory.put('notes', 'user:1', { value: [1] }), sends: ['PUT', '/v1/memory/notes/items/user%3A1', { value: [1] }], answer: { item: { key: 'user:1' } }, gives: { key: 'user:1' } },
  { name: 'memory.get', call: (c) => c.memory.get('my notes', 'a b'), sends: ['GET', '/v1/memory/my%20notes/items/a%20b'], answer: { item: { key: 'a b' } }, gives: { key: 'a b' } },
  { name: 'memory.delete', call: (c) => c.memory.delete('notes', 'a'), sends: ['DELETE', '/v1/memory/notes/items/a'], answer: null, gives: undefined },
  { name: 'memory.search with a string', call: (c) => c.memory.search('notes', 'refund'), sends: ['POST', '/v1/memory/notes:search', { query: 'refund' }], answer: { results: [], mode: 'keyword' }, gives: { results: [], mode: 'keyword', ...IDS } },
  { name: 'memory.usage', call: (c) => c.memory.usage(), sends: ['GET', '/v1/memory:usage'], answer: { bytes_used: 1 }, gives: { bytes_used: 1, ...IDS } },
  { name: 'policies.get', call: (c) => c.policies.get('pol_default'), sends: ['GET', '/v1/policies/pol_default'], answer: { policy: { policy_id: 'pol_default' } }, gives: { policy_id: 'pol_default' } },
  { name: 'policies.put', call: (c) => c.policies.put('pol_a', { rules: [] }), sends: ['PUT', '/v1/policies/pol_a', { rules: [] }], answer: { policy: { policy_id: 'pol_a' } }, gives: { policy_id: 'pol_a' } },
  { name: 'policies.delete', call: (c) => c.policies.delete('pol_a'), sends: ['DELETE', '/v1/policies/pol_a'], answer: null, gives: undefined },
  { name: 'usage.get', call: (c) => c.usage.get({ from: '2025-12-01', agentId: 'agt_1' }), sends: ['GET', '/v1/usage?from=2025-12-01&agent_id=agt_1'], answer: { budgets: [] }, gives: { budgets: [], ...IDS } },
  { name: 'decisions.get', call: (c) => c.decisions.get('req/1'), sends: ['GET', '/v1/decisions/req%2F1'], answer: { decision: { request_id: 'req/1' } }, gives: { request_id: 'req/1' } },
  { name: 'webhooks.create', call: (c) => c.webhooks.create(subscription), sends: ['POST', '/v1/webhooks', subscription], answer: { webhook: { secret: 'whsec_x' } }, gives: { secret: 'whsec_x' } },
  { name: 'webhooks.get', call: (c) => c.webhooks.get('whk_1'), sends: ['GET', '/v1/webhooks/whk_1'], answer: { webhook: { webhook_id: 'whk_1' } }, gives: { webhook_id: 'whk_1' } },
  { name: 'webhooks.replace', call: (c) => c.webhooks.replace('whk_1', subscription), sends: ['PUT', '/v1/webhooks/whk_1', subscription], answer: { webhook: { webhook_id: 'whk_1' } }, gives: { webhook_id: 'whk_1' } },
  { name: 'webhooks.delete', call: (c) => c.webhooks.delete('whk_1'), sends: ['DELETE', '/v1/webhooks/whk_1'], answer: null, gives: undefined },
  { name: 'webhooks.test', call: (c) => c.webhooks.test('whk_1'), sends: ['POST', '/v1/webhooks/whk_1:test'], answer: { delivered: true }, gives: { delivered: true, ...IDS } },
  { name: 'principals.get', call: (c) => c.principals.get('usr@a'), sends: ['GET', '/v1/principals/usr%40a'], answer: { principal: { principal_id: 'usr@a' } }, gives: { principal_id: 'usr@a' } },
  { name: 'principals.put', call: (c) => c.principals.put('usr_a', person), sends: ['PUT', '/v1/principals/usr_a', person], answer: { principal: person }, gives: person },
  { name: 'principals.delete', call: (c) => c.principals.delete('usr_a'), sends: ['DELETE', '/v1/principals/usr_a'], answer: { deleted: 'usr_a', keys_revoked: 2 }, gives: { deleted: 'usr_a', keys_revoked: 2, ...IDS } },
  { name: 'tenants.principals.get', call: (c) => c.tenants.principals.get('tnt_1', 'usr@a'), sends: ['GET', '/v1/admin/tenants/tnt_1/principals/usr%40a'], answer: { principal: { principal_id: 'usr@a' } }, gives: { principal_id: 'usr@a' } },
  { name: 'tenants.principals.put', call: (c) => c.tenants.principals.put('tnt_1', 'usr_a', person), sends: ['PUT', '/v1/admin/tenants/tnt_1/principals/usr_a', person], answer: { principal: person }, gives: person },
  { name: 'tenants.principals.delete', call: (c) => c.tenants.principals.delete('tnt_1', 'usr_a'), sends: ['DELETE', '/v1/admin/tenants/tnt_1/principals/usr_a'], answer: { deleted: 'usr_a', keys_revoked: 2 }, gives: { deleted: 'usr_a', keys_revoked: 2, ...IDS } },
  { name: 'keys.create', call: (c) => c.keys.create({ principal_id: 'usr_a' }), sends: ['POST', '/v1/keys', { principal_id: 'usr_a' }], answer: { key: {}, secret: 'aos_x' }, gives: { key: {}, secret: 'aos_x', ...IDS } },
  { name: 'keys.rotate', call: (c) => c.keys.rotate('key_1', { overlap_seconds: 60 }), sends: ['POST', '/v1/keys/key_1:rotate', { overlap_seconds: 60 }], answer: { key: {}, secret: 'aos_y' }, gives: { key: {}, secret: 'aos_y', ...IDS } },
  { name: 'keys.revoke', call: (c) => c.keys.revoke('key_1'), sends: ['DELETE', '/v1/keys/key_1'], answer: { key: { status: 'revoked' } }, gives: { status: 'revoked' } },
  { name: 'tenants.keys.create', call: (c) => c.tenants.keys.create('tnt_1', { principal_id: 'usr_a' }), sends: ['POST', '/v1/admin/tenants/tnt_1/keys', { principal_id: 'usr_a' }], answer: { key: {}, secret: 'aos_x' }, gives: { key: {}, secret: 'aos_x', ...IDS } },
  { name: 'tenants.keys.rotate', call: (c) => c.tenants.keys.rotate('tnt_1', 'key_1', { overlap_seconds: 60 }), sends: ['POST', '/v1/admin/tenants/tnt_1/keys/key_1:rotate', { overlap_seconds: 60 }], answer: { key: {}, secret: 'aos_y' }, gives: { key: {}, secret: 'aos_y', ...IDS } },
  { name: 'tenants.keys.revoke', call: (c) => c.tenants.keys.revoke('tnt_1', 'key_1'), sends: ['DELETE', '/v1/admin/tenants/tnt_1/keys/key_1'], answer: { key: { status: 'revoked' } }, gives: { status: 'revoked' } },
  { name: 'models.retrieve', call: (c) => c.models.retrieve('org/m:7b'), sends: ['GET', '/v1/models/org%2Fm%3A7b'], answer: { model: { model_id: 'org/m:7b' } }, gives: { model_id: 'org/m:7b' } },
  { name: 'peers.list', call: (c) => c.peers.list(), sends: ['GET', '/v1/federation/peers'], answer: { peers: [{ peer_id: 'p' }] }, gives: [{ peer_id: 'p' }] },
  { name: 'federation.forward to a node', call: (c) => c.federation.forward('stk_b', { agent_id: 'agt_1', input: 'hello' }, { tenantId: 'tnt_demo' }), sends: ['POST', '/v1/federation/runs:forward', { forward: { target_selector: { stack_id: 'stk_b' }, auth: { tenant_id: 'tnt_demo' }, run_request: { agent_id: 'agt_1', input: 'hello' } } }], answer: { forwarded: { remote_run_id: 'run_1' } }, gives: { remote_run_id: 'run_1' } },
  { name: 'federation.forward by what a node can do', call: (c) => c.federation.forward({ region: 'eu-1', required_capabilities: ['events_stream'] }, { agent_id: 'agt_1', input: 'hello' }, { tenantId: 'tnt_a' }), sends: ['POST', '/v1/federation/runs:forward', { forward: { target_selector: { region: 'eu-1', required_capabilities: ['events_stream'] }, auth: { tenant_id: 'tnt_a' }, run_request: { agent_id: 'agt_1', input: 'hello' } } }], answer: { forwarded: { remote_run_id: 'run_1' } }, gives: { remote_run_id: 'run_1' } },
  { name: 'federation.get', call: (c) => c.federation.get('run/1'), sends: ['GET', '/v1/federation/runs/run%2F1'], answer: { run: { run_id: 'run/1' } }, gives: { run_id: 'run/1' } },
  { name: 'federation.cancel', call: (c) => c.federation.cancel('run_1'), sends: ['POST', '/v1/federation/runs/run_1:cancel'], answer: { run: { status: 'canceled' } }, gives: { status: 'canceled' } },
  { name: 'federation.ingest', call: (c) => c.federation.ingest('stk_b', []), sends: ['POST', '/v1/federation/events:ingest', { events: [], ingest: { source_stack_id: 'stk_b', dedupe: { mode: 'event_id' } } }], answer: { accepted: 0, rejected: 0 }, gives: { accepted: 0, rejected: 0, ...IDS } },
  { name: 'routing.get', call: (c) => c.routing.get(), sends: ['GET', '/v1/admin/routing'], answer: { catalogue: { models: [] } }, gives: { models: [] } },
  { name: 'routing.reload', call: (c) => c.routing.reload(), sends: ['POST', '/v1/admin/routing:reload'], answer: { catalogue: { models: [] } }, gives: { models: [] } },
  { name: 'routing.canaries', call: (c) => c.routing.canaries(), sends: ['GET', '/v1/admin/canaries'], answer: { canaries: [{ name: 'n' }] }, gives: [{ name: 'n' }] },
  { name: 'routing.rollBackCanary', call: (c) => c.routing.rollBackCanary('n'), sends: ['POST', '/v1/admin/canaries/n:rollback'], answer: { canary: { name: 'n' } }, gives: { name: 'n' } },
];

describe('resources', () => {
  it.each(cases)('$name', async ({ call, sends: [method, url, body], answer, gives }) => {
    const { client, seen } = await serverThat(answer === null ? (_request, response) => response.writeHead(204).end() : json(200, { ...answer, ...IDS }));
    expect(await call(client)).toEqual(gives);
    expect(seen.map((request) => [request.method, request.url, request.body === '' ? undefined : JSON.parse(request.body)])).toEqual([[method, url, body]]);
    expect(seen[0]!.headers['idempotency-key'] !== undefined).toBe(method !== 'GET');
  });

  it('throw what the server refuses', async () => {
    const { client } = await serverThat(failure(403, 'quota_exceeded'));
    await expect(client.memory.put('notes', 'a', { value: 1 })).rejects.toBeInstanceOf(PermissionDeniedError);
  });
});

interface PagedCase {
  readonly name: string;
  readonly list: (client: AgentOS) => AsyncIterable<unknown>;
  /** The member that holds the items, and the two items. */
  readonly member: string;
  readonly items: readonly [object, object];
  readonly urls: readonly [string, string];
}

const paged: readonly PagedCase[] = [
  { name: 'agents.list', list: (c) => c.agents.list({ limit: 1 }), member: 'agents', items: [{ agent_id: 'a' }, { agent_id: 'b' }], urls: ['/v1/agents?limit=1', '/v1/agents?limit=1&after=a'] },
  { name: 'agents.versions', list: (c) => c.agents.versions('agt_1'), member: 'agents', items: [{ version: '2' }, { version: '1' }], urls: ['/v1/agents/agt_1/versions', '/v1/agents/agt_1/versions?after=2'] },
  {
    name: 'runs.list with every filter',
    list: (c) => c.runs.list({ status: ['queued', 'running'], labels: { team: 'growth', area: 'a:b' }, createdAfter: '2025-12-19T00:00:00Z', parentRunId: 'run_0', priority: 'high', order: 'oldest' }),
    member: 'runs',
    items: [{ run_id: 'run_1' }, { run_id: 'run_2' }],
    urls: ['', '&after=run_1'].map((after) => `/v1/runs?status=queued&status=running&label=team%3Agrowth&label=area%3Aa%3Ab&created_after=2025-12-19T00%3A00%3A00Z&parent_run_id=run_0&priority=high&order=oldest${after}`) as [string, string],
  },
  { name: 'runs.list of an agent', list: (c) => c.runs.list({ agentId: 'agt_1', status: 'failed' }), member: 'runs', items: [{ run_id: 'run_1' }, { run_id: 'run_2' }], urls: ['/v1/agents/agt_1/runs?status=failed', '/v1/agents/agt_1/runs?status=failed&after=run_1'] },
  { name: 'tools.list', list: (c) => c.tools.list(), member: 'tools', items: [{ tool_id: 'tool.a' }, { tool_id: 'tool.b' }], urls: ['/v1/tools', '/v1/tools?after=tool.a'] },
  { name: 'mcpServers.list', list: (c) => c.mcpServers.list(), member: 'mcp_servers', items: [{ server_id: 'a' }, { server_id: 'b' }], urls: ['/v1/mcp-servers', '/v1/mcp-servers?after=a'] },
  { name: 'memory.namespaces', list: (c) => c.memory.namespaces(), member: 'namespaces', items: [{ namespace: 'a' }, { namespace: 'b' }], urls: ['/v1/memory', '/v1/memory?after=a'] },
  { name: 'memory.list', list: (c) => c.memory.list('notes', { prefix: 'u' }), member: 'items', items: [{ key: 'u1' }, { key: 'u2' }], urls: ['/v1/memory/notes/items?prefix=u', '/v1/memory/notes/items?prefix=u&after=u1'] },
  { name: 'policies.list', list: (c) => c.policies.list(), member: 'policies', items: [{ policy_id: 'a' }, { policy_id: 'b' }], urls: ['/v1/policies', '/v1/policies?after=a'] },
  { name: 'usage.entries', list: (c) => c.usage.entries({ runId: 'run_1', limit: 1 }), member: 'entries', items: [{ entry_id: 'b' }, { entry_id: 'a' }], urls: ['/v1/usage/entries?run_id=run_1&limit=1', '/v1/usage/entries?run_id=run_1&limit=1&after=b'] },
  { name: 'decisions.list', list: (c) => c.decisions.list({ decision: 'blocked' }), member: 'decisions', items: [{ decision_id: 'b' }, { decision_id: 'a' }], urls: ['/v1/decisions?decision=blocked', '/v1/decisions?decision=blocked&after=b'] },
  { name: 'webhooks.list', list: (c) => c.webhooks.list(), member: 'webhooks', items: [{ webhook_id: 'whk_1' }, { webhook_id: 'whk_2' }], urls: ['/v1/webhooks', '/v1/webhooks?after=whk_1'] },
  { name: 'webhooks.deliveries', list: (c) => c.webhooks.deliveries('whk_1', { state: 'failed' }), member: 'deliveries', items: [{ delivery_id: 'd2' }, { delivery_id: 'd1' }], urls: ['/v1/webhooks/whk_1/deliveries?state=failed', '/v1/webhooks/whk_1/deliveries?state=failed&after=d2'] },
  { name: 'principals.list', list: (c) => c.principals.list({ limit: 1 }), member: 'principals', items: [{ principal_id: 'a' }, { principal_id: 'b' }], urls: ['/v1/principals?limit=1', '/v1/principals?limit=1&after=a'] },
  { name: 'tenants.principals.list', list: (c) => c.tenants.principals.list('tnt_1'), member: 'principals', items: [{ principal_id: 'a' }, { principal_id: 'b' }], urls: ['/v1/admin/tenants/tnt_1/principals', '/v1/admin/tenants/tnt_1/principals?after=a'] },
  { name: 'keys.list', list: (c) => c.keys.list({ principalId: 'usr_a', limit: 1 }), member: 'keys', items: [{ key_id: 'a' }, { key_id: 'b' }], urls: ['/v1/keys?principal_id=usr_a&limit=1', '/v1/keys?principal_id=usr_a&limit=1&after=a'] },
  { name: 'tenants.keys.list', list: (c) => c.tenants.keys.list('tnt_1', { principalId: 'usr_a' }), member: 'keys', items: [{ key_id: 'a' }, { key_id: 'b' }], urls: ['/v1/admin/tenants/tnt_1/keys?principal_id=usr_a', '/v1/admin/tenants/tnt_1/keys?principal_id=usr_a&after=a'] },
];

describe('lists', () => {
  it.each(paged)('$name', async ({ list, member, items, urls }) => {
    const { client, seen } = await serverThat(json(200, { [member]: [items[0]], has_more: true, ...IDS }), json(200, { [member]: [items[1]], has_more: false, ...IDS }));
    const found: unknown[] = [];
    for await (const item of list(client)) found.push(item);
    expect(found).toEqual(items);
    expect(seen.map(({ url }) => url)).toEqual(urls);
  });

  it('go on in the audit trail where the server says', async () => {
    const page = (auditId: string, next?: string) => json(200, { records: [{ audit_id: auditId }], has_more: next !== undefined, ...(next !== undefined && { next }), ...IDS });
    const { client, seen } = await serverThat(page('aud_3', 'cursor/2'), page('aud_2', 'cursor/1'), page('aud_1'));
    const ids: string[] = [];
    for await (const record of client.audit.list({ outcome: 'denied', correlationId: 'corr_9', limit: 1 })) ids.push(record.audit_id);
    expect(ids).toEqual(['aud_3', 'aud_2', 'aud_1']);
    expect(seen.map(({ url }) => url)).toEqual(['', '&after=cursor%2F2', '&after=cursor%2F1'].map((after) => `/v1/audit?outcome=denied&correlation_id=corr_9&limit=1${after}`));
  });

  it('walk the history of a run by sequence', async () => {
    const page = (sequence: number, more: boolean) => json(200, { events: [{ event: { sequence } }], status: 'completed', last_sequence: 4, has_more: more, ...IDS });
    const { client, seen } = await serverThat(page(3, true), page(4, false));
    const sequences: number[] = [];
    for await (const event of client.runs.history('run_1', { afterSequence: 2, limit: 1 })) sequences.push(event.sequence);
    expect(sequences).toEqual([3, 4]);
    expect(seen.map(({ url }) => url)).toEqual(['/v1/runs/run_1/history?limit=1&after_sequence=2', '/v1/runs/run_1/history?limit=1&after_sequence=3']);
  });
});
