/** The service over HTTP, on memory stores, with the referee judging every exchange against the contract. */
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createIdentity } from '../platform/auth/identity.ts';
import { createMetrics } from '../platform/telemetry/metrics.ts';
import { createPeerInformation } from './adapters/peer-information.ts';
import { BuiltinTools } from './adapters/tool-builtin.ts';
import { ScriptedModel, says, toolCalls } from './runtime/runtime.fixture.ts';
import { SEED_AGENTS, seedNode } from './seed.ts';
import { createOrchestrator, type Orchestrator } from './service.ts';
import { openMemoryStores, type Stores } from './stores.ts';

const log = pino({ level: 'silent' });
const QUOTAS = { AGENTOS_QUOTA_RUN_CREATE_QPS: 1_000, AGENTOS_QUOTA_CONCURRENT_RUNS: 1_000, AGENTOS_QUOTA_INVOKE_QPS: 20 };
let stores: Stores;
let orchestrator: Orchestrator;
let url: string;

const model = new ScriptedModel(async (request, { signal }) => {
  const { messages } = request.input as { messages: { role: string; content: string }[] };
  const last = messages.at(-1)!;
  if (last.content.startsWith('wait')) await new Promise((resolve) => signal.addEventListener('abort', resolve));
  if (last.content.startsWith('echo ')) return toolCalls({ tool: 'tool.echo', input: { text: last.content.slice(5) } });
  return says(last.role === 'tool' ? (JSON.parse(last.content) as { text: string }).text : `You said: ${last.content}`);
});

beforeAll(async () => {
  stores = openMemoryStores();
  await seedNode(stores.directory, stores.agents);
  const identity = createIdentity({ mode: 'demo', directory: stores.directory, defaultTenant: 'tnt_demo' });
  orchestrator = createOrchestrator({
    role: 'all', stores, model, tools: new BuiltinTools(stores.memory), identity, log,
    peers: createPeerInformation({ baseUrl: 'http://127.0.0.1:9', credentials: async () => ({}) }),
    metrics: createMetrics({ service: 'agent-orchestrator', process: false }), checks: { store: () => stores.ping() },
    quotaDefaults: QUOTAS, implicitAgents: true, idempotencyKeyRequired: false, idempotencyTtlHours: 24, worker: {}, contractCheck: true, limits: { stopGraceMs: 0 },
  });
  url = await orchestrator.server.listen(0);
});
afterAll(() => orchestrator.close());

interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, never> & { run: Record<string, unknown>; error: Record<string, unknown> };
}

async function send(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Reply> {
  const response = await fetch(url + path, { method, headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  return { status: response.status, headers: response.headers, body: (await response.json()) as Reply['body'] };
}

async function stream(path: string, headers: Record<string, string> = {}): Promise<{ id: number; type: string }[]> {
  const response = await fetch(url + path, { headers });
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
  const frames = (await response.text()).split('\n\n').filter((frame) => frame.includes('data: '));
  return frames.map((frame) => {
    const [id, event, data] = frame.split('\n');
    expect(event).toBe('event: agentos.event');
    const envelope = JSON.parse(data!.slice(6)) as { event: { sequence: number; type: string } };
    expect(id).toBe(`id: ${envelope.event.sequence}`);
    return { id: envelope.event.sequence, type: envelope.event.type };
  });
}

async function finish(runId: unknown): Promise<Record<string, unknown>> {
  await stream(`/v1/runs/${String(runId)}/events`);
  return (await send('GET', `/v1/runs/${String(runId)}`)).body.run;
}

describe('runs over HTTP', () => {
  it('runs the first line of the README', async () => {
    const created = await send('POST', '/v1/agents/my-agent/runs', { input: 'hello' });
    expect(created).toMatchObject({ status: 201, body: { run: { status: 'queued', agent_id: 'my-agent', output: null, error: null }, tenant_id: 'tnt_demo' } });
    expect(await finish(created.body.run['run_id'])).toMatchObject({ status: 'completed', output: { type: 'text', text: 'You said: hello' } });
    expect((await send('GET', '/v1/agents/my-agent')).status).toBe(404);
  });

  it('streams from any cursor, exclusively, however it is named', async () => {
    const { run } = (await send('POST', '/v1/agents/agt_sample_echo_v1/runs', { input: { type: 'text', text: 'echo hi' } })).body;
    const path = `/v1/runs/${String(run['run_id'])}/events`;
    const all = await stream(path);
    expect(all.map((event) => event.id)).toEqual(Array.from({ length: 15 }, (_, index) => index + 1));
    expect(all.at(-1)!.type).toBe('agentos.run.completed');
    for (const [query, headers] of [['?after_sequence=12', {}], ['?from_sequence=12', {}], ['', { 'last-event-id': '12' }], ['?after_sequence=12', { 'last-event-id': '3' }]] as const) {
      expect((await stream(path + query, headers)).map((event) => event.id)).toEqual([13, 14, 15]);
    }
    expect(await stream(`${path}?after_sequence=999`)).toEqual([]);
    for (const bad of ['?after_sequence=-1', '?after_sequence=x', '?after_sequence=1e30', '?after_sequence=1&after_sequence=2']) expect((await send('GET', path + bad)).status, bad).toBe(400);
    expect((await send('GET', path, undefined, { 'last-event-id': 'x' })).status).toBe(400);
  });

  it('replays under a key and refuses its reuse', async () => {
    const first = await send('POST', '/v1/agents/agt_demo/runs', { input: 'x' }, { 'idempotency-key': 'k1' });
    const again = await send('POST', '/v1/agents/agt_demo/runs', { input: 'x' }, { 'idempotency-key': 'k1' });
    expect(again.status).toBe(200);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(again.body.run['run_id']).toBe(first.body.run['run_id']);
    expect(await send('POST', '/v1/agents/agt_demo/runs', { input: 'y' }, { 'idempotency-key': 'k1' })).toMatchObject({ status: 409, body: { error: { code: 'conflict', details: { reason: 'idempotency_key_reused' } } } });
    expect((await send('POST', '/v1/runs', { agent_id: 'agt_demo', input: 'x', idempotency_key: 'k1' })).body.run['run_id']).toBe(first.body.run['run_id']);
  });

  it('cancels what runs, once', async () => {
    const { run } = (await send('POST', '/v1/agents/agt_demo/runs', { input: 'wait for me' })).body;
    const path = `/v1/runs/${String(run['run_id'])}`;
    const reading = stream(`${path}/events`);
    expect(await send('POST', `${path}:cancel`)).toMatchObject({ status: 200, body: { run: { status: 'canceled' } } });
    expect(await send('POST', `${path}:cancel`)).toMatchObject({ status: 409, body: { error: { code: 'invalid_state_transition' } } });
    expect((await reading).at(-1)!.type).toBe('agentos.run.canceled');
  });

  it('lists runs, newest first, and an agent’s own', async () => {
    const page = (await send('GET', '/v1/runs?limit=2')).body as unknown as { runs: { run_id: string }[]; has_more: boolean };
    expect(page.runs).toHaveLength(2);
    expect(page.has_more).toBe(true);
    const next = (await send('GET', `/v1/runs?limit=2&after=${page.runs[1]!.run_id}`)).body as unknown as typeof page;
    expect(next.runs[0]!.run_id < page.runs[1]!.run_id).toBe(true);
    expect(((await send('GET', '/v1/agents/my-agent/runs?status=completed')).body as unknown as typeof page).runs).toHaveLength(1);
  });

  it('refuses an empty body and hides runs of other tenants', async () => {
    expect(await send('POST', '/v1/agents/agt_demo/runs', {})).toMatchObject({ status: 400, body: { error: { code: 'invalid_request' } } });
    const { run } = (await send('POST', '/v1/agents/agt_demo/runs', { input: 'x' })).body;
    expect((await send('POST', '/v1/admin/tenants', { tenant_id: 'tnt_other', name: 'Other', plan_tier: 'demo' }, { 'x-scopes': 'tenants:admin' })).status).toBe(201);
    for (const [method, path] of [['GET', ''], ['GET', '/events'], ['POST', ':cancel']] as const) {
      expect((await send(method, `/v1/runs/${String(run['run_id'])}${path}`, undefined, { 'x-tenant-id': 'tnt_other' })).status, path).toBe(404);
    }
  });
});

describe('the rest of the service', () => {
  it('lists and reads the seeded agents', async () => {
    const { agents } = (await send('GET', '/v1/agents/')).body as unknown as { agents: { agent_id: string }[] };
    expect(agents.map((agent) => agent.agent_id)).toEqual(SEED_AGENTS.map((agent) => agent.agentId));
    expect((await send('GET', '/v1/agents/agt_demo')).body).toMatchObject({ agent: { agent_id: 'agt_demo', status: 'active', tools: [], model_ref: 'tier:balanced' } });
  });

  it('administers tenants, wrapped and bare', async () => {
    const admin = { 'x-scopes': 'tenants:admin' };
    expect(await send('POST', '/v1/admin/tenants', { tenant_create: { tenant_id: 'tnt_acme', name: 'Acme' } }, admin)).toMatchObject({ status: 201, body: { tenant: { tenant_id: 'tnt_acme', status: 'active' } } });
    expect((await send('POST', '/v1/admin/tenants', { tenant_id: 'tnt_acme', name: 'Acme' }, admin)).status).toBe(409);
    expect(await send('PATCH', '/v1/admin/tenants/tnt_acme', { quotas: { runs: { max_concurrent_runs: 0 } } }, admin)).toMatchObject({ status: 200 });
    expect(await send('POST', '/v1/agents/x/runs', { input: 'x' }, { 'x-tenant-id': 'tnt_acme' })).toMatchObject({ status: 429, body: { error: { code: 'quota_exceeded', details: { limit: 0, used: 0 } } } });
    expect((await send('PUT', '/v1/admin/tenants/tnt_acme', { name: 'Acme Corp' }, admin)).body).toMatchObject({ tenant: { name: 'Acme Corp', quotas: { runs: { max_concurrent_runs: 0 } } } });
    expect((await send('DELETE', '/v1/admin/tenants/tnt_acme?confirm=tnt_acme', undefined, admin)).body).toMatchObject({ deleted: 'tnt_acme' });
    expect(await send('GET', '/v1/admin/tenants/tnt_acme', undefined, admin)).toMatchObject({ status: 200, body: { tenant: { status: 'disabled', deletion: { requested_by: 'usr_demo' } } } });
    expect(await send('POST', '/v1/agents/x/runs', { input: 'x' }, { 'x-tenant-id': 'tnt_acme' })).toMatchObject({ status: 403, body: { error: { details: { reason: 'tenant_suspended' } } } });
    expect((await send('GET', '/v1/admin/tenants?limit=1', undefined, admin)).body).toMatchObject({ has_more: true });
  });

  it('says that federation is away, and that it is well itself', async () => {
    expect(await send('GET', '/v1/peer/info')).toMatchObject({ status: 503, body: { error: { code: 'dependency_unavailable', details: { service: 'federation' } } } });
    expect((await send('GET', '/v1/peer/capabilities')).status).toBe(503);
    expect((await send('GET', '/v1/health')).body).toMatchObject({ status: 'ok', service: 'agent-orchestrator' });
    expect((await send('GET', '/readyz')).status).toBe(200);
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toMatch(/agentos_run_count\{end="completed".*\} [1-9]/);
    expect(metrics).toMatch(/agentos_run_counter_drift\{.*\} 0/);
  });

  it('seeds twice as once', async () => {
    const before = (await stores.agents.list({ tenant_id: 'tnt_demo' } as never, { limit: 10 })).agents;
    const seeded = await seedNode(stores.directory, stores.agents);
    expect(seeded.sample_agent_ids).toContain('agt_sample_echo_v1');
    expect((await stores.agents.list({ tenant_id: 'tnt_demo' } as never, { limit: 10 })).agents).toEqual(before);
  });
});
