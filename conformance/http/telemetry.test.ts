/** What a run leaves in metrics and logs (PRS 9.1, 9.2, 15.5). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, untilEnded } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { verifies } from './verifies.ts';

let node: TestNode;
beforeAll(async () => {
  node = await startNode({ env: { AGENTOS_LOG_LEVEL: 'debug' } });
});
afterAll(() => node?.close());

type Service = 'agent-orchestrator' | 'model-policy';

/** Sums the samples of a metric; -1 when it is not exposed. */
async function metric(service: Service, name: string): Promise<number> {
  const { body } = await call(node.urls[service], '/metrics', { tenant: null });
  const samples = [...(body as string).matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? ([0-9.e+-]+)$`, 'gm'))];
  return samples.length === 0 ? -1 : samples.reduce((sum, sample) => sum + Number(sample[1]), 0);
}

async function runOnce(): Promise<string> {
  const made = await call(node.urls['agent-orchestrator'], '/v1/agents/agt_sample_echo_v1/runs', { body: { input: 'hello' } });
  await untilEnded(node.urls['agent-orchestrator'], made.body.run.run_id as string);
  return made.body.run.run_id as string;
}

describe('metrics', () => {
  const counted: ReadonlyArray<readonly [Service, string]> = [
    ['agent-orchestrator', 'agentos_http_requests_total'],
    ['agent-orchestrator', 'agentos_run_count'],
    ['agent-orchestrator', 'agentos_run_latency_ms_count'],
    ['model-policy', 'agentos_model_request_count'],
    ['model-policy', 'agentos_token_usage'],
    ['model-policy', 'agentos_route_distribution'],
  ];

  it.each(counted)('%s counts in %s', verifies(['PRS-9.1-01', 'PRS-9.2-02', 'PRS-9.2-05', 'PRS-11.1-05'], async (service: Service, name: string) => {
    await runOnce();
    const before = await metric(service, name);
    await runOnce();
    expect(before, `${name} is not exposed`).toBeGreaterThanOrEqual(0);
    await expect.poll(() => metric(service, name), { timeout: 3_000 }).toBeGreaterThan(before);
  }));

  it('carry no tenant, run or correlation id as a label', verifies(['PRS-9.2-10'], async () => {
    const tenant = await node.tenant();
    const made = await call(node.urls['agent-orchestrator'], '/v1/agents/agt_x/runs', { tenant, body: { input: 'hello' } });
    for (const service of ['agent-orchestrator', 'model-policy'] as const) {
      const { body } = await call(node.urls[service], '/metrics', { tenant: null });
      for (const id of [tenant, made.body.run.run_id, made.body.correlation_id]) expect(body).not.toContain(id);
    }
  }));

  /** Value of a series of the tenant, as who may see it; -1 when there is none. */
  async function ofTenant(service: Service, name: string, labels: Readonly<Record<string, string>>): Promise<number> {
    const { body } = await call(node.urls[service], '/metrics', { headers: { 'x-scopes': 'metrics:read' } });
    const line = (body as string).split('\n').find((each) => each.startsWith(`${name}{`) && Object.entries(labels).every(([label, value]) => each.includes(`${label}="${value}"`)));
    return line === undefined ? -1 : Number(line.split(' ').at(-1));
  }

  it('say of each tenant what it did and what it was refused, to whom may see it', verifies(['PRS-9.2-10', 'PRS-15.5-02'], async () => {
    const tenant = await node.tenant({ quotas: { runs: { max_concurrent_runs: 0 }, models: { token_budget: { window: 'day', max_tokens: 1 } } } });
    const other = await node.tenant();
    const made = await call(node.urls['agent-orchestrator'], '/v1/agents/agt_sample_echo_v1/runs', { tenant: other, body: { input: 'hello' } });
    await untilEnded(node.urls['agent-orchestrator'], made.body.run.run_id as string, { tenant: other });
    expect((await call(node.urls['agent-orchestrator'], '/v1/agents/agt_x/runs', { tenant, body: { input: 'hello' } })).body.error.details.reason).toBe('concurrent_runs');
    expect((await call(node.urls['model-policy'], '/v1/models:invoke', { tenant, body: { operation: 'chat', model_id: 'tier:fast', input: { text: 'hello' } } })).body.error.details.reason).toBe('token_budget_exceeded');
    const [AO, MP] = ['agent-orchestrator', 'model-policy'] as const;
    expect(await ofTenant(AO, 'agentos_tenant_refusals_total', { tenant_id: tenant, limit: 'concurrency' })).toBe(1);
    expect(await ofTenant(AO, 'agentos_tenant_requests_total', { tenant_id: tenant, result: 'refused' })).toBe(1);
    expect(await ofTenant(MP, 'agentos_tenant_refusals_total', { tenant_id: tenant, limit: 'budget' })).toBe(1);
    await expect.poll(() => ofTenant(MP, 'agentos_tenant_budget_used_ratio', { tenant_id: tenant, window: 'day' }), { timeout: 5_000 }).toBe(0);
    await expect.poll(() => ofTenant(AO, 'agentos_tenant_runs_ended_total', { tenant_id: other, status: 'completed' }), { timeout: 5_000 }).toBe(1);
    expect(await ofTenant(AO, 'agentos_tenant_run_duration_ms_count', { tenant_id: other })).toBe(1);
    expect(await ofTenant(AO, 'agentos_tenant_runs', { tenant_id: other, state: 'queued' })).toBe(0);
    expect(await ofTenant(MP, 'agentos_tenant_model_calls_total', { tenant_id: other, outcome: 'ok' })).toBeGreaterThanOrEqual(1);
    expect(await ofTenant(MP, 'agentos_tenant_tokens_total', { tenant_id: other, direction: 'input' })).toBeGreaterThan(0);
    expect(await ofTenant(MP, 'agentos_tenant_model_calls_total', { tenant_id: tenant, outcome: 'limited' })).toBe(1);
  }));

  it('count requests by status and refused credentials by reason', verifies(['PRS-9.2-09'], async () => {
    for (const service of ['agent-orchestrator', 'model-policy'] as const) {
      const [requests, failures] = [await metric(service, 'agentos_http_requests_total'), await metric(service, 'agentos_auth_failures_total')];
      const path = service === 'agent-orchestrator' ? '/v1/runs' : '/v1/models';
      expect((await call(node.urls[service], path, { headers: { 'x-api-key': 'aos_live_nobody.nothing' } })).status).toBe(401);
      expect((await call(node.urls[service], path, { headers: { 'x-scopes': 'none' } })).status).toBe(403);
      expect(await metric(service, 'agentos_http_requests_total')).toBeGreaterThanOrEqual(requests + 2);
      expect(await metric(service, 'agentos_auth_failures_total')).toBe(Math.max(0, failures) + 2);
      const { body } = await call(node.urls[service], '/metrics', { tenant: null });
      expect(body).toMatch(/^agentos_http_requests_total\{[^}]*status="401"/m);
      expect(body).toMatch(/^agentos_auth_failures_total\{reason="forbidden"/m);
    }
  }));

  it('say whether what a service stands on is there', async () => {
    for (const service of ['agent-orchestrator', 'model-policy'] as const) expect(await metric(service, 'agentos_dependency_up')).toBeGreaterThanOrEqual(2);
  });
});

describe('logs', () => {
  it('are JSON, one object a line, and name service, tenant, correlation and trace of a request', verifies(['PRS-15.5-01'], async () => {
    await call(node.urls['agent-orchestrator'], '/v1/runs', { headers: { 'x-correlation-id': 'corr_find_me' } });
    const found = (): Record<string, unknown>[] => node.logLines.map((line) => JSON.parse(line) as Record<string, unknown>).filter((line) => line['correlation_id'] === 'corr_find_me');
    await expect.poll(() => found().length, { timeout: 3_000 }).toBeGreaterThan(0);
    expect(found().at(-1)).toMatchObject({ service: 'agent-orchestrator', tenant_id: 'tnt_demo', trace_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string });
  }));

  it('name run, trace and tenant of each run that ended', verifies(['PRS-9.1-03'], async () => {
    const traceId = '7d1b8f0c3a5e4f6b9c2d1e0f7a8b6c5d';
    const made = await call(node.urls['agent-orchestrator'], '/v1/agents/agt_sample_echo_v1/runs', { body: { input: 'hello' }, headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-01` } });
    const runId = made.body.run.run_id as string;
    await untilEnded(node.urls['agent-orchestrator'], runId);
    const found = (): Record<string, unknown>[] => node.logLines.map((line) => JSON.parse(line) as Record<string, unknown>).filter((line) => line['run_id'] === runId && line['service'] === 'agent-orchestrator');
    await expect.poll(() => found().length, { timeout: 3_000 }).toBe(1);
    expect(found()[0]).toMatchObject({ service: 'agent-orchestrator', run_id: runId, tenant_id: 'tnt_demo', trace_id: traceId, correlation_id: made.body.correlation_id, status: 'completed' });
  }));

  it('name each model call with its account, on both surfaces', verifies(['PRS-9.1-03', 'PRS-9.2-06', 'PRS-9.2-08'], async () => {
    const found = (id: string): Record<string, unknown>[] => node.logLines.map((line) => JSON.parse(line) as Record<string, unknown>).filter((line) => line['correlation_id'] === id && line['msg'] === 'Model call.');
    for (const [path, body, surface] of [
      ['/v1/chat/completions', { model: 'tier:fast', messages: [{ role: 'user', content: 'canary-7c1d' }], stream: true, metadata: { run_id: 'run_of_log', agent_id: 'agt_of_log' } }, 'openai'],
      ['/v1/models:invoke', { operation: 'chat', model_id: 'tier:fast', input: { text: 'canary-7c1d' } }, 'canonical'],
    ] as const) {
      await call(node.urls['model-policy'], path, { body, headers: { 'x-correlation-id': `corr_${surface}` } });
      await expect.poll(() => found(`corr_${surface}`).length, { timeout: 3_000 }).toBe(1);
      expect(found(`corr_${surface}`)[0]).toMatchObject({
        service: 'model-policy', tenant_id: 'tnt_demo', trace_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string, surface, streamed: surface === 'openai', outcome: 'ok', policy_decision: 'allowed', fallback_used: false,
        'gen_ai.operation.name': 'chat', 'gen_ai.provider.name': 'builtin', 'gen_ai.request.model': 'tier:fast', 'gen_ai.response.model': 'builtin-fast-1', 'gen_ai.usage.output_tokens': expect.any(Number) as number,
        ...(surface === 'openai' ? { run_id: 'run_of_log', agent_id: 'agt_of_log', first_byte_ms: expect.any(Number) as number } : {}),
      });
    }
    await call(node.urls['model-policy'], '/v1/chat/completions', { body: { model: 'gpt-99', messages: [] }, headers: { 'x-correlation-id': 'corr_refused' } });
    expect(found('corr_refused')).toEqual([]);
    await call(node.urls['model-policy'], '/v1/chat/completions', { body: { model: 'gpt-99', messages: [{ role: 'user', content: 'x' }] }, headers: { 'x-correlation-id': 'corr_unknown' } });
    await expect.poll(() => found('corr_unknown').map((line) => line['outcome']), { timeout: 3_000 }).toEqual(['not_found']);
  }));

  it('hold no secret and no content', verifies(['PRS-10.2-01'], async () => {
    await call(node.urls['agent-orchestrator'], '/v1/agents/agt_sample_echo_v1/runs', { body: { input: 'canary-3f9a' }, headers: { 'x-api-key': 'aos_live_canary_secret', authorization: 'Bearer canary-token' } });
    await runOnce();
    expect(node.logLines.filter((line) => /canary/.test(line))).toEqual([]);
  }));
});
