import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { ProviderChatRequest } from '../ports/provider.ts';
import { completion, startModelStub, type ModelStub, type StubAnswer } from '../fixture/model-server-stub.ts';
import { OpenAiCompatibleProvider } from './provider-openai-compatible.ts';

const AUTH: AuthContext = { tenant_id: 'tnt_test', principal: { principal_id: 'usr', principal_type: 'user' }, scopes: [] };
const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const ECHO = { tool_id: 'tool.echo', name: 'echo', description: 'Repeats.', input_schema: { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] } };
const ask = (more: Partial<ProviderChatRequest> = {}): ProviderChatRequest => ({ model: 'm', messages: [{ role: 'user', content: 'hello' }], tools: [], toolChoice: 'auto', ...more });
const errorBody = (code: string | null, type = 'invalid_request_error') => ({ error: { message: 'said by the server', type, param: null, code } });

describe('OpenAiCompatibleProvider', () => {
  let stub: ModelStub;
  let provider: OpenAiCompatibleProvider;
  beforeEach(async () => {
    stub = await startModelStub();
    provider = new OpenAiCompatibleProvider({ backend: 'openai', baseUrl: `${stub.baseUrl}/`, apiKey: { kind: 'value', value: 'sk-test' }, timeoutMs: 400 });
  });
  afterEach(async () => {
    await provider.close();
    await stub.close();
  });
  const options = (signal = new AbortController().signal) => ({ signal, traceparent: TRACEPARENT });
  const chat = (more: Partial<ProviderChatRequest> = {}) => provider.chat(AUTH, ask(more), options());
  const chatAgainst = (answer: StubAnswer) => {
    stub.answer = answer;
    return chat();
  };

  it('sends one chat completion and reads its answer', async () => {
    const answer = await chat({ temperature: 0.2, topP: 0.9, maxOutputTokens: 60 });
    expect(stub.calls).toHaveLength(1);
    expect(stub.calls[0]).toMatchObject({ method: 'POST', path: '/v1/chat/completions', headers: { authorization: 'Bearer sk-test', 'content-type': 'application/json' } });
    expect(stub.calls[0]!.body).toEqual({ model: 'm', messages: [{ role: 'user', content: 'hello' }], temperature: 0.2, top_p: 0.9, max_tokens: 60 });
    expect(stub.calls[0]!.headers['traceparent']).toMatch(/^00-4bf92f3577b34da6a3ce929d0e0e4736-[0-9a-f]{16}-01$/);
    expect(answer).toEqual({ message: { role: 'assistant', content: 'Hello.' }, toolCalls: [], usage: { inputTokens: 19, outputTokens: 10 }, finishReason: 'stop' });
    expect(provider.node).toBe(new URL(stub.baseUrl).host);
  });

  it('carries tools both ways under names that the format allows', async () => {
    stub.answer = completion({ role: 'assistant', content: null, tool_calls: [{ id: 'call_abc', type: 'function', function: { name: 'text_stats_v1', arguments: '{"text":"x"}' } }] }, {});
    const tools = [ECHO, { ...ECHO, tool_id: 'tool.text.stats', name: 'text.stats/v1' }, { ...ECHO, tool_id: 'tool.other', name: 'echo' }];
    const answer = await chat({ tools, toolChoice: 'tool.text.stats' });
    const { body } = stub.calls[0]!;
    expect(body.tools.map((tool: { function: { name: string } }) => tool.function.name)).toEqual(['echo', 'text_stats_v1', 'echo_2']);
    expect(body.tools[0]).toEqual({ type: 'function', function: { name: 'echo', description: 'Repeats.', parameters: ECHO.input_schema } });
    expect(body.tool_choice).toEqual({ type: 'function', function: { name: 'text_stats_v1' } });
    expect(answer).toMatchObject({ message: { content: '' }, finishReason: 'tool_calls' });
    expect(answer.toolCalls).toEqual([{ tool_call_id: 'call_abc', tool_id: 'tool.text.stats', name: 'text.stats/v1', input: { text: 'x' } }]);
  });

  it('replays a conversation with calls and answers, pairing those without ids', async () => {
    await chat({
      tools: [ECHO],
      messages: [
        { role: 'system', content: 'be brief' },
        { role: 'user', content: 'hi' },
        { role: 'assistant', content: '', tool_calls: [{ tool_id: 'tool.echo', name: 'echo', input: { text: 'hi' } }] },
        { role: 'tool', content: '{"text":"hi"}', name: 'echo' },
      ],
    });
    expect(stub.calls[0]!.body.messages.slice(2)).toEqual([
      { role: 'assistant', content: '', tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'echo', arguments: '{"text":"hi"}' } }] },
      { role: 'tool', tool_call_id: 'call_1', content: '{"text":"hi"}' },
    ]);
  });

  it('hands arguments on that are no JSON, and names that were never offered', async () => {
    stub.answer = completion({ role: 'assistant', content: null, tool_calls: [
      { id: 'a', type: 'function', function: { name: 'echo', arguments: '{"text": "unfinis' } },
      { id: 'b', type: 'function', function: { name: 'invented', arguments: '' } },
      { id: 'c', type: 'function' },
    ] });
    expect((await chat({ tools: [ECHO] })).toolCalls).toEqual([
      { tool_call_id: 'a', tool_id: 'tool.echo', name: 'echo', input: '{"text": "unfinis' },
      { tool_call_id: 'b', tool_id: 'invented', name: 'invented', input: {} },
    ]);
  });

  it('estimates usage that the server leaves out, and marks it', async () => {
    stub.answer = completion({ role: 'assistant', content: 'four char words here' }, { usage: undefined });
    expect((await chat()).usage).toEqual({ inputTokens: 5, outputTokens: 5, estimated: true });
  });

  it.each([['length', 'length'], ['content_filter', 'content_filter'], ['eos', 'stop'], [null, 'stop']])('reads finish reason %j as %s', async (raw, expected) => {
    stub.answer = completion(null, { choices: [{ index: 0, message: { role: 'assistant', content: [{ type: 'text', text: 'in ' }, { type: 'text', text: 'parts' }] }, finish_reason: raw }] });
    expect(await chat()).toMatchObject({ message: { content: 'in parts' }, finishReason: expected });
  });

  it('embeds in the order of the texts, whatever the order of the answer', async () => {
    stub.answer = { kind: 'json', body: { object: 'list', data: [{ object: 'embedding', index: 1, embedding: [3, 4] }, { object: 'embedding', index: 0, embedding: [1, 2] }], model: 'e', usage: { prompt_tokens: 8, total_tokens: 8 } } };
    expect(await provider.embed(AUTH, { model: 'e', texts: ['a', 'b'] }, options())).toEqual({ vectors: [[1, 2], [3, 4]], usage: { inputTokens: 8, outputTokens: 0 } });
    expect(stub.calls[0]).toMatchObject({ path: '/v1/embeddings', body: { model: 'e', input: ['a', 'b'], encoding_format: 'float' } });
    stub.answer = { kind: 'json', body: { data: [{ index: 0, embedding: [1] }] } };
    await expect(provider.embed(AUTH, { model: 'e', texts: ['a', 'b'] }, options())).rejects.toMatchObject({ code: 'dependency_unavailable', details: { reason: 'bad_answer' } });
  });

  it('lists models and tells its health', async () => {
    stub.answer = { kind: 'json', body: { object: 'list', data: [{ id: 'qwen', object: 'model', max_model_len: 4096 }, { id: 'text-embedding-3-small', object: 'model' }, { id: '' }] } };
    expect(await provider.models()).toEqual([{ modelId: 'qwen', capabilities: ['chat'], contextWindowTokens: 4096 }, { modelId: 'text-embedding-3-small', capabilities: ['embed'] }]);
    expect(await provider.health(new AbortController().signal)).toEqual({ ok: true });
    stub.answer = { kind: 'text', status: 404, body: 'no such path' };
    expect(await provider.health(new AbortController().signal)).toEqual({ ok: true });
    stub.answer = { kind: 'json', status: 503, body: {} };
    expect(await provider.health(new AbortController().signal)).toMatchObject({ ok: false });
  });

  it.each<[string, StubAnswer, Record<string, unknown>]>([
    ['429 with Retry-After', { kind: 'json', status: 429, headers: { 'retry-after': '7' }, body: errorBody('rate_limit_exceeded') }, { code: 'rate_limited', retryable: true, retryAfterSeconds: 7 }],
    ['429 with retry-after-ms', { kind: 'json', status: 429, headers: { 'retry-after-ms': '1500', 'retry-after': '9' }, body: errorBody(null) }, { code: 'rate_limited', retryAfterSeconds: 1.5 }],
    ['429 without headers', { kind: 'json', status: 429, body: errorBody(null) }, { code: 'rate_limited', retryAfterSeconds: undefined }],
    ['429 of a used-up account', { kind: 'json', status: 429, body: errorBody('insufficient_quota', 'insufficient_quota') }, { code: 'dependency_unavailable', retryable: false, details: { reason: 'backend_quota_exhausted' } }],
    ['500', { kind: 'json', status: 500, body: errorBody(null, 'server_error') }, { code: 'dependency_unavailable', retryable: true }],
    ['502 of a proxy in HTML', { kind: 'text', status: 502, body: '<html>Bad Gateway</html>' }, { code: 'dependency_unavailable', details: { backend_status: 502 } }],
    ['503 with Retry-After', { kind: 'json', status: 503, headers: { 'retry-after': '3' }, body: {} }, { code: 'dependency_unavailable', retryAfterSeconds: 3 }],
    ['400', { kind: 'json', status: 400, body: errorBody('context_length_exceeded') }, { code: 'invalid_request', retryable: false, details: { reason: 'context_length_exceeded' } }],
    ['401', { kind: 'json', status: 401, body: { error: { message: 'Incorrect API key provided: sk-te****st', code: 'invalid_api_key' } } }, { code: 'dependency_unavailable', retryable: false, message: 'Backend openai refuses the configured key.' }],
    ['404', { kind: 'json', status: 404, body: errorBody('model_not_found') }, { code: 'not_found', details: { reason: 'model_not_found' } }],
    ['504', { kind: 'text', status: 504, body: '' }, { code: 'timeout' }],
    ['a redirect', { kind: 'text', status: 307, body: '' }, { code: 'dependency_unavailable' }],
    ['HTML under 200', { kind: 'text', status: 200, body: '<html>' }, { code: 'dependency_unavailable', details: { reason: 'bad_answer' } }],
    ['no choices', { kind: 'json', body: { choices: [] } }, { code: 'dependency_unavailable', details: { reason: 'bad_answer' } }],
    ['a truncated body', { kind: 'truncated', body: { choices: [{ message: { content: 'x'.repeat(500) } }] } }, { code: 'dependency_unavailable', details: { reason: 'unreachable' } }],
    ['a closed connection', { kind: 'hang_up' }, { code: 'dependency_unavailable', details: { reason: 'unreachable' } }],
    ['silence', { kind: 'silent' }, { code: 'timeout', details: { timeout_ms: 400 } }],
  ])('maps %s', async (_name, answer, expected) => {
    const error = await chatAgainst(answer).then(() => null, (thrown: unknown) => thrown);
    expect(error).toMatchObject(expected);
    expect(stub.calls).toHaveLength(1);
  });

  it('cannot be reached where nothing listens', async () => {
    await stub.close();
    await expect(chat()).rejects.toMatchObject({ code: 'dependency_unavailable', details: { service: 'openai', reason: 'unreachable' } });
  });

  it('gives the call up at the server when the caller goes', async () => {
    stub.answer = { kind: 'silent' };
    const controller = new AbortController();
    const call = provider.chat(AUTH, ask(), options(controller.signal));
    await expect.poll(() => stub.calls.length).toBe(1);
    controller.abort();
    await expect(call).rejects.toMatchObject({ code: 'timeout', details: { reason: 'caller_gone' } });
    await stub.clientGone;
  });

  it('keeps its connection over calls', async () => {
    for (let i = 0; i < 10; i += 1) await chat();
    expect(new Set(stub.calls.map((call) => call.remotePort)).size).toBeLessThanOrEqual(2);
  });
});
