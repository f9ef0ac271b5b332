/** Budgets, the ledger and repeated requests over HTTP, on two replicas of Model Policy over one database (PRS 15.3, 6.2). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, type Json } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { openAiVendor } from '../../services/model-policy/fixture/vendor-openai.ts';
import { startVendor, type VendorServer } from '../../services/model-policy/fixture/vendor-stub.ts';
import { faultsOf, operation } from './operations.ts';
import { verifies } from './verifies.ts';

const MP = 'model-policy';
let upstream: VendorServer;
let node: TestNode;
let replica: TestNode;
beforeAll(async () => {
  upstream = await startVendor(openAiVendor);
  const env = { OPENAI_BASE_URL: upstream.baseUrl, OPENAI_API_KEY: 'sk-suite', AGENTOS_MODEL_OPENAI_MODELS: 'fast=gpt-4o-mini@100/300#8000,premium=gpt-unpriced#8000', AGENTOS_MODEL_TIMEOUT_MS: '8000' };
  node = await startNode({ services: ['model-policy', 'agent-orchestrator'], env });
  replica = await startNode({ services: ['model-policy'], env, database: node.database });
});
afterAll(async () => {
  await replica?.close();
  await node?.close();
  await upstream?.close();
});

let ids = 0;
const invoke = (tenant: string, request: Record<string, unknown> = {}, options: { readonly on?: TestNode; readonly signal?: AbortSignal; readonly id?: string; readonly principal?: string } = {}) =>
  call((options.on ?? node).urls[MP], '/v1/models:invoke', {
    tenant, ...(options.signal === undefined ? {} : { signal: options.signal }), headers: { 'x-principal-id': options.principal ?? 'usr_usage' },
    body: { request: { request_id: options.id ?? `req_usage_${(ids += 1)}`, operation: 'chat', model_ref: 'gpt-4o-mini', input: { messages: [{ role: 'user', content: 'hello' }] }, generation: { max_output_tokens: 40 }, ...request } },
  });
const usageOf = async (tenant: string, query = ''): Promise<Json> => {
  const answer = await call(node.urls[MP], `/v1/usage${query}`, { tenant });
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
  expect(faultsOf(operation(MP, 'getUsage'), 200, answer.body)).toEqual([]);
  return answer.body;
};
const entriesOf = async (tenant: string, query = ''): Promise<Json[]> => {
  const answer = await call(node.urls[MP], `/v1/usage/entries${query}`, { tenant });
  expect(faultsOf(operation(MP, 'listUsageEntries'), 200, answer.body)).toEqual([]);
  return answer.body.entries as Json[];
};

describe('budgets', () => {
  it('charge what a call used, and refuse the one that does not fit, with the account', verifies(['PRS-6.2-06', 'PRS-15.3-04'], async () => {
    const tenant = await node.tenant({ quotas: { models: { token_budget: { window: 'day', max_tokens: 100 } } } });
    const first = await invoke(tenant);
    expect(first.status, JSON.stringify(first.body)).toBe(200);
    const { total_tokens: used } = first.body.response.usage;
    const refused = await invoke(tenant, { generation: { max_output_tokens: 100 } });
    expect([refused.status, refused.body.error.code]).toEqual([403, 'quota_exceeded']);
    expect(refused.body.error.details).toMatchObject({ reason: 'token_budget_exceeded', scope: 'tenant', window: 'day', limit: 100, spent: used, requested: expect.any(Number) as number, reset_at: expect.stringMatching(/T00:00:00.000Z$/) as string });
    const [budget] = (await usageOf(tenant)).budgets;
    expect(budget).toMatchObject({ scope: 'tenant', scope_id: null, window: 'day', tokens: { limit: 100, spent: used } });
    expect(budget.tokens.available).toBe(100 - used - budget.tokens.reserved);
  }));

  it('that are set in mid-window say at once what the window has seen', verifies(['PRS-15.3-04'], async () => {
    const tenant = await node.tenant();
    const { total_tokens: used } = (await invoke(tenant, {}, { on: replica, principal: 'usr_heavy' })).body.response.usage;
    const budgets = [{ scope: 'tenant', window: 'day', max_tokens: 1_000 }, { scope: 'principal', id: 'usr_heavy', window: 'month', max_cost_usd: 1 }, { scope: 'principal', id: 'usr_light', window: 'day', max_tokens: 50 }];
    const set = await call(node.urls['agent-orchestrator'], `/v1/admin/tenants/${tenant}`, { tenant, method: 'PATCH', headers: { 'x-scopes': 'tenants:admin' }, body: { quotas: { models: { budgets } } } });
    expect(set.status, JSON.stringify(set.body)).toBe(200);
    await expect.poll(async () => (await usageOf(tenant)).budgets as Json[], { timeout: 5_000 }).toHaveLength(3);
    const { budgets: told } = await usageOf(tenant);
    expect(told).toEqual(expect.arrayContaining([
      expect.objectContaining({ scope: 'tenant', window: 'day', tokens: { limit: 1_000, spent: used, reserved: 0, available: 1_000 - used } }),
      expect.objectContaining({ scope: 'principal', scope_id: 'usr_heavy', window: 'month', tokens: { limit: null, spent: used, reserved: 0, available: null } }),
      expect.objectContaining({ scope: 'principal', scope_id: 'usr_light', tokens: { limit: 50, spent: 0, reserved: 0, available: 50 } }),
    ]));
  }));

  it('tell the backend how long the answer may be, whether the caller did or not', async () => {
    const tenant = await node.tenant({ policy: { token_budget: { max_tokens_per_hour: 100_000 } } });
    await invoke(tenant, { generation: {} });
    expect(upstream.stub.calls.at(-1)!.body).toMatchObject({ max_tokens: 4096 });
    expect((await usageOf(tenant)).budgets[0]).toMatchObject({ window: 'hour', tokens: { limit: 100_000 } });
  });

  it('count dollars, and refuse a model whose price nobody knows', verifies(['PRS-2-01'], async () => {
    const tenant = await node.tenant({ quotas: { models: { token_budget: { window: 'month', max_cost_usd: 0.02 } } } });
    const answer = await invoke(tenant);
    const { input_tokens: input, output_tokens: output } = answer.body.response.usage;
    const cost = (input * 100 + output * 300) / 1e6;
    expect(answer.body.response.usage.cost_usd).toBeCloseTo(cost, 9);
    const report = await usageOf(tenant);
    expect(report.budgets[0].cost_usd).toMatchObject({ limit: 0.02, spent: expect.closeTo(cost, 6) as number });
    expect(report.by_model).toMatchObject([{ model: 'gpt-4o-mini', backend: 'openai', requests: 1, input_tokens: input, output_tokens: output, cost_usd: expect.closeTo(cost, 6) as number }]);
    const dear = await invoke(tenant, { generation: { max_output_tokens: 70 } });
    expect([dear.status, dear.body.error.details.reason]).toEqual([403, 'cost_budget_exceeded']);
    expect(dear.body.error.details.requested).toBeGreaterThan(0.02);
    const unpriced = await invoke(tenant, { model_ref: 'gpt-unpriced' });
    expect([unpriced.status, unpriced.body.error.code, unpriced.body.error.details.reason]).toEqual([403, 'policy_blocked', 'model_price_unknown']);
  }));

  it('apply to the tenant, each agent and each principal at once', async () => {
    const tenant = await node.tenant({ quotas: { models: { budgets: [{ scope: 'agent', window: 'hour', max_tokens: 90 }, { scope: 'principal', id: 'usr_narrow', window: 'day', max_tokens: 60 }] } } });
    expect((await invoke(tenant, { context: { agent_id: 'agt_1', run_id: 'run_1' } })).status).toBe(200);
    expect((await invoke(tenant, { context: { agent_id: 'agt_1' }, generation: { max_output_tokens: 80 } })).body.error.details).toMatchObject({ scope: 'agent', scope_id: 'agt_1', window: 'hour' });
    expect((await invoke(tenant, { context: { agent_id: 'agt_2' }, generation: { max_output_tokens: 80 } })).status).toBe(200);
    expect((await invoke(tenant, { generation: { max_output_tokens: 80 } }, { principal: 'usr_narrow' })).body.error.details).toMatchObject({ scope: 'principal', scope_id: 'usr_narrow' });
    expect((await invoke(tenant, { generation: { max_output_tokens: 80 } })).status).toBe(200);
    const { budgets } = await usageOf(tenant);
    expect(budgets).toEqual(expect.arrayContaining([expect.objectContaining({ scope: 'agent', scope_id: 'agt_1' }), expect.objectContaining({ scope: 'agent', scope_id: 'agt_2' }), expect.objectContaining({ scope: 'principal', scope_id: 'usr_narrow' })]));
    expect((await entriesOf(tenant, '?agent_id=agt_1'))).toMatchObject([{ run_id: 'run_1', agent_id: 'agt_1', state: 'settled' }]);
  });

  it('let as many calls through as fit, over both replicas at once', verifies(['PRS-15.3-04'], async () => {
    // A call holds its input with a margin and forty tokens of answer, and uses less: some more fit as calls end.
    const tenant = await node.tenant({ quotas: { models: { token_budget: { window: 'month', max_tokens: 1_000 } } } });
    const answers = await Promise.all([...Array(120).keys()].map((index) => invoke(tenant, {}, { on: index % 2 === 0 ? node : replica })));
    const served = answers.filter((answer) => answer.status === 200);
    const refused = answers.filter((answer) => answer.status !== 200);
    expect([...new Set(refused.map((answer) => `${answer.status} ${answer.body.error.code as string}`))]).toEqual(['403 quota_exceeded']);
    expect(served.length).toBeGreaterThanOrEqual(20);
    const spent = served.reduce((sum, answer) => sum + (answer.body.response.usage.total_tokens as number), 0);
    expect(spent).toBeLessThanOrEqual(1_000);
    await expect.poll(async () => (await usageOf(tenant)).budgets[0].tokens, { timeout: 5_000 }).toMatchObject({ limit: 1_000, spent, reserved: 0 });
    expect(await entriesOf(tenant, '?limit=200')).toHaveLength(served.length);
  }));

  it('charge a call whose caller hung up or whose backend took too long, and nothing for one that never began', async () => {
    const tenant = await node.tenant({ quotas: { models: { token_budget: { window: 'day', max_tokens: 10_000 } } } });
    upstream.setMode('hangs');
    await expect(invoke(tenant, {}, { signal: AbortSignal.timeout(150) })).rejects.toThrow();
    await expect.poll(async () => (await entriesOf(tenant)).length).toBe(1);
    expect((await invoke(tenant)).status).toBe(504);
    upstream.setMode('unavailable');
    expect((await invoke(tenant)).status).toBe(503);
    upstream.setMode('answers');
    const entries = await entriesOf(tenant);
    expect(entries.map((entry) => entry.state)).toEqual(['released', 'partial', 'partial']);
    expect(entries[1]).toMatchObject({ estimated: true, output_tokens: 0 });
    await expect.poll(async () => (await usageOf(tenant)).budgets[0].tokens.reserved, { timeout: 5_000 }).toBe(0);
    expect((await usageOf(tenant)).budgets[0].tokens.spent).toBe(entries[1].input_tokens * 2);
  });

  it('follow a limit that is lowered while the tenant is at work', async () => {
    const tenant = await node.tenant({ quotas: { models: { token_budget: { window: 'day', max_tokens: 100_000 } } } });
    expect((await invoke(tenant)).status).toBe(200);
    const patched = await call(node.urls['agent-orchestrator'], `/v1/admin/tenants/${tenant}`, { method: 'PATCH', tenant, headers: { 'x-scopes': 'tenants:admin' }, body: { quotas: { models: { token_budget: { window: 'day', max_tokens: 5 } } } } });
    expect(patched.status, JSON.stringify(patched.body)).toBe(200);
    await expect.poll(async () => (await invoke(tenant)).status, { timeout: 4_000 }).toBe(403);
  });
});

describe('requests a minute', () => {
  it('are counted over both replicas, and the refusal says when to come back', async () => {
    const tenant = await node.tenant({ quotas: { models: { max_requests_per_minute: 6 } } });
    const answers = await Promise.all([...Array(14).keys()].map((index) => invoke(tenant, {}, { on: index % 2 === 0 ? node : replica })));
    expect(answers.filter((answer) => answer.status === 200)).toHaveLength(6);
    const refused = answers.find((answer) => answer.status !== 200)!;
    expect([refused.status, refused.body.error.code, refused.body.error.details.reason]).toEqual([429, 'rate_limited', 'requests_per_minute_exceeded']);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await usageOf(tenant)).requests_per_minute).toEqual({ limit: 6, used: 6 });
  });
});

describe('the same request twice', () => {
  it('is one call, at once or later, and charged once', async () => {
    const tenant = await node.tenant();
    const before = upstream.stub.calls.length;
    const both = await Promise.all([invoke(tenant, {}, { id: 'req_twice' }), invoke(tenant, {}, { id: 'req_twice' })]);
    const later = await invoke(tenant, {}, { id: 'req_twice' });
    for (const answer of [...both, later]) expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    expect(new Set([...both, later].map((answer) => JSON.stringify(answer.body.response))).size).toBe(1);
    expect(upstream.stub.calls.length).toBe(before + 1);
    expect(await entriesOf(tenant)).toHaveLength(1);
  });

  it('is told apart from another request, and from one whose answer is nowhere at hand', async () => {
    const tenant = await node.tenant();
    await invoke(tenant, {}, { id: 'req_apart' });
    const other = await invoke(tenant, { generation: { max_output_tokens: 41 } }, { id: 'req_apart' });
    expect([other.status, other.body.error.code, other.body.error.details.reason]).toEqual([409, 'conflict', 'request_id_reused']);
    const elsewhere = await invoke(tenant, {}, { id: 'req_apart', on: replica });
    expect([elsewhere.status, elsewhere.body.error.details.reason]).toEqual([409, 'request_id_used']);
    expect((await invoke(await node.tenant(), {}, { id: 'req_apart' })).status).toBe(200);
    expect(await entriesOf(tenant)).toHaveLength(1);
  });

  it('waits for the other replica that makes it, and makes it itself when that came to nothing', async () => {
    const tenant = await node.tenant();
    upstream.setMode('hangs');
    const first = invoke(tenant, {}, { id: 'req_wait' });
    await expect.poll(async () => (await node.database.asSuperuser((client) => client.query('SELECT 1 FROM model_policy.request_claims WHERE tenant_id = $1', [tenant]))).rowCount).toBe(1);
    const second = invoke(tenant, {}, { id: 'req_wait', on: replica });
    upstream.setMode('answers');
    expect((await first).status).toBe(504);
    expect((await second).status).toBe(200);
    expect((await entriesOf(tenant)).map((entry) => entry.state)).toEqual(['settled', 'partial']);
  });

  it('may be made again when it came to nothing', async () => {
    const tenant = await node.tenant();
    upstream.setMode('unavailable');
    expect((await invoke(tenant, {}, { id: 'req_again' })).status).toBe(503);
    upstream.setMode('answers');
    expect((await invoke(tenant, {}, { id: 'req_again', on: replica })).status).toBe(200);
    expect((await entriesOf(tenant)).map((entry) => entry.state)).toEqual(['settled', 'released']);
  });
});

describe('the ledger', () => {
  it('is read in pages, by day, model, agent and run, by its own tenant', verifies(['HLD-5.3-01', 'HLD-4.2-01', 'T08-01'], async () => {
    const tenant = await node.tenant();
    for (const run of ['run_a', 'run_b', 'run_a']) await invoke(tenant, { context: { run_id: run, agent_id: 'agt_ledger' } });
    const entries = await entriesOf(tenant, '?limit=2');
    expect(entries).toHaveLength(2);
    expect(entries[0].entry_id > entries[1].entry_id).toBe(true);
    expect(await entriesOf(tenant, `?limit=2&after=${entries[1].entry_id as string}`)).toHaveLength(1);
    expect(await entriesOf(tenant, '?run_id=run_a')).toHaveLength(2);
    expect(entries[0]).toMatchObject({ run_id: 'run_a', agent_id: 'agt_ledger', principal_id: 'usr_usage', operation: 'chat', model: 'gpt-4o-mini', backend: 'openai', fallback_used: false });
    const today = new Date().toISOString().slice(0, 10);
    expect((await usageOf(tenant, `?from=${today}&to=${today}`)).by_model).toMatchObject([{ day: today, requests: 3 }]);
    expect((await usageOf(tenant, '?from=2020-01-01&to=2020-01-31')).by_model).toEqual([]);
    expect((await usageOf(tenant, '?model=other')).by_model).toEqual([]);
    for (const query of ['?from=2025-02-31', '?from=2025-02-02&to=2025-02-01']) expect((await call(node.urls[MP], `/v1/usage${query}`, { tenant })).status).toBe(400);
    expect(await entriesOf(await node.tenant())).toEqual([]);
    expect((await call(node.urls[MP], '/v1/usage', { tenant, headers: { 'x-scopes': 'models:invoke' } })).status).toBe(403);
  }));

  it('names the run and the agent of a run\'s calls', async () => {
    const tenant = await node.tenant();
    await node.agent(tenant, { agentId: 'agt_spender' });
    const created = await call(node.urls['agent-orchestrator'], '/v1/agents/agt_spender/runs', { tenant, body: { input: { type: 'text', text: 'Say hello.' } } });
    const runId = (created.body.run?.run_id ?? created.body.run_id) as string;
    await expect.poll(async () => (await entriesOf(tenant, `?run_id=${runId}`)).length, { timeout: 10_000 }).toBeGreaterThan(0);
    expect((await entriesOf(tenant, `?run_id=${runId}`))[0]).toMatchObject({ agent_id: 'agt_spender' });
  });

  it('agrees with the counters of tokens and dollars', verifies(['PRS-9.2-06'], async () => {
    const read = async (): Promise<{ tokens: number; usd: number }> => {
      const text = (await call(replica.urls[MP], '/metrics', { tenant: null })).body as string;
      const sum = (name: string): number => [...text.matchAll(new RegExp(`^${name}\\{[^}]*model="gpt-4o-mini"[^}]*\\} ([0-9.e+-]+)$`, 'gm'))].reduce((total, match) => total + Number(match[1]), 0);
      return { tokens: sum('agentos_token_usage'), usd: sum('agentos_cost_estimate_usd') };
    };
    const before = await read();
    const tenant = await node.tenant();
    await invoke(tenant, {}, { on: replica });
    const [entry] = await entriesOf(tenant);
    const after = await read();
    expect(after.tokens - before.tokens).toBe(entry.input_tokens + entry.output_tokens);
    expect(after.usd - before.usd).toBeCloseTo(entry.cost_usd, 5);
  }));
});
