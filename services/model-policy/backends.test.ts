import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verifies } from '../../conformance/http/verifies.ts';
import { completion, startModelStub, type ModelStub } from './fixture/model-server-stub.ts';
import { ollamaUrl, openBackends, type Backends } from './backends.ts';
import { startModelPolicy, type RunningModelPolicy } from './fixture/running-model-policy.ts';
import { loadConfig } from '../platform/config/load.ts';
import { createLogger } from '../platform/telemetry/logger.ts';

const log = createLogger({ service: 'model-policy', level: 'silent' });
const chat = (model_ref: string, more: Record<string, unknown> = {}) => ({ request: { request_id: 'r', operation: 'chat', model_ref, input: { messages: [{ role: 'user', content: 'hello there' }] }, ...more } });

describe('openBackends', () => {
  let stub: ModelStub;
  const opened: Backends[] = [];
  const open = async (env: Record<string, string>) => {
    const backends = await openBackends(loadConfig({ env, envFile: null }).values, log);
    opened.push(backends);
    return backends;
  };
  const shown = (backends: Backends) => backends.catalogue.models.map((model) => `${model.backend}/${model.modelId}:${model.tiers.join('+')}`);
  beforeEach(async () => { stub = await startModelStub(); });
  afterEach(async () => {
    for (const backends of opened.splice(0)) await backends.close();
    await stub.close();
  });

  it('has the built-in model alone where nothing is configured', async () => {
    const backends = await open({});
    expect(shown(backends)).toEqual(['builtin/builtin-fast-1:fast', 'builtin/builtin-balanced-1:balanced', 'builtin/builtin-premium-1:premium', 'builtin/builtin-embed-1:fast+balanced+premium']);
    expect(backends.catalogue.named('local-stub-llm')[0]!.modelId).toBe('builtin-balanced-1');
  });

  it('asks a server for its models and lets the first of each kind serve every tier', async () => {
    stub.answer = { kind: 'json', body: { data: [{ id: 'qwen' }, { id: 'llama' }, { id: 'nomic-embed-text' }] } };
    const backends = await open({ AGENTOS_MODEL_VLLM_BASE_URL: stub.baseUrl });
    expect(shown(backends).slice(0, 3)).toEqual(['vllm/qwen:fast+balanced+premium', 'vllm/llama:', 'vllm/nomic-embed-text:fast+balanced+premium']);
    expect(backends.catalogue.models[0]!.price).toEqual({ inputUsdPerMillion: 0, outputUsdPerMillion: 0 });
  });

  it('takes the list of the configuration in place of asking, and puts the default model first', async () => {
    const backends = await open({ OPENAI_BASE_URL: stub.baseUrl, AGENTOS_MODEL_OPENAI_MODELS: 'balanced=a@1/2,premium=b', AGENTOS_MODEL_DEFAULT: 'b' });
    expect(shown(backends).slice(0, 2)).toEqual(['openai/b:premium+balanced', 'openai/a:balanced']);
    expect(stub.calls).toHaveLength(0);
  });

  it('starts without a backend that does not answer', async () => {
    stub.answer = { kind: 'hang_up' };
    expect(shown(await open({ AGENTOS_MODEL_TGI_BASE_URL: stub.baseUrl }))).toHaveLength(4);
  });

  it('goes on at SIGHUP, asking its servers for their models again, and listens no longer once closed', async () => {
    const before = process.listenerCount('SIGHUP');
    stub.answer = { kind: 'json', body: { data: [{ id: 'qwen' }] } };
    const backends = await open({ AGENTOS_MODEL_VLLM_BASE_URL: stub.baseUrl });
    expect(process.listenerCount('SIGHUP')).toBe(before + 1);
    stub.answer = { kind: 'json', body: { data: [{ id: 'llama' }] } };
    process.emit('SIGHUP');
    await expect.poll(() => shown(backends)[0]).toBe('vllm/llama:fast+balanced+premium');
    await opened.pop()!.close();
    expect(process.listenerCount('SIGHUP')).toBe(before);
  });

  it('refuses a list that it cannot read, by the name of the variable', async () => {
    await expect(open({ OPENAI_API_KEY: 'k', AGENTOS_MODEL_OPENAI_MODELS: 'huge=x' })).rejects.toMatchObject({ variable: 'AGENTOS_MODEL_OPENAI_MODELS', message: expect.stringContaining("'huge=x'") });
  });

  it('opens the other vendors by the variables that their own tools read', async () => {
    stub.answer = { kind: 'json', body: { data: [{ id: 'claude-opus-9', type: 'model' }, { id: 'claude-sonnet-9', type: 'model' }, { id: 'claude-sonnet-8', type: 'model' }] } };
    const backends = await open({
      ANTHROPIC_API_KEY: 'sk-ant', ANTHROPIC_BASE_URL: new URL(stub.baseUrl).origin,
      AWS_REGION: 'eu-central-1', AGENTOS_MODEL_BEDROCK_MODELS: 'premium=anthropic.claude-3-5-sonnet-20240620-v1:0@3/15#200000,embed=amazon.titan-embed-text-v2:0',
    });
    expect(shown(backends).slice(0, 5)).toEqual([
      'anthropic/claude-opus-9:premium', 'anthropic/claude-sonnet-9:balanced', 'anthropic/claude-sonnet-8:',
      'aws_bedrock/anthropic.claude-3-5-sonnet-20240620-v1:0:premium', 'aws_bedrock/amazon.titan-embed-text-v2:0:fast+balanced+premium',
    ]);
    expect(stub.calls[0]).toMatchObject({ path: '/v1/models?limit=1000', headers: { 'x-api-key': 'sk-ant' } });
    expect(backends.providers.map((provider) => provider.capabilities().adapter)).toEqual(['anthropic', 'aws-bedrock', 'builtin']);
  });

  it('knows OpenAI itself from a server that imitates it', async () => {
    const adapters = async (env: Record<string, string>) => (await open(env)).providers.map((provider) => provider.capabilities().adapter);
    expect(await adapters({ OPENAI_API_KEY: 'k' })).toEqual(['openai', 'builtin']);
    expect(await adapters({ OPENAI_API_KEY: 'k', OPENAI_BASE_URL: stub.baseUrl, AGENTOS_MODEL_OPENAI_MODELS: 'x' })).toEqual(['openai-compatible', 'builtin']);
  });

  it.each([
    [{ OPENAI_BASE_URL: 'http://user:pass@127.0.0.1/v1' }, 'OPENAI_BASE_URL', 'holds a user or password'],
    [{ AGENTOS_MODEL_VLLM_BASE_URL: 'ftp://127.0.0.1/v1' }, 'AGENTOS_MODEL_VLLM_BASE_URL', 'must be http or https'],
    [{ ANTHROPIC_API_KEY: 'sk-ant\nx' }, 'ANTHROPIC_API_KEY', 'characters that no key has'],
    [{ AGENTOS_MODEL_BEDROCK_MODELS: 'x' }, 'AWS_REGION', 'the region is missing'],
    [{ AGENTOS_MODEL_BEDROCK_MODELS: 'x', AWS_REGION: 'Frankfurt' }, 'AWS_REGION', 'us-east-1'],
  ] as [Record<string, string>, string, string][])('refuses %j by the name of the variable', async (env, variable, message) => {
    const error = await open(env).then(() => null, (thrown: unknown) => thrown as Error);
    expect(error).toMatchObject({ variable, message: expect.stringContaining(message) });
    expect(error!.message).not.toMatch(/pass@|sk-ant/);
  });

  it.each([['127.0.0.1', 'http://127.0.0.1:11434'], ['0.0.0.0:1234', 'http://127.0.0.1:1234'], ['https://ollama.example/base/', 'https://ollama.example/base']])('finds Ollama at %s', (host, url) => {
    expect(ollamaUrl(host)).toBe(url);
  });
});

describe('routing to a real backend over HTTP', () => {
  let stub: ModelStub;
  let service: RunningModelPolicy;
  const start = async (env: Record<string, string> = {}) => {
    service = await startModelPolicy({ env: { OPENAI_BASE_URL: stub.baseUrl, AGENTOS_MODEL_OPENAI_MODELS: 'fast+balanced=gpt-x@1/2#16000', AGENTOS_MODEL_TIMEOUT_MS: '500', ...env }, tenants: [{ tenant_id: 'tnt_test' }, { tenant_id: 'tnt_offline', entitlements: { model_backends_allowed: ['builtin'] } }] });
  };
  beforeEach(async () => { stub = await startModelStub(); });
  afterEach(async () => {
    await service.close();
    await stub.close();
  });

  it('serves by the backend and accounts for what it said', verifies(['PRS-9.2-06'], async () => {
    await start();
    const { body } = await service.call('POST', '/v1/models:invoke', { body: chat('tier:balanced') });
    expect(body.response).toMatchObject({
      output: { message: { content: 'Hello.' } }, usage: { input_tokens: 19, output_tokens: 10, total_tokens: 29, cost_usd: 0.000039 },
      route: { backend: 'openai', model: 'gpt-x', node: new URL(stub.baseUrl).host, fallback_used: false },
    });
    const metrics = (await service.call('GET', '/metrics', { tenant: null })).body as string;
    expect(metrics).toMatch(/agentos_token_usage\{[^}]*direction="input"[^}]*\} 19/);
    expect(metrics).toMatch(/agentos_token_usage\{[^}]*direction="output"[^}]*\} 10/);
    expect(metrics).toMatch(/agentos_cost_estimate_usd\{[^}]*model="gpt-x"[^}]*\} 0\.000039/);
  }));

  it('says that a backend cannot be reached, and not where it is', async () => {
    await start();
    await stub.close();
    const ready = await service.call('GET', '/readyz', { tenant: null });
    expect(ready.body.checks).toContainEqual(expect.objectContaining({ name: 'backend:openai', status: 'unavailable', detail: 'unreachable' }));
    expect(JSON.stringify(ready.body)).not.toMatch(new RegExp(`127\\.0\\.0\\.1|:${new URL(stub.baseUrl).port}|ECONN`));
    stub = await startModelStub();
  });

  it('redacts before the text leaves and after it comes back', verifies(['HLD-6.2-01'], async () => {
    await start();
    stub.answer = completion({ role: 'assistant', content: 'your key is AKIAIOSFODNN7EXAMPLE', refusal: null });
    const { body } = await service.call('POST', '/v1/models:invoke', { body: { request: { ...chat('tier:fast').request, input: { messages: [{ role: 'user', content: 'card 4111 1111 1111 1111' }] } } } });
    expect(JSON.stringify(stub.calls[0]!.body)).not.toContain('4111');
    expect(body.response.output.message.content).toBe('your key is [redacted:secret]');
    expect(body.response.policy_outcome.redactions.map((each: { place: string }) => each.place)).toEqual(['/input/messages/0/content', '/output/message/content']);
  }));

  it('never sends anything to a backend that the tenant may not use', async () => {
    await start();
    const { body } = await service.call('POST', '/v1/models:invoke', { body: chat('tier:balanced'), tenant: 'tnt_offline' });
    expect(body.response.route.backend).toBe('builtin');
    expect((await service.call('POST', '/v1/models:invoke', { body: chat('gpt-x'), tenant: 'tnt_offline' })).status).toBe(403);
    expect(stub.calls).toHaveLength(0);
  });

  it('tells a failure as such; the built-in model stands in only where it is told to', verifies(['PRS-6.3-07'], async () => {
    await start();
    stub.answer = { kind: 'json', status: 503, headers: { 'retry-after': '4' }, body: {} };
    const refused = await service.call('POST', '/v1/models:invoke', { body: chat('tier:balanced') });
    expect(refused).toMatchObject({ status: 503, body: { error: { code: 'dependency_unavailable', retryable: true } } });
    expect(refused.headers.get('retry-after')).toBe('4');
    await service.close();
    await start({ AGENTOS_MODEL_BUILTIN_FALLBACK: 'on' });
    const served = await service.call('POST', '/v1/models:invoke', { body: chat('tier:balanced') });
    expect(served).toMatchObject({ status: 200, body: { response: { route: { backend: 'builtin', fallback_used: true } } } });
  }));

  it('maps a slow backend to 504, load to 429, and a refused request to 400', async () => {
    await start();
    stub.answer = { kind: 'silent' };
    expect((await service.call('POST', '/v1/models:invoke', { body: chat('tier:balanced') })).status).toBe(504);
    stub.answer = { kind: 'json', status: 400, body: { error: { message: 'too long', code: 'context_length_exceeded' } } };
    expect((await service.call('POST', '/v1/models:invoke', { body: chat('tier:balanced') })).status).toBe(400);
    stub.answer = { kind: 'json', status: 429, headers: { 'retry-after': '2' }, body: {} };
    const loaded = await service.call('POST', '/v1/models:invoke', { body: chat('tier:balanced') });
    expect([loaded.status, loaded.headers.get('retry-after')]).toEqual([429, '2']);
    stub.answer = completion({ role: 'assistant', content: 'Hello.', refusal: null });
    const calls = stub.calls.length;
    expect((await service.call('POST', '/v1/models:invoke', { body: chat('tier:balanced') })).body.error.details.reason, 'it said when to come back').toBe('backend_resting');
    expect(stub.calls).toHaveLength(calls);
  });

  it('reports a backend that is down and stays ready while another can serve', verifies(['PRS-9.2-08'], async () => {
    await start();
    stub.answer = { kind: 'json', status: 500, body: {} };
    const ready = await service.call('GET', '/readyz', { tenant: null });
    expect(ready.status).toBe(200);
    expect(ready.body.checks).toMatchObject([{ name: 'models', status: 'ok' }, { name: 'backend:openai', status: 'unavailable', detail: 'failed' }, { name: 'backend:builtin', status: 'ok' }]);
    expect(JSON.stringify(ready.body)).not.toContain(new URL(stub.baseUrl).port);
    await service.call('POST', '/v1/models:invoke', { body: chat('builtin-fast-1') });
    const metrics = (await service.call('GET', '/metrics', { tenant: null })).body as string;
    expect(metrics).toMatch(/agentos_backend_health\{[^}]*backend="openai"[^}]*\} 0/);
    expect(metrics).toMatch(/agentos_backend_health\{[^}]*backend="builtin"[^}]*\} 1/);
    expect(metrics).toMatch(/agentos_route_distribution\{[^}]*backend="builtin"[^}]*\} 1/);
  }));
});
