/** The official `openai` package, unchanged but for the base URL. */
import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { authOf, startModelPolicy } from '../../services/model-policy/fixture/running-model-policy.ts';
import { verifies } from '../http/verifies.ts';
import { CHAT_MODEL, EMBED_MODEL, startGateway, type Gateway } from './gateway.ts';

const TOOLS = [{ type: 'function' as const, function: { name: 'get_weather', description: 'Weather of a city.', parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } } }];
const CALL = { id: 'call_a1', name: 'get_weather', pieces: ['{"ci', 'ty":"Par', 'is"}'] };
const HELLO = [{ role: 'user' as const, content: 'hello' }];

describe('the openai package', () => {
  let gateway: Gateway;
  let client: OpenAI;
  const clientOf = async (tenantId: string, maxRetries = 2): Promise<OpenAI> => new OpenAI({ baseURL: gateway.baseURL, apiKey: await gateway.keyFor(tenantId), maxRetries });

  const newest = async () => (await gateway.service.usage.entries(authOf('tnt_test'), { limit: 1 })).entries[0]!;

  beforeAll(async () => {
    gateway = await startGateway([
      { tenant_id: 'tnt_poor', quotas: { models: { token_budget: { window: 'day', max_tokens: 10 } } } },
      { tenant_id: 'tnt_slow', quotas: { models: { max_requests_per_minute: 20 } } },
      { tenant_id: 'tnt_none', entitlements: { model_tiers_allowed: [] } },
    ]);
    client = await clientOf('tnt_test');
  });
  beforeEach(() => gateway.says({}));
  afterAll(() => gateway?.close());

  it('chats', verifies(['PRS-6.1-01', 'PRS-6.2-01', 'PRS-6.2-02', 'PRS-6.2-03', 'PRS-6.2-04'], async () => {
    const { data, response } = await client.chat.completions.create({ model: CHAT_MODEL, messages: HELLO, temperature: 0.5, top_p: 0.9, seed: 7, stop: 'END', max_completion_tokens: 50, n: 1, user: 'someone' }).withResponse();
    expect(data.choices[0]).toMatchObject({ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: 'Hello there.' } });
    expect(data.usage).toMatchObject({ prompt_tokens: 19, completion_tokens: 10, total_tokens: 29 });
    expect(data).toMatchObject({
      id: expect.stringMatching(/^chatcmpl-/) as string, object: 'chat.completion', model: CHAT_MODEL, tenant_id: 'tnt_test', latency_ms: expect.any(Number) as number,
      policy_outcome: { decision: 'allowed', reasons: [], redactions: [] }, route: { backend: 'openai', model: CHAT_MODEL, fallback_used: false },
    });
    expect(response.headers.get('x-request-id')).toBe((data as { _request_id?: string | null })._request_id);
    expect((data as unknown as { correlation_id: string }).correlation_id).toBe(response.headers.get('x-correlation-id'));
    expect(gateway.asked().at(-1)!.body).toMatchObject({ model: CHAT_MODEL, temperature: 0.5, top_p: 0.9, seed: 7, stop: ['END'], max_tokens: 50 });
    expect(gateway.asked().at(-1)!.headers['authorization']).toBe('Bearer sk-upstream');
  }));

  it('streams, with usage in a last chunk where it is asked for', verifies(['PRS-6.1-01', 'PRS-6.2-01'], async () => {
    const chunks = [];
    for await (const chunk of await client.chat.completions.create({ model: 'tier:balanced', messages: HELLO, stream: true, stream_options: { include_usage: true } })) chunks.push(chunk);
    expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe('Hello there.');
    expect(chunks[0]!.choices[0]!.delta.role).toBe('assistant');
    expect([new Set(chunks.map((chunk) => chunk.id)).size, new Set(chunks.map((chunk) => chunk.model))]).toEqual([1, new Set([CHAT_MODEL])]);
    expect(chunks.at(-2)!.choices[0]!.finish_reason).toBe('stop');
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 19, completion_tokens: 10 }, route: { backend: 'openai' }, policy_outcome: { decision: 'allowed' } });
    expect(chunks.slice(0, -1).every((chunk) => chunk.usage === null)).toBe(true);
    const plain = [];
    for await (const chunk of await client.chat.completions.create({ model: CHAT_MODEL, messages: HELLO, stream: true })) plain.push(chunk);
    expect(plain.at(-1)).toMatchObject({ choices: [{ finish_reason: 'stop' }], route: { backend: 'openai' }, tenant_id: 'tnt_test' });
    expect(plain.some((chunk) => 'usage' in chunk)).toBe(false);
  }));

  it('calls tools, gives their answers back, and names the one to call', async () => {
    gateway.says({ texts: [], calls: [CALL] });
    const first = await client.chat.completions.create({ model: CHAT_MODEL, messages: HELLO, tools: TOOLS, tool_choice: { type: 'function', function: { name: 'get_weather' } }, parallel_tool_calls: false });
    const [choice] = first.choices;
    expect(choice).toMatchObject({ finish_reason: 'tool_calls', message: { content: null, tool_calls: [{ id: 'call_a1', type: 'function', function: { name: 'get_weather', arguments: '{"city":"Paris"}' } }] } });
    expect(gateway.asked().at(-1)!.body).toMatchObject({ tool_choice: { type: 'function', function: { name: 'get_weather' } }, parallel_tool_calls: false });
    gateway.says({ texts: ['Sunny.'] });
    const second = await client.chat.completions.create({ model: CHAT_MODEL, messages: [...HELLO, choice!.message, { role: 'tool', tool_call_id: 'call_a1', content: '{"sky":"clear"}' }], tools: TOOLS, tool_choice: 'none' });
    expect(second.choices[0]!.message.content).toBe('Sunny.');
    expect(gateway.asked().at(-1)!.body.messages.slice(1)).toEqual([
      expect.objectContaining({ role: 'assistant', tool_calls: [{ id: 'call_a1', type: 'function', function: { name: 'get_weather', arguments: '{"city":"Paris"}' } }] }),
      { role: 'tool', tool_call_id: 'call_a1', content: '{"sky":"clear"}' },
    ]);
  });

  it('runs tools by itself over a stream', async () => {
    const cities: string[] = [];
    gateway.says({ texts: [], calls: [CALL] });
    const runner = client.chat.completions.runTools({
      model: CHAT_MODEL, stream: true, messages: HELLO,
      tools: [{ type: 'function', function: { name: 'get_weather', description: 'Weather.', parameters: TOOLS[0]!.function.parameters, parse: JSON.parse as (text: string) => { city: string }, function: ({ city }: { city: string }) => {
        cities.push(city);
        gateway.says({ texts: ['It is ', 'sunny.'] });
        return 'sunny';
      } } }],
    });
    expect(await runner.finalContent()).toBe('It is sunny.');
    expect(cities).toEqual(['Paris']);
  });

  it('asks for JSON by a schema', async () => {
    gateway.says({ texts: ['{"city"', ':"Paris"}'] });
    const format = { type: 'json_schema' as const, json_schema: { name: 'place', strict: true, schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false } } };
    const parsed = await client.chat.completions.parse({ model: CHAT_MODEL, messages: HELLO, response_format: format });
    expect(parsed.choices[0]!.message.parsed).toEqual({ city: 'Paris' });
    expect(gateway.asked().at(-1)!.body.response_format).toEqual(format);
  });

  it('embeds a text and a list, as numbers and as base64', verifies(['PRS-6.1-02'], async () => {
    // Left alone, this client asks for base64 and decodes it.
    const [one, several] = await Promise.all([client.embeddings.create({ model: EMBED_MODEL, input: 'a' }), client.embeddings.create({ model: EMBED_MODEL, input: ['a', 'b'], encoding_format: 'float' })]);
    expect([...one.data[0]!.embedding]).toEqual([0.25, -0.5, 0.125, 1]);
    expect(several.data.map(({ index, embedding }) => [index, embedding[0]])).toEqual([[0, 0.25], [1, 0.5]]);
    const packed = await client.embeddings.create({ model: EMBED_MODEL, input: 'a', encoding_format: 'base64' });
    expect(Buffer.from(packed.data[0]!.embedding as unknown as string, 'base64').readFloatLE(4)).toBe(-0.5);
    expect(several).toMatchObject({ object: 'list', model: EMBED_MODEL, usage: { prompt_tokens: 8, total_tokens: 8 }, route: { backend: 'openai' }, tenant_id: 'tnt_test' });
    await expect(client.embeddings.create({ model: EMBED_MODEL, input: [[1, 2], [3]] })).rejects.toMatchObject({ status: 400, code: 'invalid_request', param: 'input[0]' });
    await expect(client.embeddings.create({ model: EMBED_MODEL, input: [1, 2] })).rejects.toMatchObject({ status: 400, param: 'input[0]' });
  }));

  it('retrieves a model, by its id and by its backend and id', async () => {
    expect(await client.models.retrieve(CHAT_MODEL)).toMatchObject({ id: CHAT_MODEL, object: 'model', owned_by: 'openai' });
    expect(await client.models.retrieve(`openai/${EMBED_MODEL}`)).toMatchObject({ id: EMBED_MODEL, model: { capabilities: ['embed'] } });
    await expect(client.models.retrieve('gpt-none')).rejects.toMatchObject({ status: 404, code: 'not_found', type: 'invalid_request_error' });
  });

  it('lists models', verifies(['PRS-6.1-04'], async () => {
    const models = [];
    for await (const model of client.models.list()) models.push(model);
    expect(models.map((model) => model.id)).toEqual(expect.arrayContaining([CHAT_MODEL, EMBED_MODEL]));
    expect(models[0]).toMatchObject({ object: 'model', created: expect.any(Number) as number, owned_by: expect.any(String) as string });
  }));

  it('reads errors as its own kinds', async () => {
    const chat = (more: object, of = client) => of.chat.completions.create({ model: CHAT_MODEL, messages: HELLO, ...more }) as Promise<unknown>;
    await expect(chat({ n: 2 })).rejects.toSatisfy((error) => error instanceof OpenAI.BadRequestError && error.param === 'n' && error.type === 'invalid_request_error');
    await expect(chat({ logprobs: true })).rejects.toMatchObject({ status: 400, param: 'logprobs' });
    await expect(chat({ messages: [{ role: 'user', content: [{ type: 'text', text: 'what is this' }, { type: 'image_url', image_url: { url: 'data:image/png;base64,AA' } }] }] })).rejects.toMatchObject({ status: 400, param: 'messages[0].content[1].type' });
    await expect(chat({ response_format: { type: 'xml' } })).rejects.toMatchObject({ status: 400, param: 'response_format.type' });
    await expect(chat({ model: 'gpt-99' })).rejects.toSatisfy((error) => error instanceof OpenAI.NotFoundError && error.code === 'not_found');
    await expect(chat({}, await clientOf('tnt_none'))).rejects.toSatisfy((error) => error instanceof OpenAI.PermissionDeniedError && error.code === 'policy_blocked');
    const stranger = new OpenAI({ baseURL: gateway.baseURL, apiKey: `${client.apiKey!.slice(0, -4)}AAAA` });
    await expect(chat({}, stranger)).rejects.toSatisfy((error) => error instanceof OpenAI.AuthenticationError && error.requestID !== null);
  });

  it('does not repeat a call that the budget does not allow, streamed or not', verifies(['PRS-6.2-06', 'PRS-15.3-04'], async () => {
    const poor = await clientOf('tnt_poor');
    let sent = 0;
    const counted = poor.withOptions({ fetch: (url, init) => { sent += 1; return fetch(url as string, init as RequestInit); } });
    const before = gateway.asked().length;
    for (const stream of [false, true]) {
      await expect(counted.chat.completions.create({ model: CHAT_MODEL, messages: HELLO, stream })).rejects.toSatisfy((error) =>
        error instanceof OpenAI.RateLimitError && error.code === 'insufficient_quota' && error.type === 'insufficient_quota' && error.headers.get('x-should-retry') === 'false');
    }
    expect([sent, gateway.asked().length - before]).toEqual([2, 0]);
  }));

  it('waits as it is told where calls come too fast', verifies(['PRS-6.3-09'], async () => {
    const slow = await clientOf('tnt_slow', 0);
    const answers = await Promise.allSettled(Array.from({ length: 22 }, () => slow.chat.completions.create({ model: CHAT_MODEL, messages: HELLO })));
    const refused = answers.filter((answer) => answer.status === 'rejected').map((answer) => answer.reason as InstanceType<typeof OpenAI.APIError>);
    expect(refused.length).toBeGreaterThan(0);
    expect(refused[0]).toMatchObject({ status: 429, code: 'rate_limited', type: 'rate_limit_error' });
    expect(Number(refused[0]!.headers!.get('retry-after'))).toBeGreaterThan(0);
    expect(Number(refused[0]!.headers!.get('retry-after-ms'))).toBeGreaterThan(0);
    const patient = await clientOf('tnt_slow', 3);
    expect((await patient.chat.completions.create({ model: CHAT_MODEL, messages: HELLO })).choices[0]!.message.content).toBe('Hello there.');
  }));

  it('repeats what a backend could not answer, and succeeds', async () => {
    gateway.failsOnce({ kind: 'json', status: 503, body: { error: { message: 'overloaded' } } });
    expect((await client.chat.completions.create({ model: CHAT_MODEL, messages: HELLO })).choices[0]!.message.content).toBe('Hello there.');
  });

  it('talks to the built-in model of a node without any other', async () => {
    const own = await startModelPolicy();
    const local = new OpenAI({ baseURL: `${own.url}/v1`, apiKey: 'anything', defaultHeaders: { 'X-Tenant-Id': 'tnt_test' } });
    const question = { model: 'tier:fast', messages: [{ role: 'user' as const, content: 'Summarise: The battery drains overnight. Shipping was slow.' }] };
    const whole = await local.chat.completions.create(question);
    let streamed = '';
    for await (const chunk of await local.chat.completions.create({ ...question, stream: true })) streamed += chunk.choices[0]?.delta.content ?? '';
    expect(streamed).toBe(whole.choices[0]!.message.content);
    expect(streamed).toContain('battery');
    const called = await local.chat.completions.create({ ...question, messages: [{ role: 'user', content: 'Call get_weather for the city Paris.' }], tools: TOOLS });
    expect(called.choices[0]!.message.tool_calls).toMatchObject([{ type: 'function', function: { name: 'get_weather' } }]);
    expect((await local.embeddings.create({ model: 'builtin-embed-1', input: 'hello' })).data[0]!.embedding).toHaveLength(256);
    await own.close();
  });

  it('ends the call at the backend by leaving the loop', async () => {
    gateway.says({ texts: Array.from({ length: 2_000 }, () => 'and so on, ') });
    let read = 0;
    for await (const _chunk of await client.chat.completions.create({ model: CHAT_MODEL, messages: HELLO, stream: true })) if ((read += 1) > 5) break;
    await expect.poll(() => gateway.upstream.open(), { timeout: 5_000 }).toBe(0);
    await expect.poll(newest, { timeout: 5_000 }).toMatchObject({ state: 'partial', estimated: true });
    expect((await newest()).outputTokens).toBeLessThan(1_000);
  });

  it('learns that a stream broke', async () => {
    gateway.breaksAfter(3);
    const texts: string[] = [];
    const read = async (): Promise<void> => {
      for await (const chunk of await client.chat.completions.create({ model: CHAT_MODEL, messages: HELLO, stream: true })) texts.push(chunk.choices[0]?.delta.content ?? '');
    };
    await expect(read()).rejects.toMatchObject({ code: 'dependency_unavailable', type: 'server_error' });
    expect(await newest()).toMatchObject({ state: 'partial', estimated: true });
  });
});
