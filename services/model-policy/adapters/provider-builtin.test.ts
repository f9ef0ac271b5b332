import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import type { ChatMessage, ModelToolDescriptor } from '../../../generated/types/index.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { estimateTokens } from '../metering/tokens.ts';
import { AnswerAssembly } from '../ports/answer-assembly.ts';
import type { ProviderChatRequest, ProviderChunk } from '../ports/provider.ts';
import { sampleReviews } from '../fixture/sample-reviews.ts';
import { BuiltinProvider } from './provider-builtin.ts';

const AUTH: AuthContext = { tenant_id: 'tnt_test', principal: { principal_id: 'usr', principal_type: 'user' }, scopes: [] };
const provider = new BuiltinProvider('stk_test');
const options = (traceId = '4bf92f3577b34da6a3ce929d0e0e4736') => ({ signal: new AbortController().signal, traceparent: `00-${traceId}-00f067aa0ba902b7-01` });

const tool = (tool_id: string, name: string, properties: Record<string, unknown>, required: string[]): ModelToolDescriptor => ({
  tool_id, name, input_schema: { type: 'object', properties, required, additionalProperties: false },
});
const ECHO = tool('tool.echo', 'echo', { text: { type: 'string' } }, ['text']);
const STATS = tool('tool.text.stats', 'text_stats', { text: { type: 'string' } }, ['text']);
const PUT = tool('tool.kv.put', 'kv_put', { key: { type: 'string', minLength: 1, maxLength: 64 }, value: {} }, ['key', 'value']);
const GET = tool('tool.kv.get', 'kv_get', { key: { type: 'string', minLength: 1 } }, ['key']);
const ODD = tool('tool.odd', 'odd', {
  count: { type: 'integer', minimum: 3, maximum: 9 }, mode: { enum: ['slow', 'fast'] }, on: { type: 'boolean' }, tags: { type: 'array', items: { type: 'string' } },
  nested: { type: 'object', properties: { message: { type: 'string', maxLength: 5 } }, required: ['message'] }, version: { const: 2 },
}, ['count', 'mode', 'on', 'tags', 'nested', 'version']);
const TOOLS = [ECHO, STATS, PUT, GET, ODD];

const user = (content: string): ChatMessage => ({ role: 'user', content });
const system = (content: string): ChatMessage => ({ role: 'system', content });
const called = (used: ModelToolDescriptor, output: unknown): ChatMessage[] => [
  { role: 'assistant', content: '', tool_calls: [{ tool_call_id: 'call_1', tool_id: used.tool_id, name: used.name, input: {} }] },
  { role: 'tool', tool_call_id: 'call_1', name: used.name, content: typeof output === 'string' ? output : JSON.stringify(output) },
];
const chat = (messages: ChatMessage[], more: Partial<ProviderChatRequest> = {}, at = options()) =>
  provider.chat(AUTH, { model: 'builtin-balanced-1', messages, tools: TOOLS, toolChoice: 'auto', ...more }, at);
const callOf = async (messages: ChatMessage[], more: Partial<ProviderChatRequest> = {}) => {
  const { toolCalls } = await chat(messages, more);
  return toolCalls[0] === undefined ? null : { tool: toolCalls[0].tool_id, input: toolCalls[0].input };
};
const say = async (messages: ChatMessage[], more: Partial<ProviderChatRequest> = {}) => (await chat(messages, more)).message.content;

describe('tool calls of the built-in model', () => {
  it.each<[string, ChatMessage[], unknown]>([
    ['the instructions name it by id', [system('Use tool.echo on the input.'), user('hello')], { tool: 'tool.echo', input: { text: 'hello' } }],
    ['the instructions name it by name with a verb', [system('First call the echo tool.'), user('hello')], { tool: 'tool.echo', input: { text: 'hello' } }],
    ['the input quotes what to say', [user('please use the echo tool to say "good morning"')], { tool: 'tool.echo', input: { text: 'good morning' } }],
    ['the input says it after a colon', [user('call tool.echo: one two')], { tool: 'tool.echo', input: { text: 'one two' } }],
    ['the input gives JSON', [user('call tool.kv.put with {"key":"a","value":{"b":[1,"}"]}} please')], { tool: 'tool.kv.put', input: { key: 'a', value: { b: [1, '}'] } } }],
    ['the whole input is JSON that fits', [system('Use tool.kv.put.'), user('{"key":"k","value":1}')], { tool: 'tool.kv.put', input: { key: 'k', value: 1 } }],
    ['JSON that does not fit falls back to filling', [user('call tool.echo with {"txt":"a"}')], { tool: 'tool.echo', input: { text: '{"txt":"a"}' } }],
    ['the input names its values', [user('call tool.kv.put with key=colour and value="dark blue", then tool.kv.get')], { tool: 'tool.kv.put', input: { key: 'colour', value: 'dark blue' } }],
    ['the input gives a pair', [user('use tool.kv.put to store colour=blue')], { tool: 'tool.kv.put', input: { key: 'colour', value: 'blue' } }],
    ['a key comes first in the text', [system('Look it up with tool.kv.get'), user('colour please')], { tool: 'tool.kv.get', input: { key: 'colour' } }],
  ])('are made when %s', async (_name, messages, expected) => {
    expect(await callOf(messages)).toEqual(expected);
  });

  it.each<[string, ChatMessage[]]>([
    ['nobody names one', [system('Be nice.'), user('hello')]],
    ['a bare name is an ordinary word', [user('there is an echo in this room, how odd')]],
    ['it is negated', [system('Never use tool.echo. Do not call the text_stats tool.'), user('hello')]],
    ['the id is part of a longer one', [user('tool.echo.v2 and mytool.echo are not offered')]],
    ['it was called since the user spoke', [system('Use tool.echo.'), user('hello'), ...called(ECHO, { text: 'hello' })]],
  ])('are not made when %s', async (_name, messages) => {
    expect(await callOf(messages)).toBeNull();
  });

  it('obey tool_choice', async () => {
    expect(await callOf([user('use tool.echo')], { toolChoice: 'none' })).toBeNull();
    expect(await callOf([user('count these words')], { toolChoice: 'text_stats' })).toEqual({ tool: 'tool.text.stats', input: { text: 'count these words' } });
    expect(await callOf([user('hello')], { toolChoice: 'tool.echo' })).toEqual({ tool: 'tool.echo', input: { text: 'hello' } });
    expect(await callOf([user('hello'), ...called(ECHO, { text: 'hello' })], { toolChoice: 'tool.echo' })).toBeNull();
  });

  it('come one after the other in the order they are named, again for each user message', async () => {
    const order = [system('Call tool.text.stats, then tool.echo.'), user('a b')];
    expect((await callOf(order))?.tool).toBe('tool.text.stats');
    expect((await callOf([...order, ...called(STATS, { words: 2 })]))?.tool).toBe('tool.echo');
    expect(await callOf([...order, ...called(STATS, { words: 2 }), ...called(ECHO, { text: 'a b' })])).toBeNull();
    expect((await callOf([...order, ...called(STATS, { words: 2 }), user('c')]))?.tool).toBe('tool.text.stats');
  });

  it('fit the schema of the tool, whatever the text', async () => {
    const ajv = new Ajv2020({ strict: false });
    const texts = ['x', 'count 7 fast and on', 'count=4 mode=slow on=true tags=a,b message=hello world', '{"count": 1}', '"', 'key= value=', 'ключ: значение', '\u0000', 'a'.repeat(5000)];
    for (const offered of TOOLS) {
      const fits = ajv.compile(offered.input_schema);
      for (const text of texts) {
        const call = await callOf([system(`Use ${offered.tool_id}.`), user(text)]);
        if (call !== null) expect(fits(call.input), `${offered.tool_id} for ${JSON.stringify(text)}: ${JSON.stringify(fits.errors)}`).toBe(true);
        else expect(await say([system(`Use ${offered.tool_id}.`), user(text)])).toContain(`I cannot call ${offered.tool_id}`);
      }
    }
    expect((await callOf([system('Use tool.odd.'), user('count=4 mode=slow on=yes tags=a,b message=hello')]))?.input)
      .toEqual({ count: 4, mode: 'slow', on: true, tags: ['a'], nested: { message: 'hello' }, version: 2 });
  });

  it('say what is missing in place of guessing', async () => {
    const strict = tool('tool.strict', 'strict', { code: { type: 'string', pattern: '^[A-Z]{3}$' } }, ['code']);
    expect(await say([user('use tool.strict on something')], { tools: [strict] })).toContain('no value for “code”');
    expect(await callOf([user('use tool.strict with code=ABC')], { tools: [strict] })).toEqual({ tool: 'tool.strict', input: { code: 'ABC' } });
  });

  it('have identifiers of their own for each run, equal ones when a run repeats itself', async () => {
    const id = async (trace: string) => (await chat([user('use tool.echo')], {}, options(trace))).toolCalls[0]!.tool_call_id;
    expect(await id('a'.repeat(32))).toBe(await id('a'.repeat(32)));
    expect(await id('a'.repeat(32))).not.toBe(await id('b'.repeat(32)));
  });
});

describe('answers of the built-in model', () => {
  it('tells what tools answered', async () => {
    expect(await say([user('say hello'), ...called(ECHO, { text: 'hello' })])).toBe('hello');
    expect(await say([user('count'), ...called(STATS, { words: 1204, sentences: 98 })])).toBe('tool.text.stats: 1,204 words, 98 sentences.');
    expect(await say([user('x'), ...called(PUT, { ok: true, key: 'a' })])).toBe('tool.kv.put: ok = true, key = a');
    expect(await say([user('x'), ...called(GET, { error: { code: 'not_found', message: 'no such key' } })])).toBe('tool.kv.get failed: no such key');
    expect(await say([user('x'), ...called(GET, { value: { deep: [1] } })])).toBe('tool.kv.get: {"value":{"deep":[1]}}');
  });

  it('says what it is when asked for anything else', async () => {
    const answer = await chat([user('What is the capital of France?')]);
    expect(answer.message.content).toContain('built-in offline model');
    expect(answer.message.content).toContain('What is the capital of France?');
    expect(answer).toMatchObject({ finishReason: 'stop', toolCalls: [] });
    expect(await say([user('')])).toContain('The message was empty.');
  });

  it('condenses a long message without being asked to', async () => {
    const text = Array.from({ length: 12 }, (_, i) => `Sentence number ${i} talks about the harbour and its boats in the evening light.`).join(' ');
    const content = await say([user(text)]);
    expect(content).toContain('main points');
    expect(content.length).toBeLessThan(text.length / 2);
  });

  it('keeps to max_output_tokens and says that it was cut', async () => {
    const cut = await chat([system('Summarise.'), user(sampleReviews())], { maxOutputTokens: 40 });
    expect(cut.finishReason).toBe('length');
    expect(cut.usage.outputTokens).toBeLessThanOrEqual(40);
    expect(cut.usage.outputTokens).toBe(estimateTokens(cut.message.content));
    const fast = await chat([system('Summarise.'), user(sampleReviews())], { model: 'builtin-fast-1', maxOutputTokens: 1_000_000 });
    expect(fast.usage.outputTokens).toBeLessThanOrEqual(512);
  });

  it('refuses models it does not have, and calls that were given up', async () => {
    await expect(chat([user('x')], { model: 'builtin-embed-1' })).rejects.toMatchObject({ code: 'not_found' });
    await expect(chat([user('x')], {}, { signal: AbortSignal.abort(), traceparent: '' })).rejects.toMatchObject({ code: 'timeout' });
  });
});

describe('summaries of the built-in model', () => {
  const reviews = sampleReviews();
  const report = (model = 'builtin-balanced-1') => say([system('Summarise the reviews and list actions.'), user(reviews)], { model });

  it('report on 132 reviews: figures, themes with counts, ranked actions with quotations', async () => {
    expect(await report()).toMatchInlineSnapshot(`
      "**Summary of 132 items, 1360 words, average rating 2.6 of 5: 47 positive, 79 negative, 6 neutral or mixed**

      Key points:
      - Battery dies after two hours of normal use.
      - App freezes during the firmware update and loses my data.
      - Shipping was slow and the courier lost my parcel for a week.
      - Too expensive for what it offers, the price is ridiculous.
      - Customer support ignored my emails and was unhelpful on the phone.

      Themes:
      - battery — 30 mentions, mostly negative
      - app stability — 23 mentions, mostly negative
      - shipping — 18 mentions, mostly negative
      - price — 17 mentions, mixed
      - customer support — 16 mentions, mostly negative
      - screen — 12 mentions, mostly positive
      - app — 6 mentions, neutral
      - returns and warranty — 5 mentions, mostly positive

      Action list:
      1. Fix battery life and charging (23 mentions) — “Battery dies after two hours of normal use.”
      2. Fix the crashes and freezes (23 mentions) — “App freezes during the firmware update and loses my data.”
      3. Fix shipping times and delivery handling (12 mentions) — “Shipping was slow and the courier lost my parcel for a week.”
      4. Make customer support faster and more helpful (11 mentions) — “Customer support ignored my emails and was unhelpful on the phone.”
      5. Review the price and what is included in it (10 mentions) — “Too expensive for what it offers, the price is ridiculous.”
      6. Add a dark mode to the app (6 mentions) — “Please add a dark mode to the app.”
      7. Add wireless charging (4 mentions) — “I wish it had wireless charging.”"
    `);
  });

  it('are the same every time, and shorter from the fast model', async () => {
    expect(await report()).toBe(await report());
    expect((await report('builtin-fast-1')).length).toBeLessThan((await report()).length);
  });

  it('take 132 reviews in well under 30 ms, and a whole body of text in bounded time', async () => {
    await report();
    const times: number[] = [];
    for (let i = 0; i < 10; i += 1) {
      // Processor time: what is measured is the work, not who else uses the machine.
      const before = process.cpuUsage();
      await report();
      const { user: userMicros } = process.cpuUsage(before);
      times.push(userMicros / 1000);
    }
    expect(Math.min(...times)).toBeLessThan(30);
    const started = performance.now();
    await say([system('Summarise.'), user(reviews.repeat(20))], { model: 'builtin-premium-1' });
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  it('carry the figures of a tool at their head', async () => {
    const content = await say([system('Summarise the reviews. Use tool.text.stats first.'), user(reviews), ...called(STATS, { words: 1360 })]);
    expect(content.startsWith('tool.text.stats: 1,360 words.\n\n**Summary of 132 items')).toBe(true);
  });

  it('take tasks out of notes in their own words', async () => {
    const content = await say([system('You summarise notes.'), user('Notes of the platform team. Anna will write the migration plan by Friday. We talked about lunch at great length. TODO: update the runbook. Bob must check the backups before the upgrade starts.')]);
    expect(content).toContain('Anna will write the migration plan by Friday');
    expect(content).toContain('Update the runbook');
    expect(content).toContain('Bob must check the backups');
  });

  it('admit that there is too little to summarise', async () => {
    expect(await say([user('Summarize the top themes in these reviews.')])).toContain('There is no text to summarise');
    expect(await say([system('Summarise.'), user('hello')])).toContain('already short');
  });
});

describe('embeddings of the built-in model', () => {
  const embed = async (...texts: string[]) => (await provider.embed(AUTH, { model: 'builtin-embed-1', texts }, options())).vectors;
  const cosine = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);

  it('are unit vectors of 256 numbers, equal for equal texts', async () => {
    const vectors = await embed('The battery drains fast.', '', '!!!', 'ünïcödé 日本語', 'a'.repeat(20_000), 'The battery drains fast.');
    for (const vector of vectors) {
      expect(vector).toHaveLength(256);
      expect(Math.sqrt(cosine(vector, vector))).toBeCloseTo(1, 6);
    }
    expect(vectors[0]).toEqual(vectors[5]);
  });

  it.each([
    ['The battery drains fast', 'Battery draining too fast', 'Shipping took three weeks'],
    ['The app crashes on startup', 'App crashed when starting', 'I love the bright screen'],
    ['customer support was rude', 'The support team was very rude to customers', 'great value for the price'],
    ['reset your password', 'password reset instructions', 'chocolate cake recipe'],
  ])('put %j nearer to %j than to %j', async (text, similar, other) => {
    const [a, b, c] = await embed(text, similar, other);
    expect(cosine(a!, b!)).toBeGreaterThan(cosine(a!, c!) + 0.15);
  });

  it('count their input', async () => {
    expect((await provider.embed(AUTH, { model: 'builtin-embed-1', texts: ['abcd', 'abcdefgh'] }, options())).usage).toEqual({ inputTokens: 3, outputTokens: 0 });
    await expect(provider.embed(AUTH, { model: 'builtin-fast-1', texts: ['x'] }, options())).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('the built-in model in streams', () => {
  const stream = async (messages: ChatMessage[], more: Partial<ProviderChatRequest> = {}, signal = new AbortController().signal) => {
    const chunks: ProviderChunk[] = [];
    for await (const chunk of provider.chatStream(AUTH, { model: 'builtin-balanced-1', messages, tools: TOOLS, toolChoice: 'auto', ...more }, { ...options(), signal })) chunks.push(chunk);
    return chunks;
  };
  const assembled = (chunks: readonly ProviderChunk[]) => {
    const assembly = new AnswerAssembly();
    for (const chunk of chunks) assembly.add(chunk);
    return assembly.answer();
  };

  it.each([
    ['prose', [user('hello   there,\n\nthis is  a message\n')]], ['a report', [system('Summarise.'), user(sampleReviews())]], ['a call', [user('call tool.kv.put with {"key":"a b","value":{"b":[1,"} ö"]}}')]],
  ])('says %s as it does whole, always cut at the same places', async (_what, messages) => {
    const chunks = await stream(messages);
    expect(assembled(chunks)).toEqual(await chat(messages));
    expect(await stream(messages)).toEqual(chunks);
    expect(chunks.length).toBeGreaterThan(3);
  });

  it('stops where its caller goes', async () => {
    const controller = new AbortController();
    const read = (async () => {
      for await (const _chunk of provider.chatStream(AUTH, { model: 'builtin-balanced-1', messages: [user('one two three four five six seven eight nine ten')], tools: [], toolChoice: 'auto' }, { ...options(), signal: controller.signal })) controller.abort();
    })();
    await expect(read).rejects.toMatchObject({ code: 'timeout' });
  });

  it('ends before a stop text', async () => {
    const whole = await say([user('alpha beta gamma delta')]);
    expect(await say([user('alpha beta gamma delta')], { stop: ['gamma', 'never'] })).toBe(whole.slice(0, whole.indexOf('gamma')));
  });

  it('has vectors of one length', async () => {
    await expect(provider.embed(AUTH, { model: 'builtin-embed-1', texts: ['x'], dimensions: 64 }, options())).rejects.toMatchObject({ code: 'invalid_request', message: expect.stringContaining('256') });
    expect((await provider.embed(AUTH, { model: 'builtin-embed-1', texts: ['x'], dimensions: 256 }, options())).vectors[0]).toHaveLength(256);
  });
});
