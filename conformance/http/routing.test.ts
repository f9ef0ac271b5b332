/** The models file, canaries and decision traces over HTTP, on two replicas of Model Policy over one database (PRS 6.3). */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, type Json } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { openAiVendor } from '../../services/model-policy/fixture/vendor-openai.ts';
import { startVendor, type VendorServer } from '../../services/model-policy/fixture/vendor-stub.ts';
import { faultsOf, operation } from './operations.ts';
import { verifies } from './verifies.ts';

const MP = 'model-policy';
const folder = mkdtempSync(join(tmpdir(), 'agentos-models-'));
const path = join(folder, 'models.yaml');
let good: VendorServer;
let poor: VendorServer;
let node: TestNode;
let replica: TestNode;

const fileOf = (more: { readonly routing?: string; readonly models?: string } = {}): string => `
backends:
  main:
    kind: openai_compatible
    base_url: ${good.baseUrl}
    attributes: {region: eu-west-1, data_classification: [public, internal]}
    max_concurrency: 32
  trial: {kind: openai_compatible, base_url: "${poor.baseUrl}", health: {failure_threshold: 1000}}
  offline: {kind: builtin}
models:
  - {id: steady, backend: main, backend_model: gpt-4o-mini, tiers: [balanced], context_tokens: 8000, quality: 0.8, price: {input_usd_per_mtok: 1, output_usd_per_mtok: 2}, aliases: [old-name]}
  - {id: tried, backend: trial, backend_model: gpt-4o-mini, context_tokens: 8000, price: {input_usd_per_mtok: 1, output_usd_per_mtok: 2}}
  - {id: builtin-fast-1, backend: offline, tiers: [fast, balanced], quality: 0.1, price: {input_usd_per_mtok: 0, output_usd_per_mtok: 0}}
${more.models ?? ''}
${more.routing ?? 'routing: {choose: quality, fallback: {"tier:balanced": [builtin-fast-1]}}'}
`;
/** As a careful editor does it. */
const write = (text: string): void => {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
};

beforeAll(async () => {
  [good, poor] = [await startVendor(openAiVendor), await startVendor(openAiVendor)];
  write(fileOf());
  const env = { AGENTOS_MODELS_FILE: path, AGENTOS_MODEL_TIMEOUT_MS: '2000' };
  node = await startNode({ services: ['model-policy', 'agent-orchestrator'], env });
  replica = await startNode({ services: ['model-policy'], env, database: node.database });
});
afterAll(async () => {
  await replica?.close();
  await node?.close();
  await good?.close();
  await poor?.close();
  rmSync(folder, { recursive: true, force: true });
});

let ids = 0;
const invoke = (tenant: string, modelRef: string, more: Record<string, unknown> = {}, on = node) => call(on.urls[MP], '/v1/models:invoke', {
  tenant, body: { request: { request_id: `req_routing_${(ids += 1)}`, operation: 'chat', model_ref: modelRef, input: { messages: [{ role: 'user', content: 'my card is 4111 1111 1111 1111' }] }, generation: { max_output_tokens: 40 }, ...more } },
});
const admin = async (method: 'GET' | 'POST', where: string, id: string, on = node): Promise<Json> => {
  const answer = await call(on.urls[MP], where, { method, headers: { 'x-scopes': 'routing:admin', 'x-principal-id': 'usr_operator' } });
  expect(faultsOf(operation(MP, id), answer.status, answer.body), JSON.stringify(answer.body)).toEqual([]);
  return answer as unknown as Json;
};
const until = async (what: string, holds: () => Promise<boolean>): Promise<void> => {
  for (const startedAt = performance.now(); performance.now() - startedAt < 15_000;) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  expect.fail(`${what} within 15 s`);
};
const catalogue = async (on = node): Promise<Json> => (await admin('GET', '/v1/admin/routing', 'getRouting', on)).body.catalogue;

describe('the models file', () => {
  it('says which models there are and in which order they are tried', verifies(['PRS-6.3-06', 'PRS-6.3-07'], async () => {
    const tenant = await node.tenant();
    const served = await invoke(tenant, 'tier:balanced');
    expect(served.body.response.route, JSON.stringify(served.body)).toMatchObject({ backend: 'main', model: 'gpt-4o-mini', fallback_used: false });
    expect((await invoke(tenant, 'old-name')).body.response.route.backend).toBe('main');
    good.setMode('unavailable');
    expect((await invoke(tenant, 'tier:balanced')).body.response.route).toMatchObject({ backend: 'offline', fallback_used: true });
    good.setMode('answers');
    const told = await catalogue();
    expect(told.source).toMatchObject({ kind: 'file', path, error: null });
    expect(told.backends[0]).toMatchObject({ name: 'main', has_api_key: false, attributes: { region: 'eu-west-1', data_classification: ['public', 'internal'] }, max_concurrency: 32, circuit: 'closed', in_flight: 0 });
    expect(told.models.map((model: Json) => model.id)).toEqual(['steady', 'tried', 'builtin-fast-1']);
    expect(told.routing).toMatchObject({ choose: 'quality', fallback: { 'tier:balanced': ['builtin-fast-1'] } });
  }));

  it('is loaded again when it changes, by every replica, and one that is wrong changes nothing and is told of', async () => {
    const tenant = await node.tenant();
    write(fileOf({ models: '  - {id: added, backend: offline, backend_model: builtin-fast-1}' }));
    for (const each of [node, replica]) await until('the new model is there', async () => (await invoke(tenant, 'added', {}, each)).status === 200);
    const before = await catalogue();
    write(fileOf({ routing: 'routing: {chose: cost}' }));
    await until('the error is told of', async () => (await catalogue()).source.error !== null);
    const after = await catalogue();
    expect(after.source.error.message).toContain('/routing/chose is not a known member; did you mean choose?');
    expect([after.source.revision, after.models]).toEqual([before.source.revision, before.models.map((model: Json) => ({ ...model, p50_ms: expect.anything() as unknown })).map((model: Json, index: number) => ({ ...model, p50_ms: after.models[index].p50_ms }))]);
    expect((await invoke(tenant, 'added')).status).toBe(200);
    const ready = await call(node.urls[MP], '/readyz', { tenant: null });
    expect([ready.status, ready.body.checks.find((check: Json) => check.name === 'models_file')]).toEqual([200, { name: 'models_file', status: 'unavailable', detail: 'failed' }]);
    expect((await call(node.urls[MP], '/metrics', { tenant: null })).body).toMatch(/agentos_models_config_ok\{[^}]*\} 0/);
    const refused = await admin('POST', '/v1/admin/routing:reload', 'reloadRouting');
    expect([refused.status, refused.body.error.code, refused.body.error.details.reason]).toEqual([409, 'conflict', 'bad_configuration']);
    expect(refused.body.error.details.errors).toEqual([{ path: '/routing/chose', message: expect.stringContaining('did you mean choose?') as string }]);
    write(fileOf());
    await until('the file is in effect again', async () => (await catalogue()).source.error === null);
    expect((await admin('POST', '/v1/admin/routing/reload', 'reloadRouting')).status).toBe(200);
    expect((await invoke(tenant, 'added')).status).toBe(404);
  });

  it('lets calls that are under way finish on the backends that they began with', async () => {
    const tenant = await node.tenant();
    const { answer: answers } = good.stub;
    let arrived = (): void => undefined;
    const under = new Promise<void>((resolve) => { arrived = resolve; });
    good.stub.answer = (seen) => {
      arrived();
      const whole = typeof answers === 'function' ? answers(seen) : answers;
      return { kind: 'stream', contentType: 'application/json', chunks: [JSON.stringify((whole as { readonly body: unknown }).body)], firstByteMs: 1_500 };
    };
    const slow = invoke(tenant, 'steady');
    await under;
    write(fileOf().replace('max_concurrency: 32', 'max_concurrency: 8'));
    expect((await admin('POST', '/v1/admin/routing:reload', 'reloadRouting')).body.catalogue.backends[0].max_concurrency).toBe(8);
    expect((await slow).status).toBe(200);
    good.stub.answer = answers;
    write(fileOf());
    await until('the file is in effect again', async () => (await catalogue()).backends[0].max_concurrency === 32);
  });

  it('is not for those who do not run the node', async () => {
    for (const [method, where] of [['GET', '/v1/admin/routing'], ['POST', '/v1/admin/routing:reload'], ['GET', '/v1/admin/canaries'], ['POST', '/v1/admin/canaries/x:rollback']] as const) {
      expect((await call(node.urls[MP], where, { method, headers: { 'x-scopes': 'models:invoke policies:write' } })).status, where).toBe(403);
    }
  });
});

describe('a canary', () => {
  const routing = (percent: number): string => `routing: {canaries: [{name: next, model: steady, canary: tried, percent: ${percent}, gates: {max_error_rate: 0.1, min_samples: 8}}]}`;

  it('takes its share of the tenants, is rolled back on every replica when it fails, and by hand', verifies(['PRS-6.3-08'], async () => {
    write(fileOf({ routing: routing(100) }));
    for (const each of [node, replica]) await until('the canary is there', async () => (await catalogue(each)).routing.canaries.length === 1);
    const tenant = await node.tenant();
    expect((await invoke(tenant, 'steady')).body.response.route.backend).toBe('trial');
    poor.setMode('unavailable');
    const routes: Json[] = [];
    for (let i = 0; i < 12; i += 1) {
      const answer = await invoke(tenant, 'steady');
      expect(answer.status, JSON.stringify(answer.body)).toBe(200);
      routes.push(answer.body.response.route);
    }
    expect(routes.map((route) => route.backend), 'the model beside it serves').toEqual(Array(12).fill('main'));
    expect(routes.at(-1)!.fallback_used, 'and is asked first in the end').toBe(false);
    const [canary] = (await admin('GET', '/v1/admin/canaries', 'listCanaries')).body.canaries;
    expect(canary).toMatchObject({ name: 'next', state: 'rolled_back', reason: expect.stringMatching(/^error_rate 0\.\d+ > 0\.1$/) as string, stats: { canary: { samples: 8 } } });
    await until('the other replica knows', async () => (await admin('GET', '/v1/admin/canaries', 'listCanaries', replica)).body.canaries[0].state === 'rolled_back');
    expect((await call(node.urls[MP], '/metrics', { tenant: null })).body).toMatch(/agentos_canary_share\{[^}]*canary="next"[^}]*\} 0\n/);
    poor.setMode('answers');
    expect((await invoke(tenant, 'steady', {}, replica)).body.response.route.backend).toBe('main');

    write(fileOf({ routing: routing(99.5) }));
    await until('a changed rule begins anew', async () => (await catalogue()).routing.canaries[0].state === 'active');
    const rolled = await admin('POST', '/v1/admin/canaries/next:rollback', 'rollBackCanary');
    expect(rolled.body.canary).toMatchObject({ state: 'rolled_back', reason: 'by_hand usr_operator' });
    expect((await admin('POST', '/v1/admin/canaries/nobody/rollback', 'rollBackCanary')).status).toBe(404);
    write(fileOf());
    for (const each of [node, replica]) await until('the canary is gone', async () => (await catalogue(each)).routing.canaries.length === 0);
  }));
});

describe('decision traces', () => {
  const decisionOf = async (tenant: string, requestId: string, on = node): Promise<Json> => {
    const answer = await call(on.urls[MP], `/v1/decisions/${requestId}`, { tenant, headers: { 'x-scopes': 'decisions:read' } });
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    expect(faultsOf(operation(MP, 'getDecision'), 200, answer.body)).toEqual([]);
    return answer.body.decision;
  };

  it('say of a call what was decided and why, on every replica as soon as it is answered, and nothing of what was said', async () => {
    const tenant = await node.tenant({ quotas: { models: { token_budget: { window: 'day', max_tokens: 100_000 } } } });
    const answer = await invoke(tenant, 'tier:balanced', { context: { agent_id: 'agt_1', run_id: 'run_1' } });
    const { request_id: requestId, usage } = answer.body.response;
    const decision = await decisionOf(tenant, requestId, replica);
    expect(decision).toMatchObject({
      tenant_id: tenant, agent_id: 'agt_1', run_id: 'run_1', operation: 'chat', model_ref: 'tier:balanced', outcome: 'ok', streamed: false,
      policy: { decision: 'redacted', redactions: [{ type: 'card', count: 1 }] },
      price: { input_usd_per_mtok: 1, output_usd_per_mtok: 2 }, hold: { scopes: ['tenant:day'] }, settle: { tokens: usage.total_tokens, cost_usd: usage.cost_usd },
      attempts: [{ backend: 'main', model: 'steady', error: null }], canary: null, correlation_id: answer.body.correlation_id,
    });
    expect(decision.candidates).toEqual([
      { model: 'steady', backend: 'main', chosen: true, reason_left: null, score: 0.8 }, { model: 'builtin-fast-1', backend: 'offline', chosen: false, reason_left: 'ranked_lower', score: 0.1 },
    ]);
    expect(decision.hold.tokens).toBeGreaterThanOrEqual(decision.settle.tokens);
    expect(JSON.stringify(decision)).not.toMatch(/4111|my card/);
  });

  it('say of a refused or failed call where it ended', async () => {
    const tenant = await node.tenant({ entitlements: { model_backends_allowed: ['main'] } });
    const refused = await invoke(tenant, 'tier:fast', { request_id: 'req_refused' });
    expect(refused.status).toBe(403);
    expect(await decisionOf(tenant, 'req_refused')).toMatchObject({
      outcome: 'policy_blocked', policy: { decision: 'blocked', reasons: expect.arrayContaining(['backend_not_entitled']) as unknown }, hold: null, settle: null, attempts: [],
      candidates: [{ model: 'builtin-fast-1', backend: 'offline', chosen: false, reason_left: 'backend_not_entitled' }],
    });
    good.setMode('unavailable');
    await invoke(tenant, 'steady', { request_id: 'req_failed' });
    good.setMode('answers');
    expect(await decisionOf(tenant, 'req_failed')).toMatchObject({
      outcome: 'dependency_unavailable', settle: null, attempts: [{ backend: 'main', error: 'dependency_unavailable' }], candidates: [{ model: 'steady', chosen: false, reason_left: 'attempt_failed' }],
    });
    const listed = await call(node.urls[MP], '/v1/decisions?decision=blocked', { tenant, headers: { 'x-scopes': 'decisions:read' } });
    expect(faultsOf(operation(MP, 'listDecisions'), 200, listed.body)).toEqual([]);
    expect(listed.body.decisions.map((each: Json) => each.request_id)).toEqual(['req_refused']);
  });

  it('belong to their tenant, and want a scope of their own', async () => {
    const [owner, stranger] = [await node.tenant(), await node.tenant()];
    await invoke(owner, 'steady', { request_id: 'req_owned' });
    await decisionOf(owner, 'req_owned');
    expect((await call(node.urls[MP], '/v1/decisions/req_owned', { tenant: stranger, headers: { 'x-scopes': 'decisions:read' } })).status).toBe(404);
    expect((await call(node.urls[MP], '/v1/decisions/req_owned', { tenant: owner, headers: { 'x-scopes': 'models:invoke' } })).status).toBe(403);
  });
});
