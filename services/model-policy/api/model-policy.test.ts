import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifies } from '../../../conformance/http/verifies.ts';
import { newId } from '../../platform/ids.ts';
import { authOf, startModelPolicy, type RunningModelPolicy } from '../fixture/running-model-policy.ts';

const golden = (name: string): unknown => JSON.parse(readFileSync(new URL(`../../../examples/golden/${name}`, import.meta.url), 'utf8'));
const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const CARD = '4111 1111 1111 1111';

const chat = (text: string, more: Record<string, unknown> = {}) => ({
  request: { request_id: newId('req'), operation: 'chat', model_ref: 'tier:balanced', input: { messages: [{ role: 'user', content: text }] }, ...more },
});

describe('Model Policy over HTTP', () => {
  let service: RunningModelPolicy;
  beforeAll(async () => {
    service = await startModelPolicy({
      tenants: [
        { tenant_id: 'tnt_test' },
        { tenant_id: 'tnt_demo' },
        { tenant_id: 'tnt_no_builtin', entitlements: { model_backends_allowed: ['openai'] } },
        { tenant_id: 'tnt_nothing', entitlements: { model_tiers_allowed: [] } },
        { tenant_id: 'tnt_small', quotas: { models: { max_tokens_per_request: 40 } } },
        { tenant_id: 'tnt_denied', policy: { denied_models: ['local-stub-llm'] } },
        { tenant_id: 'tnt_missing_rules', default_policy_id: 'pol_gone' },
        { tenant_id: 'tnt_strict', default_policy_id: 'pol_strict' },
      ],
    });
    await service.rules.put(authOf('tnt_strict'), {
      policyId: 'pol_strict',
      rules: [{ id: 'no-mail', kind: 'pii', types: ['email'], action: 'block' }, { id: 'names', kind: 'terms', terms: ['Project Falcon'], action: 'block' }],
    });
  });
  afterAll(() => service.close());

  it('answers a chat with its whole account', async () => {
    const answer = await service.call('POST', '/v1/models:invoke', { body: chat('hello'), headers: { traceparent: TRACEPARENT, 'x-correlation-id': 'corr_mine' } });
    expect(answer.status).toBe(200);
    const { response } = answer.body;
    expect(response).toMatchObject({
      request_id: expect.stringMatching(/^req_/) as string, status: 'ok',
      output: { type: 'chat', message: { role: 'assistant' }, tool_calls: [] },
      policy_outcome: { decision: 'allowed', reasons: [], redactions: [] },
      route: { backend: 'builtin', model: 'builtin-balanced-1', node: 'stk_local', fallback_used: false },
    });
    expect(response.output.message.content).toContain('hello');
    expect(response.usage.total_tokens).toBe(response.usage.input_tokens + response.usage.output_tokens);
    expect(Number.isInteger(response.latency_ms)).toBe(true);
    expect(answer.body).toMatchObject({ correlation_id: 'corr_mine', tenant_id: 'tnt_test' });
    expect(answer.body.traceparent).toContain('4bf92f3577b34da6a3ce929d0e0e4736');
    expect(answer.body).not.toHaveProperty('usage');
  });

  it.each(['E.1-model-invoke-chat.request.json', 'E.4-model-invoke-embed.request.json'])('takes the canonical payload %s', async (name) => {
    const answer = await service.call('POST', '/v1/models:invoke', { body: golden(name), tenant: 'tnt_demo' });
    expect(answer.status).toBe(200);
    expect(answer.body.response.status).toBe('ok');
  });

  it('embeds as numbers and as base64 of the same 32-bit floats', async () => {
    const request = (encoding_format: string) => ({ request: { request_id: newId('req'), operation: 'embed', model_ref: 'builtin-embed-1', input: { texts: ['battery drains', 'late parcel'], encoding_format } } });
    const floats = (await service.call('POST', '/v1/models:invoke', { body: request('float') })).body.response.output.embeddings;
    const packed = (await service.call('POST', '/v1/models:invoke', { body: request('base64') })).body.response.output.embeddings;
    expect(floats.map((each: { index: number }) => each.index)).toEqual([0, 1]);
    const bytes = Buffer.from(packed[1].vector, 'base64');
    expect(bytes.length).toBe(floats[1].vector.length * 4);
    expect(bytes.readFloatLE(40)).toBeCloseTo(floats[1].vector[10], 6);
  });

  it('serves the flat form with mirrors beside the response', async () => {
    const answer = await service.call('POST', '/v1/models:invoke', { body: { operation: 'chat', model_id: 'local-stub-llm', input: { text: 'hello world' }, options: {} } });
    expect(answer.status).toBe(200);
    expect(answer.body.usage).toMatchObject({ total_tokens: answer.body.response.usage.total_tokens, provider: 'builtin' });
    expect(answer.body.output).toMatchObject({ type: 'text', text: answer.body.response.output.message.content, echo: 'hello world' });
  });

  it.each([{ operation: 'chat', options: { deny: true } }, { operation: 'deny' }, { operation: 'block' }])('refuses where the flat form asks for it: %j', async (body) => {
    const answer = await service.call('POST', '/v1/models:invoke', { body: { input: { text: 'x' }, ...body } });
    expect(answer.status).toBe(403);
    expect(answer.body.error.code).toBe('policy_blocked');
    expect(answer.body.policy_outcome).toEqual(answer.body.error.details.policy_outcome);
    expect(answer.body.policy_outcome.decision).toBe('blocked');
  });

  it('says which request is wrong, and how', async () => {
    const cases: ReadonlyArray<readonly [body: unknown, status: number, code: string]> = [
      [{}, 400, 'invalid_request'],
      ['{"request":', 400, 'invalid_json'],
      [{ operation: 'translate', input: { text: 'x' } }, 400, 'invalid_request'],
      [{ request: { request_id: newId('req'), operation: 'chat', model_ref: 'tier:balanced', input: { texts: ['x'] } } }, 400, 'invalid_request'],
      [{ ...chat('x'), auth: { tenant_id: 'tnt_demo' } }, 400, 'tenant_mismatch'],
      [chat('x', { model_ref: 'gpt-99' }), 404, 'not_found'],
      [chat('x', { model_ref: 'tier:enormous' }), 404, 'not_found'],
      [chat('x', { model_ref: 'builtin-embed-1' }), 400, 'invalid_request'],
      [chat('x', { requirements: { min_context_tokens: 9_000_000 } }), 409, 'conflict'],
    ];
    for (const [body, status, code] of cases) {
      const answer = await service.call('POST', '/v1/models:invoke', { body });
      expect([answer.status, answer.body.error?.code], JSON.stringify(body)).toEqual([status, code]);
      expect(answer.body.correlation_id).toBeTruthy();
    }
    const unknown = await service.call('POST', '/v1/models:invoke', { body: chat('x', { model_ref: 'gpt-99' }) });
    expect(unknown.body.error.details.reason).toBe('model_not_found');
  });

  it('refuses an unknown tenant, a missing tenant and a missing scope', async () => {
    expect((await service.call('POST', '/v1/models:invoke', { body: chat('x'), tenant: 'tnt_other' })).body.error.code).toBe('tenant_unknown');
    expect((await service.call('POST', '/v1/models:invoke', { body: chat('x'), tenant: null })).status).toBe(401);
    expect((await service.call('POST', '/v1/models:invoke', { body: chat('x'), headers: { 'x-scopes': 'models:list' } })).body.error.code).toBe('forbidden');
  });

  it.each([
    ['tnt_no_builtin', chat('x'), 'backend_not_entitled'],
    ['tnt_nothing', chat('x'), 'tier_not_entitled'],
    ['tnt_nothing', chat('x', { model_ref: 'builtin-fast-1' }), 'tier_not_entitled'],
    ['tnt_denied', { operation: 'chat', model_id: 'local-stub-llm', input: { text: 'hello' } }, 'model_denied'],
    ['tnt_missing_rules', chat('x'), 'rule_set_missing'],
    ['tnt_strict', chat('about project  falcon'), 'denied_term'],
    ['tnt_strict', chat('write to a@b.example'), 'pii.email.blocked'],
    ['tnt_small', chat('word '.repeat(60)), 'max_tokens_per_request_exceeded'],
  ])('blocks for %s: %#', async (tenant, body, reason) => {
    const answer = await service.call('POST', '/v1/models:invoke', { body, tenant });
    expect(answer.status).toBe(403);
    expect(answer.body.error).toMatchObject({ code: 'policy_blocked', retryable: false, details: { reason } });
    expect(answer.body.policy_outcome).toMatchObject({ decision: 'blocked' });
    expect(answer.body.policy_outcome.reasons).toContain(reason);
  });

  it('lowers the answer to what the tenant may have and says so', verifies(['PRS-6.3-05'], async () => {
    const answer = await service.call('POST', '/v1/models:invoke', { body: chat('tell me about yourself', { generation: { max_output_tokens: 500 } }), tenant: 'tnt_small' });
    expect(answer.status).toBe(200);
    expect(answer.body.response.policy_outcome).toMatchObject({ decision: 'allowed', reasons: ['max_output_tokens_lowered'] });
    expect(answer.body.response.usage.total_tokens).toBeLessThanOrEqual(40);
    const tooLong = await service.call('POST', '/v1/models:invoke', { body: chat('word '.repeat(60)), tenant: 'tnt_small' });
    expect([tooLong.status, tooLong.body.error.details.reason]).toEqual([403, 'max_tokens_per_request_exceeded']);
  }));

  it('takes secrets out before the model sees them and reports where', verifies(['HLD-6.2-01'], async () => {
    const answer = await service.call('POST', '/v1/models:invoke', { body: chat(`my card is ${CARD}`) });
    expect(answer.body.response.policy_outcome).toEqual({
      decision: 'redacted', reasons: ['pii.card.redacted', 'rule:secrets-and-cards'], redactions: [{ type: 'card', place: '/input/messages/0/content', count: 1 }],
    });
    expect(answer.body.response.output.message.content).toContain('[redacted:card]');
    expect(JSON.stringify(answer.body)).not.toContain('4111');
  }));

  it('calls an offered tool that is named, in the conversation form of the canonical answer', async () => {
    const answer = await service.call('POST', '/v1/models:invoke', {
      body: { request: { request_id: newId('req'), operation: 'chat', model_ref: 'builtin-fast-1', input: { messages: [{ role: 'user', content: 'call tool.echo with "good morning"' }], tools: [{ tool_id: 'tool.echo', name: 'echo', input_schema: { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] } }] } } },
    });
    expect(answer.body.response.output.tool_calls).toMatchObject([{ tool_id: 'tool.echo', name: 'echo', input: { text: 'good morning' } }]);
  });

  it('checks a text in both forms, and a refusal is a 200', async () => {
    const canonical = await service.call('POST', '/v1/policy:check', { body: golden('E.3-policy-check.request.json'), tenant: 'tnt_demo' });
    expect(canonical).toMatchObject({ status: 200, body: { policy_result: { request_id: 'req_...', decision: 'allowed', reasons: [], redactions: [] } } });
    const refused = await service.call('POST', '/v1/policy/check', { body: { policy_check: { content: { text: 'a@b.example' } } }, tenant: 'tnt_strict' });
    expect(refused).toMatchObject({ status: 200, body: { policy_result: { decision: 'blocked', reasons: ['pii.email.blocked', 'rule:no-mail'] } } });
    const flat = await service.call('POST', '/v1/policy:check', { body: { action: 'models:invoke', resource: { note: 'Project Falcon' } }, tenant: 'tnt_strict' });
    expect(flat).toMatchObject({ status: 200, body: { decision: 'deny', reasons: ['denied_term', 'rule:names'], policy_result: { decision: 'blocked' } } });
    const missing = await service.call('POST', '/v1/policy:check', { body: { policy_check: { content: { text: 'x' }, ruleset: 'pol_strict' } } });
    expect(missing.status).toBe(404);
  });

  it('lists what the tenant may use, in both shapes', async () => {
    const answer = await service.call('GET', '/v1/models');
    expect(answer.body.models.map((model: { model_id: string }) => model.model_id)).toEqual(['builtin-fast-1', 'builtin-balanced-1', 'builtin-premium-1', 'builtin-embed-1']);
    expect(answer.body).toMatchObject({ object: 'list', data: [{ id: 'builtin-fast-1', object: 'model', owned_by: 'builtin' }, {}, {}, {}] });
    expect((await service.call('GET', '/v1/models', { tenant: 'tnt_no_builtin' })).body.models).toEqual([]);
    expect((await service.call('GET', '/v1/models', { tenant: 'tnt_denied' })).body.models).toHaveLength(3);
  });

  it('tells health, readiness with its backends, and metrics', verifies(['PRS-9.2-07'], async () => {
    expect((await service.call('GET', '/v1/health', { tenant: null })).body).toMatchObject({ status: 'ok', service: 'model-policy' });
    const ready = await service.call('GET', '/readyz', { tenant: null });
    expect(ready.status).toBe(200);
    expect(ready.body.checks.map((check: { name: string }) => check.name)).toEqual(['models', 'backend:builtin']);
    const metrics = (await service.call('GET', '/metrics', { tenant: null })).body as string;
    expect(metrics).toMatch(/agentos_model_request_count\{[^}]*outcome="ok"[^}]*\} [1-9]/);
    expect(metrics).toMatch(/agentos_policy_block_count\{[^}]*reason="denied_term"[^}]*\} [1-9]/);
    expect(metrics).toMatch(/agentos_redaction_count\{[^}]*kind="card"[^}]*\} [1-9]/);
    expect(metrics).not.toContain('tnt_');
  }));
});
