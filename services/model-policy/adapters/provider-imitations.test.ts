/** vLLM, TGI and OpenAI itself: where they differ from the plain dialect, which `provider-openai-compatible.test.ts` covers. */
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verifies } from '../../../conformance/http/verifies.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { startModelStub, type ModelStub, type StubAnswer } from '../fixture/model-server-stub.ts';
import { openAiVendor } from '../fixture/vendor-openai.ts';
import { tgiVendor } from '../fixture/vendor-tgi.ts';
import { vllmFlatError, vllmVendor } from '../fixture/vendor-vllm.ts';
import type { ProviderChatRequest, ProviderChunk } from '../ports/provider.ts';
import { openProvider, type OpenProvider, type ProviderKind } from './open-provider.ts';

const AUTH: AuthContext = { tenant_id: 'tnt_test', principal: { principal_id: 'usr', principal_type: 'user' }, scopes: [] };
const ECHO = { tool_id: 'tool.echo', name: 'echo', input_schema: { type: 'object' } };
const OPTIONS = { signal: new AbortController().signal, traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' };
const CALLS = { texts: [], calls: [{ id: 'call_1x', name: 'echo', pieces: ['{"text":', '"x"}'] }], usage: { input: 5, output: 4 }, finish: 'tool_calls' } as const;
const HELLO = { texts: ['Hello', '.'], calls: [], usage: { input: 5, output: 4 }, finish: 'stop' } as const;
const ask = (more: Partial<ProviderChatRequest> = {}): ProviderChatRequest => ({ model: 'm', messages: [{ role: 'user', content: 'hello' }], tools: [], toolChoice: 'auto', ...more });

describe('servers that imitate OpenAI', () => {
  let stub: ModelStub;
  const opened: OpenProvider[] = [];
  const open = (kind: ProviderKind): OpenProvider => {
    const provider = openProvider(kind, { name: kind, baseUrl: stub.baseUrl, timeoutMs: 2_000 });
    opened.push(provider);
    return provider;
  };
  const streamOf = async (provider: OpenProvider, more: Partial<ProviderChatRequest> = {}) => {
    const out: ProviderChunk[] = [];
    for await (const chunk of provider.chatStream(AUTH, ask(more), OPTIONS)) out.push(chunk);
    return out;
  };
  const sent = async (kind: ProviderKind, more: Partial<ProviderChatRequest>) => {
    stub.answer = { kind: 'json', body: openAiVendor.whole(HELLO) };
    await open(kind).chat(AUTH, ask(more), OPTIONS);
    return stub.calls.at(-1)!.body;
  };
  beforeEach(async () => { stub = await startModelStub(); });
  afterEach(async () => {
    await stub.close();
    for (const each of opened.splice(0)) await each.close();
  });

  it('are asked for everything that they know', async () => {
    const more: Partial<ProviderChatRequest> = {
      temperature: 0.2, topP: 0.9, maxOutputTokens: 60, stop: ['END'], seed: 7, frequencyPenalty: 0.5, presencePenalty: -0.5, tools: [ECHO], toolChoice: 'required', parallelToolCalls: false,
      responseFormat: { type: 'json_schema', name: 'an answer', schema: { type: 'object' }, strict: true },
    };
    const plain = { temperature: 0.2, top_p: 0.9, stop: ['END'], seed: 7, frequency_penalty: 0.5, presence_penalty: -0.5, tool_choice: 'required', parallel_tool_calls: false };
    const schema = { type: 'json_schema', json_schema: { name: 'an_answer', schema: { type: 'object' }, strict: true } };
    expect(await sent('openai', more)).toMatchObject({ ...plain, max_completion_tokens: 60, response_format: schema });
    expect(await sent('openai', more)).not.toHaveProperty('max_tokens');
    for (const kind of ['openai_compatible', 'vllm'] as const) expect(await sent(kind, more)).toMatchObject({ ...plain, max_tokens: 60, response_format: schema });
    expect(await sent('tgi', more)).toMatchObject({ ...plain, max_tokens: 60, response_format: { type: 'json_object', value: { type: 'object' } } });
    expect(await sent('tgi', { responseFormat: { type: 'json_object' } })).toMatchObject({ response_format: { type: 'json_object', value: { type: 'object' } } });
    expect(await sent('tgi', { responseFormat: { type: 'text' } })).not.toHaveProperty('response_format');
    expect(await sent('vllm', { responseFormat: { type: 'json_object' } })).toMatchObject({ response_format: { type: 'json_object' } });
  });

  it('are sent arguments that were no JSON as the model wrote them', async () => {
    const body = await sent('openai', { messages: [{ role: 'assistant', content: null, tool_calls: [{ tool_call_id: 'c', tool_id: 'tool.echo', name: 'echo', input: '{"a": unfin' }] }, { role: 'tool', tool_call_id: 'c', content: 'that was no JSON' }] });
    expect(body.messages[0].tool_calls[0].function.arguments).toBe('{"a": unfin');
  });

  it('are asked for usage in streams, until one refuses the member', async () => {
    stub.answer = ({ body }) => (body.stream_options === undefined
      ? { kind: 'stream', contentType: 'text/event-stream', chunks: openAiVendor.frames({ ...HELLO, usage: null }) }
      : { kind: 'json', status: 422, body: { error: { message: 'Extra inputs are not permitted: stream_options', type: 'invalid_request_error' } } });
    const provider = open('openai_compatible');
    for (const expected of [[true, false], [false]]) {
      stub.calls.length = 0;
      expect((await streamOf(provider)).at(-2)).toMatchObject({ type: 'usage', usage: { estimated: true } });
      expect(stub.calls.map(({ body }) => body.stream_options?.include_usage === true)).toEqual(expected);
    }
  });

  it('are asked once where they refuse something else', async () => {
    stub.answer = { kind: 'json', status: 400, body: { error: { message: 'temperature is out of range' } } };
    await expect(streamOf(open('openai_compatible'))).rejects.toMatchObject({ code: 'invalid_request' });
    expect(stub.calls).toHaveLength(1);
  });

  it('vLLM: thoughts are left out, and a call that ends with stop is a call', async () => {
    stub.answer = { kind: 'stream', contentType: 'text/event-stream', chunks: vllmVendor.frames(CALLS) };
    expect(await streamOf(open('vllm'), { tools: [ECHO] })).toEqual([
      { type: 'tool_call', index: 0, id: 'call_1x', toolId: 'tool.echo', name: 'echo', argumentsDelta: '{"text":' }, { type: 'tool_call', index: 0, argumentsDelta: '"x"}' },
      { type: 'usage', usage: { inputTokens: 5, outputTokens: 4 } }, { type: 'finish', reason: 'tool_calls' },
    ]);
  });

  it('vLLM: models come with their context, embedding models by their names', async () => {
    stub.answer = { kind: 'json', body: vllmVendor.models(['Qwen/Qwen2.5-7B-Instruct', 'BAAI/bge-m3', 'intfloat/e5-mistral-7b', 'qwen-lora'], { path: '', method: '', headers: {}, remotePort: 0, body: null }) };
    expect((await open('vllm').models()).map((model) => [model.capabilities[0], model.contextWindowTokens])).toEqual([['chat', 32_768], ['embed', 32_768], ['embed', 32_768], ['chat', 32_768]]);
  });

  it('TGI: a call whose arguments are an object and whose id is none', async () => {
    stub.answer = { kind: 'json', body: tgiVendor.whole(CALLS) };
    const provider = open('tgi');
    const whole = await provider.chat(AUTH, ask({ tools: [ECHO] }), OPTIONS);
    expect(whole).toMatchObject({ finishReason: 'tool_calls', toolCalls: [{ tool_call_id: expect.stringMatching(/^tcall_/), tool_id: 'tool.echo', input: { text: 'x' } }] });
    stub.answer = { kind: 'stream', contentType: 'text/event-stream', chunks: tgiVendor.frames(CALLS) };
    expect((await streamOf(provider, { tools: [ECHO] }))[0]).toMatchObject({ type: 'tool_call', id: whole.toolCalls[0]!.tool_call_id, argumentsDelta: '{"text":' });
  });

  it('TGI: its one model stands at /info, and in later versions in the list', async () => {
    stub.answer = (call) => ({ kind: 'json', body: tgiVendor.models(['listed'], call) });
    const provider = open('tgi');
    expect(await provider.models()).toEqual([{ modelId: 'meta-llama/Llama-3.1-8B-Instruct', capabilities: ['chat'], contextWindowTokens: 8192 }]);
    stub.answer = (call) => (call.path === '/info' ? tgiVendor.refusal(404) : { kind: 'json', body: tgiVendor.models(['listed'], call) });
    expect(await provider.models()).toEqual([{ modelId: 'listed', capabilities: ['chat'] }]);
  });

  it.each<[ProviderKind, string, StubAnswer, Record<string, unknown>]>([
    ['vllm', 'a flat error', { kind: 'json', status: 400, body: vllmFlatError('maximum context length is 4096 tokens', 400) }, { code: 'invalid_request', message: expect.stringContaining('4096') }],
    ['vllm', 'a wrapped one', vllmVendor.refusal(404), { code: 'not_found' }],
    ['tgi', 'overload', { kind: 'json', status: 429, body: { error: 'Model is overloaded', error_type: 'overloaded' } }, { code: 'rate_limited', retryAfterSeconds: undefined }],
    ['tgi', 'validation', { kind: 'json', status: 422, body: { error: 'Input validation error: `inputs` must have less than 8191 tokens', error_type: 'validation' } }, { code: 'invalid_request', details: { reason: 'validation' } }],
    ['tgi', 'a failed generation', { kind: 'json', status: 424, body: { error: 'Request failed during generation', error_type: 'generation' } }, { code: 'dependency_unavailable', retryable: true }],
    ['openai', 'a used-up account', { kind: 'json', status: 429, body: { error: { message: 'You exceeded your current quota, please check your plan and billing details.', type: 'insufficient_quota', code: 'insufficient_quota' } } }, { code: 'dependency_unavailable', retryable: false }],
  ])('%s: maps %s', async (kind, _name, answer, expected) => {
    stub.answer = answer;
    expect(await open(kind).chat(AUTH, ask(), OPTIONS).then(() => null, (error: unknown) => error)).toMatchObject(expected);
    expect(await streamOf(open(kind)).then(() => null, (error: unknown) => error)).toMatchObject(expected);
  });

  it('OpenAI: what is neither chat nor embedding is not listed', async () => {
    stub.answer = { kind: 'json', body: openAiVendor.models(['gpt-4o', 'whisper-1', 'dall-e-3', 'text-embedding-3-small', 'gpt-4o-realtime-preview', 'omni-moderation-latest'], { path: '', method: '', headers: {}, remotePort: 0, body: null }) };
    expect((await open('openai').models()).map((model) => model.modelId)).toEqual(['gpt-4o', 'text-embedding-3-small']);
  });

  it('every kind that a models file may name can be opened, each by an adapter of its own', verifies(['PRS-6.3-01'], () => {
    const schema = JSON.parse(readFileSync(new URL('../../../specs/schemas/config/models-config.schema.json', import.meta.url), 'utf8')) as { $defs: { ModelsConfigBackend: { properties: { kind: { enum: ProviderKind[] } } } } };
    const kinds = schema.$defs.ModelsConfigBackend.properties.kind.enum;
    opened.push(...kinds.map((kind) => openProvider(kind, { name: kind, baseUrl: stub.baseUrl, region: 'us-east-1', timeoutMs: 1_000 })));
    expect(opened.map((provider) => provider.capabilities().adapter)).toEqual(kinds.map((kind) => kind.replaceAll('_', '-')));
    for (const provider of opened) expect(provider.capabilities().features).toEqual(expect.arrayContaining(['chat', 'stream', 'tools']));
  }));

  it.each<[ProviderKind, string, string]>([
    ['anthropic', '', '/v1/messages'], ['anthropic', '/', '/v1/messages'], ['anthropic', '/proxy/v1/', '/proxy/v1/messages'],
    ['ollama', '', '/api/chat'], ['ollama', '/v1', '/api/chat'], ['vllm', '/v1/', '/v1/chat/completions'], ['openai_compatible', '/api/v3', '/api/v3/chat/completions'],
  ])('%s is found under the base URL with the path "%s" at %s', async (kind, path, expected) => {
    const provider = openProvider(kind, { name: kind, baseUrl: `${new URL(stub.baseUrl).origin}${path}`, timeoutMs: 1_000 });
    opened.push(provider);
    stub.answer = { kind: 'json', status: 503, body: {} };
    await provider.chat(AUTH, ask(), OPTIONS).catch(() => null);
    expect(stub.calls[0]!.path).toBe(expected);
  });

  it.each<[ProviderKind, string]>([['vllm', 'the base URL is missing'], ['tgi', 'the base URL is missing'], ['aws_bedrock', 'the region is missing']])('%s needs its settings', (kind, message) => {
    expect(() => openProvider(kind, { name: kind, timeoutMs: 1 })).toThrow(message);
  });
});
