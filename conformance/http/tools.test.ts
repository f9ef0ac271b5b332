/** The tools that a tenant brings along, over HTTP and in runs: webhooks and MCP servers (PRS 4.1, 5.2). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, readEvents, untilEnded, type Json } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { TEXT_INPUT, TEXT_OUTPUT, startToolUpstream, type ToolUpstream } from '../ports/tool-upstream.ts';
import { faultsOf, operation } from './operations.ts';
import { verifies } from './verifies.ts';

const AO = 'agent-orchestrator';
const SCOPES = { 'x-scopes': 'agents:read agents:write tools:write runs:create runs:read' };
let node: TestNode;
let upstream: ToolUpstream;

beforeAll(async () => {
  upstream = await startToolUpstream();
  node = await startNode({ env: { AGENTOS_EGRESS_ALLOW: `127.0.0.1:${upstream.port}`, AGENTOS_MCP_COMMANDS: JSON.stringify({ none: { command: process.execPath, args: ['-e', ''] } }) } });
});
afterAll(async () => {
  await node?.close();
  await upstream?.close();
});

const ask = (path: string, options: { method?: string; body?: unknown; tenant?: string; scopes?: string } = {}) =>
  call(node.urls[AO], path, { ...options, headers: options.scopes === undefined ? SCOPES : { 'x-scopes': options.scopes } });

const tool = (toolId: string, changes: Json = {}): Json => ({ tool_id: toolId, name: 'Echo', description: 'Gives back the text it is given.', input_schema: TEXT_INPUT, output_schema: TEXT_OUTPUT, webhook: { url: `${upstream.origin}/echo` }, ...changes });

async function createTool(tenant: string, body: Json): Promise<Json> {
  const answer = await ask('/v1/tools', { tenant, body });
  expect(answer.status, JSON.stringify(answer.body)).toBe(201);
  expect(faultsOf(operation(AO, 'createTool'), 201, answer.body)).toEqual([]);
  return answer.body.tool;
}

let agents = 0;

/** A run of a new agent: the service remembers an agent for a moment. */
async function runWith(tenant: string, toolId: string, input = 'good morning'): Promise<{ readonly run: Json; readonly events: readonly Json[] }> {
  const agentId = `agt_tools_${(agents += 1)}`;
  await node.agent(tenant, { agentId, tools: [toolId], toolChoice: toolId, instructions: `Call ${toolId} once with the text of the user.` });
  const created = await ask(`/v1/agents/${agentId}/runs`, { tenant, body: { input } });
  expect(created.status, JSON.stringify(created.body)).toBe(201);
  const runId = created.body.run.run_id as string;
  const run = await untilEnded(node.urls[AO], runId, { tenant });
  const reading = await readEvents(node.urls[AO], `/v1/runs/${runId}/events`, { tenant });
  return { run, events: reading.frames.map((frame) => frame.data.event) };
}

const outcomeOf = (events: readonly Json[]): Json => events.find((event) => event.type === 'agentos.tool.call.completed')?.payload;

describe('webhook tools', () => {
  it('show their secret once', verifies(['PRS-4.1-05'], async () => {
    const tenant = await node.tenant();
    const made = await createTool(tenant, tool('tool.own.echo'));
    expect(made).toMatchObject({ kind: 'webhook', side_effects: true, attempts: 1, timeout_ms: 30_000, rate_limit_per_minute: null, webhook: { secret: expect.stringMatching(/^whsec_/) } });
    const read = await ask('/v1/tools/tool.own.echo', { tenant });
    expect(faultsOf(operation(AO, 'getTool'), 200, read.body)).toEqual([]);
    expect(read.body.tool).toEqual({ ...made, webhook: { url: made.webhook.url } });
    const kept = await ask('/v1/tools/tool.own.echo', { tenant, method: 'PUT', body: tool('tool.own.echo', { name: 'Other' }) });
    expect([kept.status, kept.body.tool.name, kept.body.tool.webhook.secret]).toEqual([200, 'Other', undefined]);
    const rotated = await ask('/v1/tools/tool.own.echo', { tenant, method: 'PUT', body: tool('tool.own.echo', { webhook: { url: `${upstream.origin}/echo`, secret: upstream.secret } }) });
    expect(rotated.body.tool.webhook.secret).toBe(upstream.secret);
    await node.database.asSuperuser(async (client) => expect(JSON.stringify((await client.query('SELECT * FROM orchestrator.tools')).rows)).not.toContain(upstream.secret.slice(10)));
    expect((await ask('/v1/tools/tool.own.echo', { tenant, method: 'DELETE' })).status).toBe(204);
    expect((await ask('/v1/tools/tool.own.echo', { tenant })).status).toBe(404);
  }));

  it('stand in one list with those of the node, in pages', async () => {
    const tenant = await node.tenant();
    for (const id of ['tool.a', 'tool.zz']) await createTool(tenant, tool(id));
    const ids: string[] = [];
    for (let after = ''; ;) {
      const page = await ask(`/v1/tools?limit=3${after === '' ? '' : `&after=${after}`}`, { tenant });
      expect(faultsOf(operation(AO, 'listTools'), 200, page.body)).toEqual([]);
      ids.push(...page.body.tools.map((one: Json) => one.tool_id as string));
      if (!page.body.has_more) break;
      after = ids.at(-1)!;
    }
    expect(ids).toEqual([...ids].sort());
    expect(ids).toEqual(expect.arrayContaining(['tool.a', 'tool.zz', 'tool.echo', 'tool.kv.delete', 'tool.http.fetch', 'tool.memory.search', 'tool.agent.invoke']));
    expect(ids, 'no source, no tool').not.toContain('tool.sql.query');
  });

  it('leave out what the tenant is not entitled to', async () => {
    const tenant = await node.tenant({ entitlements: { tool_ids_allowed: ['tool.echo'] } });
    await createTool(tenant, tool('tool.own.echo'));
    expect((await ask('/v1/tools', { tenant })).body.tools.map((one: Json) => one.tool_id)).toEqual(['tool.echo']);
  });

  it('are refused when they cannot work', async () => {
    const tenant = await node.tenant();
    const refused: readonly (readonly [Json, number, string])[] = [
      [tool('tool.echo'), 409, 'tool_id_reserved'], [tool('tool.sql.query'), 409, 'tool_id_reserved'], [tool('tool.mcp.x.y'), 409, 'tool_id_reserved'], [tool('tool.agent.mine'), 409, 'tool_id_reserved'],
      [tool('tool.x', { input_schema: { type: 'object', properties: { a: { type: 'nothing' } } } }), 400, '/input_schema'], [tool('tool.x', { input_schema: { type: 'string' } }), 400, '/input_schema/type'],
      [tool('tool.x', { output_schema: { $ref: 'https://example.com/x' } }), 400, '/output_schema'], [tool('tool.x', { webhook: { url: 'http://169.254.169.254/latest' } }), 400, '/webhook/url'],
      [tool('tool.x', { webhook: { url: 'http://example.com:22/' } }), 400, '/webhook/url'], [tool('tool.x', { webhook: { url: 'https://example.com/', secret: 'short' } }), 400, 'secret'], [{ ...tool('tool.x'), tool_id: undefined }, 400, 'tool_id'],
    ];
    for (const [body, status, what] of refused) {
      const answer = await ask('/v1/tools', { tenant, body });
      expect([answer.status, JSON.stringify(answer.body).includes(what)], `${what}: ${JSON.stringify(answer.body)}`).toEqual([status, true]);
    }
    await createTool(tenant, tool('tool.x'));
    expect((await ask('/v1/tools', { tenant, body: tool('tool.x') })).body.error.details.reason).toBe('tool_exists');
    expect((await ask('/v1/tools/tool.y', { tenant, method: 'PUT', body: tool('tool.x') })).status).toBe(400);
    expect((await ask('/v1/tools/tool.echo', { tenant, method: 'DELETE' })).status).toBe(409);
    expect((await ask('/v1/tools', { tenant, body: tool('tool.z'), scopes: 'agents:read' })).status).toBe(403);
  });

  it("are nobody else's", verifies(['PRS-3.1-05', 'PRS-13-09'], async () => {
    const [owner, stranger] = [await node.tenant(), await node.tenant()];
    await createTool(owner, tool('tool.own.echo'));
    for (const options of [{}, { method: 'DELETE' }, { method: 'PUT', body: tool('tool.own.echo') }]) expect((await ask('/v1/tools/tool.own.echo', { tenant: stranger, ...options })).status).toBe(404);
    const { events } = await runWith(stranger, 'tool.own.echo');
    expect(outcomeOf(events), 'no model is offered it').toBeUndefined();
  }));

  it('are called by a run, signed, recorded before and after', verifies(['PRS-4.1-05', 'PRS-4.2-09', 'PRS-6.3-04'], async () => {
    const tenant = await node.tenant();
    await createTool(tenant, tool('tool.own.echo', { webhook: { url: `${upstream.origin}/echo`, secret: upstream.secret } }));
    upstream.requests.length = 0;
    const { run, events } = await runWith(tenant, 'tool.own.echo');
    expect(run.status).toBe('completed');
    const requested = events.find((event) => event.type === 'agentos.tool.call.requested');
    const [seen] = upstream.requests;
    expect(upstream.requests).toHaveLength(1);
    expect([seen!.verified, seen!.headers['webhook-id']]).toEqual([true, requested.payload.tool_call_id]);
    expect(JSON.parse(seen!.body).data).toMatchObject({ tool_id: 'tool.own.echo', run_id: run.run_id, agent_id: run.agent_id, input: requested.payload.input });
    expect(outcomeOf(events)).toMatchObject({ status: 'ok', output: requested.payload.input });
    expect(JSON.stringify([events, node.logLines])).not.toContain(upstream.secret.slice(10));
  }));

  it('fail as a tool call and not as a run', verifies(['HLD-10.1-02'], async () => {
    const tenant = await node.tenant();
    await createTool(tenant, tool('tool.own.failing', { webhook: { url: `${upstream.origin}/failing`, secret: upstream.secret } }));
    const { run, events } = await runWith(tenant, 'tool.own.failing');
    expect([run.status, outcomeOf(events)]).toMatchObject(['completed', { status: 'error', error: { code: 'tool_failed', message: expect.stringContaining('no such city') } }]);
  }));

  it('are called no more often than they and their tenant allow', verifies(['HLD-5.2-01'], async () => {
    const tenant = await node.tenant({ quotas: { tools: { tool_calls_per_minute: 2 } } });
    await createTool(tenant, tool('tool.own.echo', { rate_limit_per_minute: 1, webhook: { url: `${upstream.origin}/echo`, secret: upstream.secret } }));
    expect(outcomeOf((await runWith(tenant, 'tool.own.echo')).events).status).toBe('ok');
    const { run, events } = await runWith(tenant, 'tool.own.echo');
    expect([run.status, outcomeOf(events).error]).toMatchObject(['completed', { code: 'rate_limited', details: { reason: 'tool_calls', limit_per_minute: 1, retry_after_ms: expect.any(Number) } }]);
    expect(outcomeOf((await runWith(tenant, 'tool.echo')).events).status).toBe('ok');
    expect(outcomeOf((await runWith(tenant, 'tool.echo')).events).error).toMatchObject({ code: 'rate_limited', details: { reason: 'tenant_tool_calls' } });
  }));
});

describe('MCP servers', () => {
  const http = (serverId: string, changes: Json = {}): Json => ({ server_id: serverId, transport: { type: 'streamable_http', url: `${upstream.origin}/mcp`, ...changes } });

  it('become tools of runs', verifies(['PRS-4.1-05'], async () => {
    const tenant = await node.tenant();
    const made = await ask('/v1/mcp-servers', { tenant, body: { ...http('up'), tools_allowed: ['echo', 'plain'] } });
    expect([made.status, faultsOf(operation(AO, 'createMcpServer'), 201, made.body)]).toEqual([201, []]);
    expect(made.body.mcp_server.status).toEqual({ state: 'unknown', tools: 0, error: null, checked_at: null });
    const refreshed = await ask('/v1/mcp-servers/up:refresh', { tenant, method: 'POST' });
    expect(faultsOf(operation(AO, 'refreshMcpServer'), 200, refreshed.body)).toEqual([]);
    expect(refreshed.body).toMatchObject({ tool_ids: ['tool.mcp.up.echo', 'tool.mcp.up.plain'], mcp_server: { status: { state: 'connected', tools: 2 } } });
    expect((await ask('/v1/tools/tool.mcp.up.echo', { tenant })).body.tool).toMatchObject({ kind: 'mcp', side_effects: false, mcp: { server_id: 'up', tool_name: 'echo' } });
    const { run, events } = await runWith(tenant, 'tool.mcp.up.echo');
    expect([run.status, outcomeOf(events)]).toMatchObject(['completed', { status: 'ok', output: { text: expect.any(String) } }]);
    expect(outcomeOf((await runWith(tenant, 'tool.mcp.up.failing')).events), 'not let in').toBeUndefined();
  }));

  it('need no refresh before a run', async () => {
    const tenant = await node.tenant();
    await ask('/v1/mcp-servers', { tenant, body: http('first') });
    expect(outcomeOf((await runWith(tenant, 'tool.mcp.first.echo')).events).status).toBe('ok');
  });

  it('keep their credentials to themselves', async () => {
    const tenant = await node.tenant();
    const guarded = { url: `${upstream.origin}/mcp-guarded`, headers: { 'X-Api-Key': 'opensesame' } };
    const made = await ask('/v1/mcp-servers', { tenant, body: http('guarded', guarded) });
    expect(made.body.mcp_server.transport).toEqual({ type: 'streamable_http', url: guarded.url, header_names: ['X-Api-Key'] });
    expect((await ask('/v1/mcp-servers/guarded/refresh', { tenant, method: 'POST' })).body.mcp_server.status.state).toBe('connected');
    const kept = await ask('/v1/mcp-servers/guarded', { tenant, method: 'PUT', body: { ...http('guarded', { url: guarded.url }), timeout_ms: 5_000 } });
    expect(kept.body.mcp_server).toMatchObject({ timeout_ms: 5_000, transport: { header_names: ['X-Api-Key'] }, status: { state: 'unknown' } });
    const moved = await ask('/v1/mcp-servers/guarded', { tenant, method: 'PUT', body: http('guarded', { url: 'https://elsewhere.example/mcp' }) });
    expect([moved.status, moved.body.error.details.errors[0].path]).toEqual([400, '/transport/headers']);
    const bare = await ask('/v1/mcp-servers/guarded', { tenant, method: 'PUT', body: http('guarded', { url: guarded.url, headers: {} }) });
    expect(bare.body.mcp_server.transport.header_names).toEqual([]);
    expect((await ask('/v1/mcp-servers/guarded:refresh', { tenant, method: 'POST' })).body).toMatchObject({ tool_ids: [], mcp_server: { status: { state: 'unreachable', error: expect.any(String) } } });
    await node.database.asSuperuser(async (client) => expect(JSON.stringify((await client.query('SELECT * FROM orchestrator.mcp_servers')).rows)).not.toContain('opensesame'));
    expect(JSON.stringify(node.logLines)).not.toContain('opensesame');
  });

  it('are refused when they cannot work, listed in pages, deleted once, and nobody else’s', async () => {
    const [tenant, stranger] = [await node.tenant(), await node.tenant()];
    const refused: readonly (readonly [Json, number])[] = [
      [{ server_id: 'x', transport: { type: 'stdio', command_id: 'rm' } }, 409], [http('X'), 400], [http('x', { url: 'http://10.0.0.1/mcp' }), 400], [http('x', { headers: { Host: 'inside' } }), 400], [http('x', { headers: { 'Mcp-Session-Id': '1' } }), 400], [{ transport: http('x').transport }, 400],
    ];
    for (const [body, status] of refused) expect((await ask('/v1/mcp-servers', { tenant, body })).status, JSON.stringify(body)).toBe(status);
    for (const id of ['b', 'a', 'c']) expect((await ask('/v1/mcp-servers', { tenant, body: id === 'c' ? { server_id: 'c', transport: { type: 'stdio', command_id: 'none' } } : http(id) })).status).toBe(201);
    expect((await ask('/v1/mcp-servers', { tenant, body: http('a') })).body.error.details.reason).toBe('mcp_server_exists');
    const page = await ask('/v1/mcp-servers?limit=2', { tenant });
    expect([page.body.mcp_servers.map((one: Json) => one.server_id), page.body.has_more, faultsOf(operation(AO, 'listMcpServers'), 200, page.body)]).toEqual([['a', 'b'], true, []]);
    expect((await ask('/v1/mcp-servers/c:refresh', { tenant, method: 'POST' })).body.mcp_server.status.state).toBe('unreachable');
    for (const [path, method] of [['/v1/mcp-servers/a', 'GET'], ['/v1/mcp-servers/a', 'DELETE'], ['/v1/mcp-servers/a:refresh', 'POST']] as const) expect((await ask(path, { tenant: stranger, method })).status).toBe(404);
    expect([(await ask('/v1/mcp-servers/a', { tenant, method: 'DELETE' })).status, (await ask('/v1/mcp-servers/a', { tenant, method: 'DELETE' })).status]).toEqual([204, 404]);
  });
});
