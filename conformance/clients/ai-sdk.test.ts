/** The Vercel AI SDK with its provider for OpenAI-compatible servers, unchanged but for the base URL. */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, embedMany, generateText, jsonSchema, Output, stepCountIs, streamText, tool } from 'ai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { verifies } from '../http/verifies.ts';
import { CHAT_MODEL, EMBED_MODEL, startGateway, type Gateway } from './gateway.ts';

describe("the AI SDK's OpenAI-compatible provider", () => {
  let gateway: Gateway;
  const providerOf = async (tenantId: string) => createOpenAICompatible({ name: 'agentos', baseURL: gateway.baseURL, apiKey: await gateway.keyFor(tenantId), includeUsage: true, supportsStructuredOutputs: true });
  let provider: Awaited<ReturnType<typeof providerOf>>;

  beforeAll(async () => {
    gateway = await startGateway([{ tenant_id: 'tnt_poor', quotas: { models: { token_budget: { window: 'day', max_tokens: 10 } } } }]);
    provider = await providerOf('tnt_test');
  });
  beforeEach(() => gateway.says({}));
  afterAll(() => gateway?.close());

  const weather = (cities: string[]) => tool({
    description: 'Weather of a city.', inputSchema: jsonSchema<{ city: string }>({ type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }),
    execute: ({ city }) => {
      cities.push(city);
      gateway.says({ texts: ['It is ', 'sunny.'] });
      return Promise.resolve('sunny');
    },
  });

  it('generates text', verifies(['PRS-6.1-01'], async () => {
    const { text, finishReason, usage } = await generateText({ model: provider(CHAT_MODEL), system: 'Be brief.', prompt: 'hello', temperature: 0, seed: 3, stopSequences: ['END'] });
    expect([text, finishReason, usage.inputTokens, usage.outputTokens]).toEqual(['Hello there.', 'stop', 19, 10]);
    expect(gateway.asked().at(-1)!.body).toMatchObject({ seed: 3, stop: ['END'] });
  }));

  it('streams text', async () => {
    const { textStream, usage, finishReason } = streamText({ model: provider(CHAT_MODEL), prompt: 'hello' });
    const texts: string[] = [];
    for await (const text of textStream) texts.push(text);
    expect([texts.join(''), await finishReason, (await usage).totalTokens]).toEqual(['Hello there.', 'stop', 29]);
  });

  it.each([false, true])('runs tools over several steps, streamed: %s', async (streamed) => {
    const cities: string[] = [];
    gateway.says({ texts: [], calls: [{ id: 'call_a1', name: 'get_weather', pieces: ['{"city":', '"Paris"}'] }] });
    const options = { model: provider(CHAT_MODEL), prompt: 'Weather?', tools: { get_weather: weather(cities) }, stopWhen: stepCountIs(3) };
    const result = streamed ? streamText(options) : await generateText(options);
    expect([await result.text, cities]).toEqual(['It is sunny.', ['Paris']]);
    expect(gateway.asked().at(-1)!.body.messages.at(-1)).toMatchObject({ role: 'tool', tool_call_id: 'call_a1' });
  });

  it('asks for an object of a schema', async () => {
    gateway.says({ texts: ['{"city":"Paris"}'] });
    const { output } = await generateText({ model: provider(CHAT_MODEL), prompt: 'Where?', output: Output.object({ schema: jsonSchema<{ city: string }>({ type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false }) }) });
    expect(output).toEqual({ city: 'Paris' });
  });

  it('embeds', verifies(['PRS-6.1-02'], async () => {
    const { embeddings, usage } = await embedMany({ model: provider.embeddingModel(EMBED_MODEL), values: ['a', 'b'] });
    expect([embeddings, usage.tokens]).toEqual([[[0.25, -0.5, 0.125, 1], [0.5, -1, 0.25, 2]], 8]);
  }));

  it('reads the message of an error', verifies(['PRS-6.2-06'], async () => {
    const before = gateway.asked().length;
    const poor = await providerOf('tnt_poor');
    await expect(generateText({ model: poor(CHAT_MODEL), prompt: 'hello', maxRetries: 0 })).rejects.toSatisfy((error) => APICallError.isInstance(error) && error.statusCode === 429 && /tokens of this day/.test(error.message));
    expect(gateway.asked().length).toBe(before);
  }));

  it('hands on a stream that broke as an error part', async () => {
    gateway.breaksAfter(3);
    const parts: string[] = [];
    for await (const part of streamText({ model: provider(CHAT_MODEL), prompt: 'hello', onError: () => undefined }).fullStream) parts.push(part.type);
    expect(parts).toContain('error');
    expect(parts.at(-1) === 'finish' && !parts.includes('error')).toBe(false);
  });
});
