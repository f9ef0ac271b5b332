import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { startModelStub, type ModelStub, type StubAnswer } from '../fixture/model-server-stub.ts';
import { awsException, awsRefusal, bedrockVendor } from '../fixture/vendor-bedrock.ts';
import { AnswerAssembly } from '../ports/answer-assembly.ts';
import type { ProviderChatRequest, ProviderChunk } from '../ports/provider.ts';
import { AwsBedrockProvider, type AwsBedrockSettings } from './provider-aws-bedrock.ts';

const AUTH: AuthContext = { tenant_id: 'tnt_test', principal: { principal_id: 'usr', principal_type: 'user' }, scopes: [] };
const MODEL = 'anthropic.claude-3-5-sonnet-20240620-v1:0';
const ECHO = { tool_id: 'tool.echo', name: 'echo', description: 'Repeats.', input_schema: { type: 'object', properties: { text: { type: 'string' } } } };
const SAID = { texts: ['Grüße ', '世界'], calls: [{ id: 'tooluse_a', name: 'echo', pieces: ['{"te', 'xt":"ä"}'] }], usage: { input: 12, output: 6 }, finish: 'tool_calls' } as const;
const ask = (more: Partial<ProviderChatRequest> = {}): ProviderChatRequest => ({ model: MODEL, messages: [{ role: 'user', content: 'hello' }], tools: [], toolChoice: 'auto', ...more });

describe('AwsBedrockProvider', () => {
  let stub: ModelStub;
  let provider: AwsBedrockProvider;
  const open = (more: Partial<AwsBedrockSettings> = {}) => new AwsBedrockProvider({
    backend: 'aws_bedrock', region: 'us-east-1', baseUrl: stub.baseUrl, timeoutMs: 2_000, models: [], credentials: { accessKeyId: 'AKIATEST', secretAccessKey: 'never-to-be-seen' }, ...more,
  });
  beforeEach(async () => {
    stub = await startModelStub('');
    stub.answer = { kind: 'json', body: bedrockVendor.whole(SAID) };
    provider = open();
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
  const stream = async (chunks: readonly Uint8Array[], then: 'end' | 'cut' = 'end') => {
    stub.answer = { kind: 'stream', contentType: 'application/vnd.amazon.eventstream', chunks, then };
    const out: ProviderChunk[] = [];
    let error: unknown = null;
    try {
      for await (const chunk of provider.chatStream(AUTH, ask({ tools: [ECHO] }), options)) out.push(chunk);
    } catch (thrown) {
      error = thrown;
    }
    return { out, error };
  };
  const frames = bedrockVendor.frames(SAID) as Uint8Array[];

  it('converses, signed, with calls by their ids', async () => {
    expect(await chat({ tools: [ECHO], maxOutputTokens: 60, temperature: 1.5, topP: 0.5, stop: ['END'] })).toEqual({
      message: { role: 'assistant', content: 'Grüße 世界' }, toolCalls: [{ tool_call_id: 'tooluse_a', tool_id: 'tool.echo', name: 'echo', input: { text: 'ä' } }],
      usage: { inputTokens: 12, outputTokens: 6 }, finishReason: 'tool_calls',
    });
    expect(stub.calls[0]).toMatchObject({ method: 'POST', path: `/model/${encodeURIComponent(MODEL)}/converse`, headers: { authorization: expect.stringMatching(/^AWS4-HMAC-SHA256 Credential=AKIATEST\/\d{8}\/us-east-1\/bedrock\//) } });
    expect(stub.calls[0]!.body).toEqual({
      messages: [{ role: 'user', content: [{ text: 'hello' }] }], inferenceConfig: { maxTokens: 60, temperature: 1, stopSequences: ['END'] },
      toolConfig: { tools: [{ toolSpec: { name: 'echo', description: 'Repeats.', inputSchema: { json: ECHO.input_schema } } }] },
    });
  });

  it('declares the tools of a conversation that offers none any more', async () => {
    const body = await sent({
      messages: [
        { role: 'system', content: 'be brief' }, { role: 'user', content: 'go' },
        { role: 'assistant', content: '', tool_calls: [{ tool_call_id: 'a', tool_id: 'tool.echo', name: 'echo', input: { a: 1 } }] }, { role: 'tool', tool_call_id: 'a', content: '' },
      ],
    });
    expect(body).toEqual({
      system: [{ text: 'be brief' }],
      messages: [
        { role: 'user', content: [{ text: 'go' }] }, { role: 'assistant', content: [{ toolUse: { toolUseId: 'a', name: 'echo', input: { a: 1 } } }] },
        { role: 'user', content: [{ toolResult: { toolUseId: 'a', content: [{ text: '(no output)' }] } }] },
      ],
      toolConfig: { tools: [{ toolSpec: { name: 'echo', inputSchema: { json: { type: 'object' } } } }] },
    });
  });

  it.each<[Partial<ProviderChatRequest>, unknown]>([
    [{ toolChoice: 'auto' }, { tools: [expect.anything()] }], [{ toolChoice: 'required' }, { tools: [expect.anything()], toolChoice: { any: {} } }],
    [{ toolChoice: 'echo' }, { tools: [expect.anything()], toolChoice: { tool: { name: 'echo' } } }], [{ toolChoice: 'none' }, undefined],
  ])('says %j in its words', async (more, expected) => {
    expect((await sent({ tools: [ECHO], ...more })).toolConfig).toEqual(expected);
  });

  it('asks for a schema in its own form', async () => {
    expect((await sent({ responseFormat: { type: 'json_schema', name: 'x', schema: { type: 'object' } } })).outputConfig).toEqual({ textFormat: { type: 'json_schema', structure: { jsonSchema: { name: 'x', schema: '{"type":"object"}' } } } });
  });

  it('reads a stream, however it is cut into packets', async () => {
    const bytes = Buffer.concat(frames);
    for (const size of [1_000_000, 61, 7]) {
      const { out, error } = await stream(Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) => bytes.subarray(index * size, (index + 1) * size)));
      expect(error).toBeNull();
      const assembly = new AnswerAssembly();
      for (const chunk of out) assembly.add(chunk);
      expect(assembly.answer()).toMatchObject({ message: { content: 'Grüße 世界' }, toolCalls: [{ tool_call_id: 'tooluse_a', input: { text: 'ä' } }], usage: { inputTokens: 12, outputTokens: 6 }, finishReason: 'tool_calls' });
    }
    expect(stub.calls[0]!.path).toBe(`/model/${encodeURIComponent(MODEL)}/converse-stream`);
  });

  it.each(['end', 'cut'] as const)('knows a stream that was cut inside a message (%s)', async (then) => {
    const bytes = Buffer.concat(frames.slice(0, 3));
    expect(await stream([bytes.subarray(0, bytes.length - 9)], then)).toMatchObject({ out: [{ type: 'content', text: 'Grüße ' }], error: { code: 'dependency_unavailable', details: { reason: 'stream_truncated' } } });
  });

  it.each([
    ['throttlingException', 'rate_limited'], ['internalServerException', 'dependency_unavailable'], ['modelStreamErrorException', 'dependency_unavailable'],
    ['serviceUnavailableException', 'dependency_unavailable'], ['validationException', 'invalid_request'],
  ])('throws %s in the middle as %s', async (type, code) => {
    const { out, error } = await stream([...frames.slice(0, 3), awsException(type, 'said so')]);
    expect(out).toEqual([{ type: 'content', text: 'Grüße ' }, { type: 'content', text: '世界' }]);
    expect(error).toMatchObject({ code, details: { in_stream: true } });
  });

  it.each<[string, StubAnswer, Record<string, unknown>]>([
    ['throttling with Retry-After', awsRefusal(429, 'ThrottlingException', 'Too many requests', { 'retry-after': '3' }), { code: 'rate_limited', retryable: true, retryAfterSeconds: 3 }],
    ['throttling', awsRefusal(429, 'ThrottlingException', 'Too many tokens'), { code: 'rate_limited', retryAfterSeconds: undefined }],
    ['a model that loads', awsRefusal(429, 'ModelNotReadyException', 'x'), { code: 'rate_limited' }],
    ['a model that is too slow', awsRefusal(408, 'ModelTimeoutException', 'x'), { code: 'timeout' }],
    ['a model that failed', awsRefusal(424, 'ModelErrorException', 'x'), { code: 'dependency_unavailable', retryable: true }],
    ['an unknown model', awsRefusal(400, 'ValidationException', 'The provided model identifier is invalid.'), { code: 'not_found' }],
    ['too long an input', awsRefusal(400, 'ValidationException', 'Input is too long for requested model.'), { code: 'invalid_request', message: expect.stringContaining('too long') }],
    ['no access', awsRefusal(403, 'AccessDeniedException', "You don't have access to the model with the specified model ID."), { code: 'dependency_unavailable', retryable: false, details: { reason: 'backend_unauthorized' } }],
    ['an expired token', awsRefusal(403, 'ExpiredTokenException', 'x'), { code: 'dependency_unavailable', retryable: false }],
    ['503', awsRefusal(503, 'ServiceUnavailableException', 'x', { 'retry-after': '2' }), { code: 'dependency_unavailable', retryable: true, retryAfterSeconds: 2 }],
    ['a proxy in between', { kind: 'text', status: 502, body: '<html>Bad Gateway</html>' }, { code: 'dependency_unavailable' }],
    ['a closed connection', { kind: 'hang_up' }, { code: 'dependency_unavailable', details: { reason: 'unreachable' } }],
    ['an answer without a message', { kind: 'json', body: { stopReason: 'end_turn' } }, { code: 'dependency_unavailable', details: { reason: 'bad_answer' } }],
  ])('maps %s, asking once', async (_name, answer, expected) => {
    stub.answer = answer;
    expect(await chat().then(() => null, (error: unknown) => error)).toMatchObject(expected);
    expect(stub.calls).toHaveLength(1);
  });

  it('gives up a silent endpoint', async () => {
    await provider.close();
    provider = open({ timeoutMs: 150 });
    stub.answer = { kind: 'silent' };
    await expect(chat()).rejects.toMatchObject({ code: 'timeout', details: { reason: 'slow_answer', timeout_ms: 150 } });
    await expect.poll(() => stub.open()).toBe(0);
  });

  it('embeds by Titan, one text a call, and by Cohere, many', async () => {
    stub.answer = ({ body }) => ({ kind: 'json', body: { embedding: [body.inputText.length, 1], inputTextTokenCount: 2 } });
    expect(await provider.embed(AUTH, { model: 'amazon.titan-embed-text-v2:0', texts: Array.from({ length: 20 }, (_, index) => 'x'.repeat(index)), dimensions: 256 }, options)).toEqual({
      vectors: Array.from({ length: 20 }, (_, index) => [index, 1]), usage: { inputTokens: 40, outputTokens: 0 },
    });
    expect(stub.calls).toHaveLength(20);
    expect(stub.calls[0]!.body.dimensions).toBe(256);
    stub.answer = ({ body }) => ({ kind: 'json', body: { embeddings: { float: body.texts.map((text: string) => [text.length]) } } });
    const { vectors, usage } = await provider.embed(AUTH, { model: 'eu.cohere.embed-multilingual-v3', texts: Array.from({ length: 100 }, (_, index) => 'y'.repeat(index + 1)) }, options);
    expect(vectors).toEqual(Array.from({ length: 100 }, (_, index) => [index + 1]));
    expect(usage).toMatchObject({ outputTokens: 0, estimated: true });
    expect(stub.calls.slice(20).map((each) => each.body.texts.length)).toEqual([96, 4]);
    await expect(provider.embed(AUTH, { model: 'meta.llama3-8b', texts: ['x'] }, options)).rejects.toMatchObject({ code: 'invalid_request' });
  });

  it('ends the other calls when one of many fails', async () => {
    stub.answer = ({ body }) => (body.inputText === '3' ? awsRefusal(429, 'ThrottlingException', 'x') : { kind: 'silent' });
    await expect(provider.embed(AUTH, { model: 'amazon.titan-embed-text-v1', texts: ['1', '2', '3', '4'] }, options)).rejects.toMatchObject({ code: 'rate_limited' });
    await expect.poll(() => stub.open()).toBe(0);
  });

  it('refuses a region that is none, and names the region where it runs', async () => {
    expect(() => open({ region: 'Frankfurt' })).toThrow("the region is 'Frankfurt'");
    const { baseUrl: _none, ...settings } = { baseUrl: '', backend: 'aws_bedrock', region: 'eu-central-1', timeoutMs: 1, models: [] };
    expect(new AwsBedrockProvider(settings).node).toBe('eu-central-1');
  });
});
