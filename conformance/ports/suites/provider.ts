/** What every ProviderPort must do (PRS 6.3): speak to one backend, whole and streamed, count what was used, fail in the platform's codes. */
import { inspect } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ModelToolDescriptor } from '../../../generated/types/index.ts';
import { AnswerAssembly } from '../../../services/model-policy/ports/answer-assembly.ts';
import type { ProviderChatAnswer, ProviderChatRequest, ProviderChunk } from '../../../services/model-policy/ports/provider.ts';
import { verifies } from '../../http/verifies.ts';
import type { ProviderHarness, ProviderUpstreamMode } from '../contract.ts';
import { elapsedMs, expectCapabilities, rejection } from '../fixtures.ts';

type Under = () => ProviderHarness;
const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const ECHO: ModelToolDescriptor = { tool_id: 'tool.echo', name: 'echo', description: 'Repeats a text.', input_schema: { type: 'object', properties: { text: { type: 'string' } }, required: ['text'], additionalProperties: false } };
const ASKS_FOR_ECHO = 'call tool.echo with {"text":"hällo"}';

export function providerSuite(create: () => Promise<ProviderHarness>): void {
  let harness: ProviderHarness | undefined;
  beforeAll(async () => {
    harness = await create();
  });
  beforeEach(() => harness!.upstream?.set('answers'));
  afterAll(() => harness?.dispose());
  const under = () => harness!;
  describe('calls', () => calls(under));
  describe('tools', () => tools(under));
  describe('streams', () => streams(under));
  describe('failures', () => failures(under));
  describe('failures of streams', () => streamFailures(under));
}

const callOptions = (signal = new AbortController().signal) => ({ signal, traceparent: TRACEPARENT });
const has = (under: Under, feature: string): boolean => under().provider.capabilities().features.includes(feature);

async function modelFor(under: Under, capability: 'chat' | 'embed'): Promise<string> {
  const model = (await under().provider.models()).find((candidate) => candidate.capabilities.includes(capability));
  return model === undefined ? expect.fail(`no model of ${under().provider.backend} can ${capability}`) : model.modelId;
}

async function chatRequest(under: Under, overrides: Partial<ProviderChatRequest> = {}): Promise<ProviderChatRequest> {
  return { model: overrides.model ?? (await modelFor(under, 'chat')), messages: [{ role: 'user', content: 'Say hello.' }], tools: [], toolChoice: 'auto', ...overrides };
}

async function chat(under: Under, overrides: Partial<ProviderChatRequest> = {}): Promise<ProviderChatAnswer> {
  return under().provider.chat(await under().newTenant(), await chatRequest(under, overrides), callOptions());
}

/** Everything until the end or the error. */
async function stream(under: Under, overrides: Partial<ProviderChatRequest> = {}, signal?: AbortSignal): Promise<{ chunks: ProviderChunk[]; error: unknown }> {
  const request = await chatRequest(under, overrides);
  const chunks: ProviderChunk[] = [];
  try {
    for await (const chunk of under().provider.chatStream(await under().newTenant(), request, callOptions(signal))) chunks.push(chunk);
  } catch (error) {
    return { chunks, error };
  }
  return { chunks, error: null };
}

function assembled(chunks: readonly ProviderChunk[]): ProviderChatAnswer | null {
  const assembly = new AnswerAssembly();
  for (const chunk of chunks) assembly.add(chunk);
  return assembly.answer();
}

function calls(under: Under): void {
  it('declares what it is and where it runs', verifies(['PRS-6.3-01'], async () => {
    expectCapabilities(under().provider.capabilities());
    expect(under().provider.backend).toMatch(/^[a-z][a-z0-9_-]*$/);
    expect(under().provider.node.length).toBeGreaterThan(0);
    const models = await under().provider.models();
    expect(models.length).toBeGreaterThan(0);
    for (const model of models) expect(model.capabilities.length).toBeGreaterThan(0);
    expect(await under().provider.health(new AbortController().signal)).toMatchObject({ ok: true });
  }));

  it('chats and counts what was used', async () => {
    const answer = await chat(under);
    expect(answer.message.role).toBe('assistant');
    expect(answer.message.content.length).toBeGreaterThan(0);
    expect(answer).toMatchObject({ toolCalls: [], finishReason: 'stop' });
    expect(answer.usage.inputTokens).toBeGreaterThan(0);
    expect(answer.usage.outputTokens).toBeGreaterThan(0);
  });

  it('embeds in the order of the texts, equal texts equally; or says that it cannot', async () => {
    if (!has(under, 'embed')) {
      const refused = under().provider.embed(await under().newTenant(), { model: await modelFor(under, 'chat'), texts: ['x'] }, callOptions());
      expect(await rejection(refused)).toMatchObject({ code: 'invalid_request', retryable: false });
      return;
    }
    const model = await modelFor(under, 'embed');
    const answer = await under().provider.embed(await under().newTenant(), { model, texts: ['one text', 'quite another', 'one text'] }, callOptions());
    expect(answer.vectors).toHaveLength(3);
    expect(answer.vectors[0]).toEqual(answer.vectors[2]);
    expect(answer.vectors[0]).not.toEqual(answer.vectors[1]);
    expect(new Set(answer.vectors.map((vector) => vector.length)).size).toBe(1);
    expect(answer.usage).toMatchObject({ outputTokens: 0 });
    expect(answer.usage.inputTokens).toBeGreaterThan(0);
  });

  it('refuses a model that it does not have', async () => {
    const tenant = await under().newTenant();
    expect((await rejection(chat(under, { model: 'absent-model' }))).code).toBe('not_found');
    expect((await stream(under, { model: 'absent-model' })).error).toMatchObject({ code: 'not_found' });
    if (has(under, 'embed')) expect((await rejection(under().provider.embed(tenant, { model: under().provider.backend === 'aws_bedrock' ? 'cohere.embed-absent' : 'absent-model', texts: ['x'] }, callOptions()))).code).toBe('not_found');
  });

  it('answers equal requests equally where it says so', async ({ skip }) => {
    if (!has(under, 'deterministic')) return skip('does not promise it');
    expect(await chat(under)).toEqual(await chat(under));
    expect((await stream(under)).chunks).toEqual((await stream(under)).chunks);
  });
}

function tools(under: Under): void {
  const asks: Partial<ProviderChatRequest> = { messages: [{ role: 'user', content: ASKS_FOR_ECHO }], tools: [ECHO] };

  it('tells a tool call by its id, with parsed arguments and an id of its own', async () => {
    const answer = await chat(under, asks);
    expect(answer.finishReason).toBe('tool_calls');
    expect(answer.toolCalls).toEqual([{ tool_call_id: expect.stringMatching(/^[\w-]{2,64}$/), tool_id: 'tool.echo', name: 'echo', input: { text: 'hällo' } }]);
    expect((await chat(under, asks)).toolCalls[0]!.tool_call_id, 'the same call of the same trace has the same id').toBe(answer.toolCalls[0]!.tool_call_id);
  });

  it('takes the answer of a tool', async () => {
    const [call] = (await chat(under, asks)).toolCalls;
    const answer = await chat(under, {
      ...asks,
      messages: [...asks.messages!, { role: 'assistant', content: null, tool_calls: [call!] }, { role: 'tool', tool_call_id: call!.tool_call_id!, name: 'echo', content: '{"text":"hällo"}' }],
    });
    expect(answer).toMatchObject({ toolCalls: [], finishReason: 'stop' });
    expect(answer.message.content.length).toBeGreaterThan(0);
  });

  it('calls nothing when it may not', async () => {
    expect(await chat(under, { ...asks, toolChoice: 'none' })).toMatchObject({ toolCalls: [], finishReason: 'stop' });
  });

  it('streams a tool call piece by piece', async () => {
    const { chunks, error } = await stream(under, asks);
    expect(error).toBeNull();
    const pieces = chunks.filter((chunk) => chunk.type === 'tool_call');
    expect(pieces[0]).toMatchObject({ index: 0, toolId: 'tool.echo', name: 'echo', id: expect.stringMatching(/^[\w-]{2,64}$/) });
    for (const piece of pieces.slice(1)) expect(Object.keys(piece).sort()).toEqual(['argumentsDelta', 'index', 'type']);
    expect(JSON.parse(pieces.map((piece) => piece.argumentsDelta).join(''))).toEqual({ text: 'hällo' });
    expect(assembled(chunks)).toEqual(await chat(under, asks));
  });
}

function streams(under: Under): void {
  it('says in pieces what it says whole', async () => {
    const { chunks, error } = await stream(under);
    expect(error).toBeNull();
    expect(chunks.filter((chunk) => chunk.type === 'content').length).toBeGreaterThan(1);
    expect(assembled(chunks)).toEqual(await chat(under));
  });

  it('ends with usage and the reason, once each', async () => {
    const { chunks } = await stream(under);
    expect(chunks.slice(-2).map((chunk) => chunk.type)).toEqual(['usage', 'finish']);
    expect(chunks.filter((chunk) => chunk.type === 'usage' || chunk.type === 'finish')).toHaveLength(2);
    for (const chunk of chunks) if (chunk.type === 'content') expect(chunk.text).not.toBe('');
  });

  it('asks the backend nothing before the first piece is wanted', async ({ skip }) => {
    const { upstream, provider } = under();
    if (upstream === undefined) return skip('asks nobody');
    const request = await chatRequest(under);
    const before = upstream.calls();
    const iterator = provider.chatStream(await under().newTenant(), request, callOptions())[Symbol.asyncIterator]();
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(upstream.calls()).toBe(before);
    await iterator.return?.();
    expect(upstream.calls()).toBe(before);
  });

  it('keeps its connection over streams that were read to their end', async ({ skip }) => {
    const { upstream } = under();
    if (upstream === undefined) return skip('has no connections');
    for (let round = 0; round < 6; round += 1) await stream(under);
    expect(upstream.connections()).toBeLessThanOrEqual(3);
  });
}

type Steered = (mode: ProviderUpstreamMode, test: (overrides: Partial<ProviderChatRequest>) => Promise<void>) => (context: { skip: (note: string) => void }) => Promise<void>;

/** The model is asked for while the backend still answers. */
function steer(under: Under): Steered {
  return (mode, test) => async ({ skip }) => {
    if (under().upstream === undefined) return skip('runs in this process; there is nothing that could fail so');
    const model = await modelFor(under, 'chat');
    under().upstream!.set(mode);
    await test({ model });
  };
}

function failures(under: Under): void {
  const steered = steer(under);

  it('stops on abort', async () => {
    const model = await modelFor(under, 'chat');
    under().upstream?.set('hangs');
    const tenant = await under().newTenant();
    const request = await chatRequest(under, { model });
    const took = await elapsedMs(() => under().provider.chat(tenant, request, callOptions(AbortSignal.timeout(100))).catch(() => {}));
    expect(took).toBeLessThan(2_000);
    expect(await rejection(under().provider.chat(tenant, request, callOptions(AbortSignal.abort())))).toMatchObject({ code: 'timeout' });
    if (under().upstream !== undefined) await expect.poll(() => under().upstream!.open(), { message: 'the call is still open at the backend' }).toBe(0);
  });

  it('says that the backend cannot be reached', steered('unavailable', async (overrides) => {
    expect(await rejection(chat(under, overrides))).toMatchObject({ code: 'dependency_unavailable', retryable: true });
    expect((await stream(under, overrides)).error).toMatchObject({ code: 'dependency_unavailable', retryable: true });
    expect(await under().provider.health(AbortSignal.timeout(2_000))).toMatchObject({ ok: false });
  }));

  it('hands on that it was rate limited', steered('rate-limited', async (overrides) => {
    expect(await rejection(chat(under, overrides))).toMatchObject({ code: 'rate_limited', retryable: true });
    expect((await stream(under, overrides)).error).toMatchObject({ code: 'rate_limited', retryable: true });
  }));

  it('tells load from a fault of the request', steered('overloaded', async (overrides) => {
    expect(await rejection(chat(under, overrides))).toMatchObject({ code: 'dependency_unavailable', retryable: true });
  }));

  it('shows its key nowhere', steered('rate-limited', async (overrides) => {
    const { upstream } = under();
    const errors: unknown[] = [await rejection(chat(under, overrides))];
    for (const mode of ['unavailable', 'overloaded', 'truncates', 'fails-midway'] as const) {
      upstream!.set(mode);
      errors.push(await rejection(chat(under, overrides)).catch((error: unknown) => error), (await stream(under, overrides)).error);
    }
    expect(errors.length).toBe(9);
    expect(errors.map((error) => inspect(error, { depth: 12 })).join('\n')).not.toContain(upstream!.key);
    expect(JSON.stringify(errors)).not.toContain(upstream!.key);
  }));
}

function streamFailures(under: Under): void {
  const steered = steer(under);

  it.for(['truncates', 'ends-early'] as const)('never takes an answer for whole that is not: %s', async (mode, context) => {
    await steered(mode, async (overrides) => {
      const { chunks, error } = await stream(under, overrides);
      expect(error).toMatchObject({ code: 'dependency_unavailable', retryable: true, details: { reason: 'stream_truncated' } });
      expect(chunks.some((chunk) => chunk.type === 'content'), 'what came before the break is handed out').toBe(true);
      expect(chunks.some((chunk) => chunk.type === 'usage' || chunk.type === 'finish')).toBe(false);
    })(context);
  });

  it('throws an error that comes in the middle', steered('fails-midway', async (overrides) => {
    const { chunks, error } = await stream(under, overrides);
    expect(error).toMatchObject({ code: 'dependency_unavailable', details: { in_stream: true } });
    expect(chunks.some((chunk) => chunk.type === 'content')).toBe(true);
    expect(chunks.some((chunk) => chunk.type === 'finish')).toBe(false);
  }));

  it('gives up a backend that falls silent, and closes its connection', steered('stalls', async (overrides) => {
    const { chunks, error } = await stream(under, overrides);
    expect(error).toMatchObject({ code: 'timeout', details: { reason: 'slow_next_byte' } });
    expect(chunks.some((chunk) => chunk.type === 'content')).toBe(true);
    await expect.poll(() => under().upstream!.open()).toBe(0);
  }));

  it('passes an abort on in the middle', steered('stalls', async (overrides) => {
    const controller = new AbortController();
    const request = await chatRequest(under, overrides);
    const took = elapsedMs(async () => {
      const read = (async () => {
        for await (const chunk of under().provider.chatStream(await under().newTenant(), request, callOptions(controller.signal))) if (chunk.type === 'content') controller.abort();
      })();
      expect(await rejection(read)).toMatchObject({ code: 'timeout', details: { reason: 'caller_gone' } });
    });
    expect(await took).toBeLessThan(250);
    await expect.poll(() => under().upstream!.open()).toBe(0);
  }));

  it('ends the call at the backend when its reader leaves', steered('stalls', async (overrides) => {
    const request = await chatRequest(under, overrides);
    for await (const chunk of under().provider.chatStream(await under().newTenant(), request, callOptions())) if (chunk.type === 'content') break;
    await expect.poll(() => under().upstream!.open()).toBe(0);
  }));
}
