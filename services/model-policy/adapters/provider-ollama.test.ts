import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { startModelStub, type ModelStub, type StubAnswer } from '../fixture/model-server-stub.ts';
import { ollamaVendor } from '../fixture/vendor-ollama.ts';
import type { ProviderChatRequest, ProviderChunk } from '../ports/provider.ts';
import { OllamaProvider } from './provider-ollama.ts';

const AUTH: AuthContext = { tenant_id: 'tnt_test', principal: { principal_id: 'usr', principal_type: 'user' }, scopes: [] };
const tool = (name: string) => ({ tool_id: `tool.${name}`, name, input_schema: { type: 'object' } });
const HELLO = { texts: ['Hello.'], calls: [], usage: { input: 12, output: 6 }, finish: 'stop' } as const;
const ask = (more: Partial<ProviderChatRequest> = {}): ProviderChatRequest => ({ model: 'llama3.2', messages: [{ role: 'user', content: 'hello' }], tools: [], toolChoice: 'auto', ...more });

describe('OllamaProvider', () => {
  let stub: ModelStub;
  let provider: OllamaProvider;
  beforeEach(async () => {
    stub = await startModelStub('');
    stub.answer = { kind: 'json', body: ollamaVendor.whole(HELLO) };
    provider = new OllamaProvider({ backend: 'ollama', baseUrl: stub.baseUrl, apiKey: { kind: 'none' }, timeoutMs: 1_000 });
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
  const stream = async (chunks: readonly string[]) => {
    stub.answer = { kind: 'stream', contentType: 'application/x-ndjson', chunks };
    const out: ProviderChunk[] = [];
    for await (const chunk of provider.chatStream(AUTH, ask(), options)) out.push(chunk);
    return out;
  };

  it('sends one chat with its options apart', async () => {
    expect(await chat({ temperature: 0.2, topP: 0.9, maxOutputTokens: 60, seed: 7, stop: ['END'], frequencyPenalty: 0.5, presencePenalty: 0.1 })).toEqual({ message: { role: 'assistant', content: 'Hello.' }, toolCalls: [], usage: { inputTokens: 12, outputTokens: 6 }, finishReason: 'stop' });
    expect(stub.calls[0]).toMatchObject({ method: 'POST', path: '/api/chat' });
    expect(stub.calls[0]!.body).toEqual({
      model: 'llama3.2', messages: [{ role: 'user', content: 'hello' }], stream: false,
      options: { temperature: 0.2, top_p: 0.9, num_predict: 60, seed: 7, stop: ['END'], frequency_penalty: 0.5, presence_penalty: 0.1 },
    });
    expect(await sent()).not.toHaveProperty('options');
  });

  it('asks for JSON by its own member', async () => {
    expect((await sent({ responseFormat: { type: 'json_object' } })).format).toBe('json');
    expect((await sent({ responseFormat: { type: 'json_schema', schema: { type: 'object' } } })).format).toEqual({ type: 'object' });
    expect(await sent({ responseFormat: { type: 'text' } })).not.toHaveProperty('format');
  });

  it.each([['auto', ['a', 'b']], ['required', ['a', 'b']], ['tool.b', ['b']], ['none', undefined]])('offers for the choice %s what may be called', async (toolChoice, names) => {
    const body = await sent({ tools: [tool('a'), tool('b')], toolChoice });
    expect(body.tools?.map((each: { function: { name: string } }) => each.function.name)).toEqual(names);
  });

  it('sends arguments as objects and names the tool that answered', async () => {
    const body = await sent({
      tools: [tool('echo')],
      messages: [{ role: 'assistant', content: null, tool_calls: [{ tool_call_id: 'c1', tool_id: 'tool.echo', name: 'echo', input: { a: 1 } }, { tool_call_id: 'c2', tool_id: 'tool.echo', name: 'echo', input: '{bad' }] }, { role: 'tool', tool_call_id: 'c2', content: 'x' }],
    });
    expect(body.messages).toEqual([
      { role: 'assistant', content: '', tool_calls: [{ id: 'c1', function: { name: 'echo', arguments: { a: 1 } } }, { id: 'c2', function: { name: 'echo', arguments: { arguments: '{bad' } } }] },
      { role: 'tool', content: 'x', tool_call_id: 'c2', tool_name: 'echo' },
    ]);
  });

  it('gives calls ids of their own, the same streamed as whole', async () => {
    const said = { ...HELLO, texts: [], calls: [{ id: '', name: 'echo', pieces: ['{"a":1}'] }, { id: '', name: 'echo', pieces: ['{"a":1}'] }], finish: 'tool_calls' } as const;
    stub.answer = { kind: 'json', body: ollamaVendor.whole(said) };
    const whole = (await chat()).toolCalls.map((call) => call.tool_call_id);
    expect(new Set(whole).size).toBe(2);
    const streamed = (await stream(ollamaVendor.frames(said) as string[])).flatMap((chunk) => (chunk.type === 'tool_call' ? [chunk.id] : []));
    expect(streamed).toEqual(whole);
  });

  it('estimates a prompt that came from the cache and is not counted', async () => {
    expect((await stream([`${JSON.stringify({ message: { role: 'assistant', content: 'Hi' }, done: false })}\n`, `${JSON.stringify({ message: { role: 'assistant', content: '' }, done: true, done_reason: 'stop', eval_count: 4 })}\n`])).slice(-2)).toEqual([
      { type: 'usage', usage: { inputTokens: expect.any(Number), outputTokens: 4, estimated: true } }, { type: 'finish', reason: 'stop' },
    ]);
  });

  it('embeds many texts at once, and refuses to cut them', async () => {
    stub.answer = { kind: 'json', body: { embeddings: [[1, 2], [3, 4]], prompt_eval_count: 8 } };
    expect(await provider.embed(AUTH, { model: 'e', texts: ['a', 'b'], dimensions: 2 }, options)).toEqual({ vectors: [[1, 2], [3, 4]], usage: { inputTokens: 8, outputTokens: 0 } });
    expect(stub.calls[0]).toMatchObject({ path: '/api/embed', body: { model: 'e', input: ['a', 'b'], truncate: false, dimensions: 2 } });
    stub.answer = { kind: 'json', body: { embeddings: [[1, 2]] } };
    await expect(provider.embed(AUTH, { model: 'e', texts: ['a', 'b'] }, options)).rejects.toMatchObject({ details: { reason: 'bad_answer' } });
  });

  it('lists what is pulled, with what each can', async () => {
    stub.answer = (call) => ({ kind: 'json', body: ollamaVendor.models(['llama3.2:latest', 'nomic-embed-text:latest'], call) });
    const expected = [{ modelId: 'llama3.2:latest', capabilities: ['chat'], contextWindowTokens: 131_072 }, { modelId: 'nomic-embed-text:latest', capabilities: ['embed'], contextWindowTokens: 2048 }];
    expect(await provider.models()).toEqual(expected);
    stub.answer = (call) => (call.path === '/api/show' ? { kind: 'json', status: 404, body: { error: 'no' } } : { kind: 'json', body: ollamaVendor.models(['llama3.2:latest', 'nomic-embed-text:latest'], call) });
    expect(await provider.models()).toEqual(expected.map(({ modelId, capabilities }) => ({ modelId, capabilities })));
  });

  it.each<[string, StubAnswer, Record<string, unknown>]>([
    ['a model that is not pulled', ollamaVendor.refusal(404), { code: 'not_found', message: expect.stringContaining('try pulling it first') }],
    ['a queue that is full', ollamaVendor.refusal(503), { code: 'dependency_unavailable', retryable: true }],
    ['a model without tools', { kind: 'json', status: 400, body: { error: 'registry.ollama.ai/library/gemma:2b does not support tools' } }, { code: 'invalid_request', message: expect.stringContaining('does not support tools') }],
    ['a runner that died', { kind: 'json', status: 500, body: { error: 'llama runner process has terminated: signal: killed' } }, { code: 'dependency_unavailable', retryable: true }],
    ['an answer that is not done', { kind: 'json', body: { message: { role: 'assistant', content: 'x' }, done: false } }, { code: 'dependency_unavailable', details: { reason: 'bad_answer' } }],
  ])('maps %s', async (_name, answer, expected) => {
    stub.answer = answer;
    expect(await chat().then(() => null, (error: unknown) => error)).toMatchObject(expected);
  });
});
