import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ChatMessage } from '../../../generated/types/index.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { startModelStub, type ModelStub, type StubAnswer } from '../fixture/model-server-stub.ts';
import { anthropicError, anthropicVendor, event } from '../fixture/vendor-anthropic.ts';
import type { ProviderChatRequest, ProviderChunk } from '../ports/provider.ts';
import { AnthropicProvider } from './provider-anthropic.ts';

const AUTH: AuthContext = { tenant_id: 'tnt_test', principal: { principal_id: 'usr', principal_type: 'user' }, scopes: [] };
const ECHO = { tool_id: 'tool.echo', name: 'echo', description: 'Repeats.', input_schema: { type: 'object', properties: { text: { type: 'string' } } } };
const HELLO = { texts: ['Hello.'], calls: [], usage: { input: 12, output: 6 }, finish: 'stop' } as const;
const ask = (more: Partial<ProviderChatRequest> = {}): ProviderChatRequest => ({ model: 'claude', messages: [{ role: 'user', content: 'hello' }], tools: [], toolChoice: 'auto', ...more });

describe('AnthropicProvider', () => {
  let stub: ModelStub;
  let provider: AnthropicProvider;
  beforeEach(async () => {
    stub = await startModelStub();
    stub.answer = { kind: 'json', body: anthropicVendor.whole(HELLO) };
    provider = new AnthropicProvider({ backend: 'anthropic', baseUrl: stub.baseUrl, apiKey: { kind: 'value', value: 'sk-ant-test' }, timeoutMs: 1_000 });
  });
  afterEach(async () => {
    await stub.close();
    await provider.close();
  });
  const options = { signal: new AbortController().signal, traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' };
  const chat = (more: Partial<ProviderChatRequest> = {}) => provider.chat(AUTH, ask(more), options);
  const sent = async (more: Partial<ProviderChatRequest> = {}) => {
    await chat(more);
    return stub.calls.at(-1)!.body;
  };

  it('sends a message with its version and key', async () => {
    expect(await chat({ maxOutputTokens: 60, temperature: 0.2 })).toEqual({ message: { role: 'assistant', content: 'Hello.' }, toolCalls: [], usage: { inputTokens: 12, outputTokens: 6 }, finishReason: 'stop' });
    expect(stub.calls[0]).toMatchObject({ method: 'POST', path: '/v1/messages', headers: { 'x-api-key': 'sk-ant-test', 'anthropic-version': '2023-06-01' } });
    expect(stub.calls[0]!.headers.authorization).toBeUndefined();
    expect(stub.calls[0]!.body).toEqual({ model: 'claude', max_tokens: 60, messages: [{ role: 'user', content: [{ type: 'text', text: 'hello' }] }], temperature: 0.2 });
  });

  it('sets the limit that the API wants where a request has none', async () => {
    expect((await sent()).max_tokens).toBe(4096);
    expect((await sent({ maxOutputTokens: Number.POSITIVE_INFINITY })).max_tokens).toBe(4096);
  });

  it('keeps instructions apart, merges turns, and answers tools in the turn after the call', async () => {
    const messages: ChatMessage[] = [
      { role: 'system', content: 'be brief' }, { role: 'user', content: 'one' }, { role: 'user', content: 'two' },
      { role: 'assistant', content: null, tool_calls: [{ tool_call_id: 'a.1', tool_id: 'tool.echo', name: 'echo', input: { text: 'x' } }, { tool_id: 'tool.echo', name: 'echo', input: 'not { json' }] },
      { role: 'tool', tool_call_id: 'a.1', content: 'x' }, { role: 'tool', content: 'y' },
      { role: 'system', content: 'in German' }, { role: 'assistant', content: '  ' }, { role: 'user', content: 'go on' },
    ];
    const body = await sent({ messages, tools: [ECHO] });
    expect(body.system).toBe('be brief\n\nin German');
    expect(body.messages).toEqual([
      { role: 'user', content: [{ type: 'text', text: 'one' }, { type: 'text', text: 'two' }] },
      { role: 'assistant', content: [{ type: 'tool_use', id: 'a_1', name: 'echo', input: { text: 'x' } }, { type: 'tool_use', id: 'call_1', name: 'echo', input: { arguments: 'not { json' } }] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a_1', content: 'x' }, { type: 'tool_result', tool_use_id: 'call_1', content: 'y' }, { type: 'text', text: 'go on' }] },
    ]);
  });

  it('speaks where there are instructions alone', async () => {
    expect(await sent({ messages: [{ role: 'system', content: 'say hello' }] })).toMatchObject({ messages: [{ role: 'user', content: [{ type: 'text', text: 'say hello' }] }] });
  });

  it.each<[Partial<ProviderChatRequest>, unknown]>([
    [{ toolChoice: 'auto' }, undefined], [{ toolChoice: 'none' }, { type: 'none' }], [{ toolChoice: 'required' }, { type: 'any' }], [{ toolChoice: 'tool.echo' }, { type: 'tool', name: 'echo' }],
    [{ parallelToolCalls: false }, { type: 'auto', disable_parallel_tool_use: true }],
  ])('says %j in its words', async (more, choice) => {
    const body = await sent({ tools: [ECHO], ...more });
    expect(body.tool_choice).toEqual(choice);
    expect(body.tools).toEqual([{ name: 'echo', description: 'Repeats.', input_schema: ECHO.input_schema }]);
  });

  it('passes on what the API knows, in its bounds, and leaves out what it would refuse', async () => {
    const body = await sent({ temperature: 1.7, topP: 0.9, stop: ['END', ' \n'], seed: 7, frequencyPenalty: 1, responseFormat: { type: 'json_schema', name: 'x', schema: { type: 'object' } } });
    expect(body).toMatchObject({ temperature: 1, stop_sequences: ['END'], output_config: { format: { type: 'json_schema', schema: { type: 'object' } } } });
    expect(Object.keys(body).sort()).toEqual(['max_tokens', 'messages', 'model', 'output_config', 'stop_sequences', 'temperature']);
    expect(await sent({ topP: 0.9, responseFormat: { type: 'json_object' } })).toMatchObject({ top_p: 0.9 });
  });

  it('counts what came from the cache, and leaves thoughts out', async () => {
    stub.answer = { kind: 'json', body: { content: [{ type: 'thinking', thinking: 'hm', signature: 'x' }, { type: 'text', text: 'a' }, { type: 'redacted_thinking', data: 'x' }, { type: 'text', text: 'b' }], stop_reason: 'refusal', usage: { input_tokens: 3, cache_creation_input_tokens: 10, cache_read_input_tokens: 100, output_tokens: 2 } } };
    expect(await chat()).toEqual({ message: { role: 'assistant', content: 'ab' }, toolCalls: [], usage: { inputTokens: 113, outputTokens: 2 }, finishReason: 'content_filter' });
  });

  it('reads a stream with pings, cache counts and thoughts', async () => {
    const frames = [
      event({ type: 'message_start', message: { usage: { input_tokens: 3, cache_read_input_tokens: 100, output_tokens: 1 } } }),
      event({ type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '' } }),
      event({ type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'hm' } }),
      event({ type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: 'x' } }),
      event({ type: 'content_block_start', index: 1, content_block: { type: 'text', text: '' } }),
      event({ type: 'ping' }), event({ type: 'a_type_of_tomorrow' }),
      event({ type: 'content_block_delta', index: 1, delta: { type: 'text_delta', text: 'hi' } }),
      event({ type: 'message_delta', delta: { stop_reason: 'max_tokens' }, usage: { input_tokens: null, output_tokens: 40 } }),
      event({ type: 'message_stop' }),
    ];
    stub.answer = { kind: 'stream', contentType: 'text/event-stream', chunks: frames };
    const chunks: ProviderChunk[] = [];
    for await (const chunk of provider.chatStream(AUTH, ask(), options)) chunks.push(chunk);
    expect(stub.calls[0]!.body.stream).toBe(true);
    expect(stub.calls[0]!.headers.accept).toBe('text/event-stream');
    expect(chunks).toEqual([{ type: 'content', text: 'hi' }, { type: 'usage', usage: { inputTokens: 103, outputTokens: 40 } }, { type: 'finish', reason: 'length' }]);
  });

  it.each<[string, StubAnswer, Record<string, unknown>]>([
    ['529', anthropicVendor.refusal(503), { code: 'dependency_unavailable', retryable: true, details: { backend_status: 529, backend_code: 'overloaded_error', reason: 'backend_overloaded' } }],
    ['529 with Retry-After', { kind: 'json', status: 529, headers: { 'retry-after': '4' }, body: anthropicError('overloaded_error', 'Overloaded') }, { code: 'dependency_unavailable', retryAfterSeconds: 4 }],
    ['429', anthropicVendor.refusal(429), { code: 'rate_limited', retryAfterSeconds: 2 }],
    ['429 without headers', { kind: 'json', status: 429, body: anthropicError('rate_limit_error', 'slow down') }, { code: 'rate_limited', retryAfterSeconds: undefined }],
    ['an empty account, told as 400', { kind: 'json', status: 400, body: anthropicError('invalid_request_error', 'Your credit balance is too low to access the Anthropic API.') }, { code: 'dependency_unavailable', retryable: false, details: { reason: 'backend_quota_exhausted' } }],
    ['402', { kind: 'json', status: 402, body: anthropicError('billing_error', 'x') }, { code: 'dependency_unavailable', retryable: false }],
    ['400', { kind: 'json', status: 400, body: anthropicError('invalid_request_error', 'prompt is too long: 210000 tokens > 200000 maximum') }, { code: 'invalid_request', message: expect.stringContaining('210000 tokens') }],
    ['401', { kind: 'json', status: 401, body: anthropicError('authentication_error', 'invalid x-api-key') }, { code: 'dependency_unavailable', retryable: false, details: { reason: 'backend_unauthorized' } }],
    ['404', anthropicVendor.refusal(404), { code: 'not_found' }],
    ['413', { kind: 'json', status: 413, body: anthropicError('request_too_large', 'x') }, { code: 'invalid_request' }],
    ['500', { kind: 'json', status: 500, body: anthropicError('api_error', 'x') }, { code: 'dependency_unavailable', retryable: true }],
    ['504', { kind: 'json', status: 504, body: anthropicError('timeout_error', 'x') }, { code: 'timeout' }],
    ['no content', { kind: 'json', body: { type: 'message' } }, { code: 'dependency_unavailable', details: { reason: 'bad_answer' } }],
  ])('maps %s', async (_name, answer, expected) => {
    stub.answer = answer;
    expect(await chat().then(() => null, (error: unknown) => error)).toMatchObject(expected);
    expect(stub.calls).toHaveLength(1);
  });

  it('lists its models', async () => {
    stub.answer = { kind: 'json', body: { data: [{ type: 'model', id: 'claude-x', max_input_tokens: 200_000, max_tokens: 64_000 }, { type: 'model', id: 'claude-y' }, {}], has_more: false } };
    expect(await provider.models()).toEqual([{ modelId: 'claude-x', capabilities: ['chat'], contextWindowTokens: 200_000, maxOutputTokens: 64_000 }, { modelId: 'claude-y', capabilities: ['chat'] }]);
  });
});
