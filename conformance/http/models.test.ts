/** Model Policy over HTTP: the Appendix's own requests, the flat forms, and what every answer carries (PRS 6, Appendix E). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, type Json } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { goldenPayload, goldenRequests } from './golden.ts';
import { faultsOf, operation } from './operations.ts';
import { verifies } from './verifies.ts';

let node: TestNode;
const MP = 'model-policy';
beforeAll(async () => {
  node = await startNode({ services: ['model-policy', 'agent-orchestrator'] });
});
afterAll(() => node?.close());
const mp = (path: string, options: Parameters<typeof call>[2] = {}) => call(node.urls[MP], path, options);

describe('golden requests', () => {
  it.each(goldenRequests.filter((request) => request.service === MP))('$path takes $file and its answer is strict', verifies(['PRS-6.2-08'], async ({ file, operationId, path }: (typeof goldenRequests)[number]) => {
    const answer = await mp(path, { body: goldenPayload(file) });
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    expect(faultsOf(operation(MP, operationId), 200, answer.body)).toEqual([]);
  }));
});

describe('models:invoke', () => {
  it('chats and accounts for it', verifies(['PRS-6.2-01', 'PRS-6.2-02', 'PRS-6.2-03', 'PRS-6.2-04', 'PRS-1-03'], async () => {
    const golden = goldenPayload('E.1-model-invoke-chat.request.json') as Json;
    const { body, headers } = await mp('/v1/models:invoke', { body: golden, headers: { traceparent: golden.traceparent as string } });
    expect(body.response).toMatchObject({
      request_id: golden.request.request_id, status: 'ok', output: { type: 'chat', message: { role: 'assistant', content: expect.any(String) as string } },
      policy_outcome: { decision: 'allowed', reasons: [], redactions: [] }, route: { backend: 'builtin', fallback_used: false },
    });
    const { usage } = body.response;
    expect(usage.total_tokens).toBe(usage.input_tokens + usage.output_tokens);
    expect(body.response.latency_ms).toBeGreaterThanOrEqual(0);
    expect(body.correlation_id).toEqual(expect.any(String));
    expect(headers.get('traceparent')).toContain('4bf92f3577b34da6a3ce929d0e0e4736');
  }));

  it('embeds into unit vectors, in the order of the texts', async () => {
    const { body } = await mp('/v1/models:invoke', { body: goldenPayload('E.4-model-invoke-embed.request.json') });
    const { embeddings } = body.response.output as { embeddings: { index: number; vector: number[] }[] };
    expect(embeddings.map((embedding) => embedding.index)).toEqual([0, 1]);
    for (const { vector } of embeddings) expect(Math.hypot(...vector)).toBeCloseTo(1, 4);
    expect(body.response.usage.output_tokens).toBe(0);
  });

  it('takes the flat form too, and mirrors the answer', async () => {
    const { status, body } = await mp('/v1/models:invoke', { body: { operation: 'chat', model_id: 'tier:balanced', input: { text: 'hello' } } });
    expect(status, JSON.stringify(body)).toBe(200);
    expect(body.usage.total_tokens).toBe(body.usage.prompt_tokens + body.usage.completion_tokens);
    expect(body.output).toMatchObject({ type: expect.any(String) as string, text: expect.any(String) as string });
    expect(body.response.status).toBe('ok');
    expect(faultsOf(operation(MP, 'invokeModel'), 200, body)).toEqual([]);
  });

  it('refuses what the caller asks to be refused, in the error model', verifies(['PRS-6.2-07', 'PRS-6.2-02'], async () => {
    const { status, body } = await mp('/v1/models:invoke', { body: { operation: 'chat', model_id: 'tier:balanced', input: { text: 'hello' }, options: { deny: true } } });
    expect([status, body.error?.code]).toEqual([403, 'policy_blocked']);
    expect(body.error.details.policy_outcome.decision).toBe('blocked');
    expect(body.policy_outcome.decision).toBe('blocked');
  }));

  it('refuses a body whose tenant is not the caller\'s', verifies(['PRS-4.3-01'], async () => {
    const golden = goldenPayload('E.1-model-invoke-chat.request.json') as Json;
    const { status, body } = await mp('/v1/models:invoke', { body: { ...golden, auth: { ...golden.auth, tenant_id: 'tnt_other' } } });
    expect([status, body.error.code]).toEqual([400, 'tenant_mismatch']);
  }));

  it('keeps to the models and tiers that the tenant may use', verifies(['PRS-6.2-05', 'PRS-15.3-05', 'PRS-6.3-03'], async () => {
    const tenant = await node.tenant({ entitlements: { model_tiers_allowed: ['fast'] } });
    const golden = goldenPayload('E.1-model-invoke-chat.request.json') as Json;
    const ask = (model_ref: string) => mp('/v1/models:invoke', { tenant, body: { request: { ...golden.request, model_ref } } });
    expect((await ask('tier:fast')).status).toBe(200);
    const refused = await ask('tier:premium');
    expect([refused.status, refused.body.error.code]).toEqual([403, 'policy_blocked']);
  }));

  it('answers equal requests equally', verifies(['PRS-1-02'], async () => {
    const body = { request: { request_id: 'req_same', operation: 'chat', model_ref: 'tier:balanced', input: { messages: [{ role: 'user', content: 'Summarise: the box was late. The box was broken. Please refund me.' }] } } };
    const [one, other] = [await mp('/v1/models:invoke', { body }), await mp('/v1/models:invoke', { body })];
    expect(one.body.response.output).toEqual(other.body.response.output);
  }));
});

describe('policy checks', () => {
  it('are the same on both paths', verifies(['PRS-6.1-03'], async () => {
    const body = goldenPayload('E.3-policy-check.request.json');
    const [colon, slash] = [await mp('/v1/policy:check', { body }), await mp('/v1/policy/check', { body })];
    expect([colon.status, slash.status]).toEqual([200, 200]);
    expect(slash.body.policy_result).toEqual(colon.body.policy_result);
  }));

  it('find personal data', verifies(['PRS-6.3-02', 'PRS-6.2-07'], async () => {
    const { body } = await mp('/v1/policy:check', { body: { policy_check: { content: { type: 'text', text: 'Write to ann@example.com, card 4111 1111 1111 1111.' } } } });
    expect(['redacted', 'blocked']).toContain(body.policy_result.decision);
    expect(body.policy_result.redactions.length + body.policy_result.reasons.length).toBeGreaterThan(0);
  }));

  it('take no time over text made to take long', async () => {
    const startedAt = performance.now();
    await mp('/v1/policy:check', { body: { policy_check: { content: { type: 'text', text: `${'1'.repeat(60_000)}${'a@'.repeat(30_000)}` } } } });
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });

  it('take the flat form too', async () => {
    const { status, body } = await mp('/v1/policy:check', { body: { action: 'model.invoke', resource: { model_id: 'tier:balanced' }, context: {} } });
    expect(status, JSON.stringify(body)).toBe(200);
    expect(body).toMatchObject({ decision: 'allow', reasons: expect.any(Array) as unknown[] });
  });
});

describe('models', () => {
  it('are listed for the Appendix and for OpenAI clients at once', verifies(['PRS-6.1-04'], async () => {
    const { status, body } = await mp('/v1/models');
    expect(status).toBe(200);
    expect(faultsOf(operation(MP, 'listModels'), 200, body)).toEqual([]);
    expect(body.object).toBe('list');
    expect(body.data.map((model: Json) => model.id)).toEqual(body.models.map((model: Json) => model.model_id));
    for (const model of body.models) expect(model.capabilities).toBeInstanceOf(Array);
  }));
});
