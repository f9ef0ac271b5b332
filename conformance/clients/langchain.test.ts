/** LangChain's ChatOpenAI and OpenAIEmbeddings, unchanged but for the base URL. */
import { AIMessage, type AIMessageChunk, HumanMessage, SystemMessage, ToolMessage } from '@langchain/core/messages';
import { ChatOpenAI, ChatOpenAICompletions, OpenAIEmbeddings } from '@langchain/openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { verifies } from '../http/verifies.ts';
import { CHAT_MODEL, EMBED_MODEL, startGateway, type Gateway } from './gateway.ts';

const WEATHER = { type: 'function' as const, function: { name: 'get_weather', description: 'Weather of a city.', parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } } };

async function joined(chunks: AsyncIterable<AIMessageChunk>): Promise<AIMessageChunk> {
  let whole: AIMessageChunk | null = null;
  for await (const chunk of chunks) whole = whole === null ? chunk : whole.concat(chunk);
  return whole!;
}

describe("LangChain's ChatOpenAI", () => {
  let gateway: Gateway;
  let apiKey: string;
  const model = (tenantKey = apiKey, more: object = {}): ChatOpenAI => new ChatOpenAI({ model: CHAT_MODEL, apiKey: tenantKey, configuration: { baseURL: gateway.baseURL }, maxRetries: 1, temperature: 0, ...more });

  beforeAll(async () => {
    gateway = await startGateway([{ tenant_id: 'tnt_poor', quotas: { models: { token_budget: { window: 'day', max_tokens: 10 } } } }]);
    apiKey = await gateway.keyFor('tnt_test');
  });
  beforeEach(() => gateway.says({}));
  afterAll(() => gateway?.close());

  it('invokes', verifies(['PRS-6.1-01'], async () => {
    const answer = await model().invoke([new SystemMessage('Be brief.'), new HumanMessage({ content: [{ type: 'text', text: 'hello' }] })]);
    expect(answer.content).toBe('Hello there.');
    expect(answer.usage_metadata).toMatchObject({ input_tokens: 19, output_tokens: 10, total_tokens: 29 });
    expect(answer.response_metadata).toMatchObject({ finish_reason: 'stop' });
    expect(gateway.asked().at(-1)!.body.messages).toEqual([{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'hello' }]);
  }));

  it('streams, and counts its tokens', async () => {
    let whole = '';
    let tokens = 0;
    for await (const chunk of await model().stream('hello')) {
      whole += chunk.content as string;
      tokens += chunk.usage_metadata?.total_tokens ?? 0;
    }
    expect([whole, tokens]).toEqual(['Hello there.', 29]);
  });

  it('invokes with streaming on, where its token counting is kept from the network', async () => {
    // With `streaming: true` an invocation counts tokens by a table that LangChain fetches from tiktoken.pages.dev, trying
    // again for a minute where that host cannot be reached. Counting them oneself, here by length, keeps it from asking.
    class CountsByLength extends ChatOpenAICompletions {
      override async getNumTokens(content: unknown): Promise<number> {
        return Math.ceil(JSON.stringify(content).length / 4);
      }
    }
    const completions = new CountsByLength({ model: CHAT_MODEL, apiKey, configuration: { baseURL: gateway.baseURL }, streaming: true });
    const answer = await model(apiKey, { streaming: true, completions }).invoke('hello');
    expect(answer.content).toBe('Hello there.');
    expect(gateway.asked().at(-1)!.body.stream).toBe(true);
  });

  it.each([false, true])('calls tools and goes on with their answers, streamed: %s', async (streamed) => {
    const bound = model().bindTools([WEATHER], { tool_choice: 'get_weather' });
    gateway.says({ texts: [], calls: [{ id: 'call_a1', name: 'get_weather', pieces: ['{"city":', '"Paris"}'] }] });
    const question = new HumanMessage('Weather?');
    const asked = streamed ? await joined(await bound.stream([question])) : await bound.invoke([question]);
    expect(asked.tool_calls).toMatchObject([{ id: 'call_a1', name: 'get_weather', args: { city: 'Paris' }, type: 'tool_call' }]);
    gateway.says({ texts: ['Sunny.'] });
    const done = await bound.invoke([question, new AIMessage({ content: asked.content, tool_calls: asked.tool_calls ?? [] }), new ToolMessage({ tool_call_id: 'call_a1', content: 'clear sky' })]);
    expect(done.content).toBe('Sunny.');
    expect(gateway.asked().at(-1)!.body.messages.at(-1)).toEqual({ role: 'tool', tool_call_id: 'call_a1', content: 'clear sky' });
  });

  it('asks for an answer of a shape', async () => {
    gateway.says({ texts: ['{"city":"Paris"}'] });
    const shaped = model().withStructuredOutput({ title: 'place', type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false }, { method: 'jsonSchema' });
    expect(await shaped.invoke('Where?')).toEqual({ city: 'Paris' });
    expect(gateway.asked().at(-1)!.body.response_format.type).toBe('json_schema');
  });

  it('is told of an exhausted budget once', verifies(['PRS-6.2-06'], async () => {
    const before = gateway.asked().length;
    await expect(model(await gateway.keyFor('tnt_poor'), { maxRetries: 3 }).invoke('hello')).rejects.toMatchObject({ status: 429, code: 'insufficient_quota' });
    expect(gateway.asked().length).toBe(before);
  }));

  it('embeds', verifies(['PRS-6.1-02'], async () => {
    const embeddings = new OpenAIEmbeddings({ model: EMBED_MODEL, apiKey, configuration: { baseURL: gateway.baseURL } });
    expect(await embeddings.embedDocuments(['a', 'b'])).toEqual([[0.25, -0.5, 0.125, 1], [0.5, -1, 0.25, 2]]);
  }));
});
