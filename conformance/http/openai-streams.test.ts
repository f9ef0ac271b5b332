/** Streamed answers of Model Policy on both surfaces: what is sent, what is booked, and what happens when either side goes away. */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ModelRequest, ModelStreamEvent, OpenaiChatFrame } from '../../generated/types/index.ts';
import { validators } from '../../generated/validators/schemas.js';
import { newId } from '../../services/platform/ids.ts';
import { AgentOS } from '../../sdk/src/index.ts';
import { startModelStub } from '../../services/model-policy/fixture/model-server-stub.ts';
import { authOf, startModelPolicy } from '../../services/model-policy/fixture/running-model-policy.ts';
import { framesOpenAi, sse } from '../../services/model-policy/fixture/vendor-openai.ts';
import { CHAT_MODEL, startGateway, type Gateway } from '../clients/gateway.ts';
import { verifies } from './verifies.ts';

let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway([{ tenant_id: 'tnt_budget', quotas: { models: { token_budget: { window: 'day', max_tokens: 1_000_000 } } } }, { tenant_id: 'tnt_twice' }, { tenant_id: 'tnt_strict', default_policy_id: 'pol_strict' }]);
  await gateway.service.rules.put(authOf('tnt_strict'), { policyId: 'pol_strict', description: null, rules: [{ id: 'mail', kind: 'pii', types: ['email'], action: 'redact' }, { id: 'secret', kind: 'terms', terms: ['Project Falcon'], action: 'block' }] });
});
beforeEach(() => gateway.says({}));
afterEach(() => { expect(gateway.upstream.open()).toBe(0); });
afterAll(() => gateway?.close());

const messages = [{ role: 'user', content: 'hello' }];
const canonical = (requestId = newId('req'), more: object = {}) => ({ stream: true, request: { request_id: requestId, operation: 'chat', model_ref: CHAT_MODEL, input: { messages }, ...more } });
const openai = (more: object = {}) => ({ model: CHAT_MODEL, messages, stream: true, ...more });

/** The frames of a stream, each held to the contract. */
function framesOf(text: string): (ModelStreamEvent | OpenaiChatFrame)[] {
  const data = text.split('\n\n').map((each) => /^data: (.*)$/m.exec(each)?.[1]).filter((each) => each !== undefined && each !== '[DONE]');
  return data.map((each) => {
    const frame = JSON.parse(each!) as ModelStreamEvent | OpenaiChatFrame;
    const validate = 'type' in frame ? validators.ModelStreamEvent : validators.OpenaiChatFrame;
    expect([validate(frame), validate.errors], each).toEqual([true, null]);
    return frame;
  });
}

async function events(body: unknown, tenant = 'tnt_test', headers: Record<string, string> = {}): Promise<ModelStreamEvent[]> {
  const answer = await gateway.service.call('POST', '/v1/models:invoke', { body, tenant, headers });
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8']);
  return framesOf(answer.body as string) as ModelStreamEvent[];
}

const newest = async (tenant: string, limit = 1) => (await gateway.service.usage.entries(authOf(tenant), { limit })).entries;

describe('a streamed answer', () => {
  it('comes as deltas and one whole answer on the canonical surface', verifies(['PRS-6.2-01', 'PRS-6.2-08'], async () => {
    const all = await events(canonical('req_whole'));
    const deltas = all.slice(0, -1).map((event) => (event.type === 'model.delta' ? event.delta.content : '?'));
    const last = all.at(-1)!;
    expect(deltas.join('')).toBe('Hello there.');
    expect(last).toMatchObject({
      type: 'model.completed', request_id: 'req_whole', tenant_id: 'tnt_test',
      response: { output: { message: { content: 'Hello there.' }, finish_reason: 'stop' }, usage: { input_tokens: 19, output_tokens: 10, cost_usd: 39e-6, estimated: false }, policy_outcome: { decision: 'allowed' }, route: { backend: 'openai' } },
    });
  }));

  it('comes for the asking by Accept too, and an embedding in one piece', async () => {
    const { stream: _stream, ...body } = canonical();
    expect((await events(body, 'tnt_test', { accept: 'text/event-stream' })).at(-1)!.type).toBe('model.completed');
    const embed = { stream: true, request: { request_id: newId('req'), operation: 'embed', model_ref: 'stub-embed', input: { texts: ['a'] } } };
    expect(await events(embed)).toMatchObject([{ type: 'model.completed', response: { output: { embeddings: [{ vector: [0.25, -0.5, 0.125, 1] }] } } }]);
    expect((await events({ operation: 'chat', stream: true, input: { text: 'hello' } })).at(-1)).toMatchObject({ type: 'model.completed', response: { output: { message: { content: 'Hello there.' } } } });
  });

  it('is read by the SDK', async () => {
    const client = new AgentOS({ tenantId: 'tnt_test', baseUrl: gateway.service.url });
    const all = [];
    for await (const event of client.models.stream(canonical().request as ModelRequest)) all.push(event);
    expect(all.at(-1)).toMatchObject({ type: 'model.completed', response: { output: { message: { content: 'Hello there.' } } } });
  });

  it('carries tool calls', async () => {
    gateway.says({ texts: ['Let me see. '], calls: [{ id: 'call_1', name: 'look', pieces: ['{"at":', '"sky"}'] }, { id: 'call_2', name: 'look', pieces: ['{}'] }] });
    const tools = [{ tool_id: 'tool_look', name: 'look', input_schema: { type: 'object' } }];
    const all = await events(canonical(newId('req'), { input: { messages, tools } }));
    const written = new Map<number, string>();
    for (const event of all) if (event.type === 'model.delta' && event.delta.tool_call) written.set(event.delta.tool_call.index, (written.get(event.delta.tool_call.index) ?? '') + (event.delta.tool_call.input_delta ?? ''));
    expect([...written]).toEqual([[0, '{"at":"sky"}'], [1, '{}']]);
    expect(all.at(-1)).toMatchObject({ response: { output: { finish_reason: 'tool_calls', tool_calls: [{ tool_call_id: 'call_1', tool_id: 'tool_look', input: { at: 'sky' } }, { tool_call_id: 'call_2', input: {} }] } } });
  });

  it('is a status as long as nothing has been sent', async () => {
    for (const [path, body] of [['/v1/models:invoke', canonical(newId('req'), { model_ref: 'gpt-99' })], ['/v1/chat/completions', openai({ model: 'gpt-99' })]] as const) {
      expect((await gateway.service.call('POST', path, { body })).status).toBe(404);
    }
    gateway.failsOnce({ kind: 'hang_up' });
    const answer = await gateway.service.call('POST', '/v1/chat/completions', { body: openai() });
    expect([answer.status, answer.body.error.type]).toEqual([503, 'server_error']);
    expect((await newest('tnt_test'))[0]!.state).toBe('released');
  });

  it('comes from the next backend where the first fails before its first byte, and from no other after that', verifies(['PRS-6.3-07'], async () => {
    const second = await startModelStub();
    const own = await startModelPolicy({ env: { OPENAI_BASE_URL: gateway.upstream.baseUrl, AGENTOS_MODEL_OPENAI_MODELS: 'balanced=one', AGENTOS_MODEL_VLLM_BASE_URL: second.baseUrl, AGENTOS_MODEL_VLLM_MODELS: 'balanced=two' } });
    second.answer = { kind: 'stream', contentType: 'text/event-stream', chunks: framesOpenAi({ texts: ['From the ', 'second.'], calls: [], usage: { input: 3, output: 4 }, finish: 'stop' }) };
    const ask = async (): Promise<(ModelStreamEvent | OpenaiChatFrame)[]> => framesOf((await own.call('POST', '/v1/chat/completions', { body: openai({ model: 'tier:balanced' }) })).body as string);
    const booked = async () => (await own.usage.entries(authOf('tnt_test'), { limit: 2 })).entries.map(({ state, backend, fallbackUsed }) => [state, backend, fallbackUsed]);
    gateway.breaksAfter(3);
    expect((await ask()).at(-1)).toMatchObject({ error: { code: 'dependency_unavailable' } });
    expect([second.calls.length, await booked()]).toEqual([0, [['partial', 'openai', false]]]);
    gateway.failsOnce({ kind: 'json', status: 503, body: {} });
    expect((await ask()).at(-1)).toMatchObject({ route: { backend: 'vllm', model: 'two', fallback_used: true } });
    expect(await booked()).toEqual([['settled', 'vllm', true], ['released', 'openai', false]]);
    await own.close();
    await second.close();
  }));

  it('that breaks ends in one typed error and is booked as partial', verifies(['PRS-6.1-01', 'PRS-6.2-06'], async () => {
    gateway.breaksAfter(3);
    const all = await events(canonical('req_broken'), 'tnt_budget');
    expect(all.filter((event) => event.type !== 'model.delta')).toMatchObject([{ type: 'model.failed', request_id: 'req_broken', error: { code: 'dependency_unavailable', details: { reason: 'stream_truncated' } }, usage: { estimated: true } }]);
    const [entry] = await newest('tnt_budget');
    expect(entry).toMatchObject({ requestId: 'req_broken', state: 'partial', estimated: true });
    expect(entry!.outputTokens).toBeGreaterThan(0);
    const answer = await gateway.service.call('POST', '/v1/chat/completions', { body: openai(), tenant: 'tnt_budget' });
    expect(answer.body).not.toContain('[DONE]');
    expect(framesOf(answer.body as string).at(-1)).toMatchObject({ error: { code: 'dependency_unavailable', type: 'server_error', param: null }, tenant_id: 'tnt_budget' });
    expect(await gateway.service.usage.budgets(authOf('tnt_budget'))).toMatchObject([{ reservedTokens: 0 }]);
  }));

  it('is judged over the borders of its pieces, tool calls too', verifies(['PRS-6.2-02', 'PRS-6.2-07', 'HLD-6.2-01'], async () => {
    gateway.says({ texts: ['Write to jane.d', 'oe@exa', 'mple.org', ' today.'], calls: [{ id: 'call_1', name: 'send', pieces: ['{"to":"john', '@example.org"}'] }] });
    const tools = [{ type: 'function', function: { name: 'send', parameters: { type: 'object' } } }];
    const answer = await gateway.service.call('POST', '/v1/chat/completions', { body: openai({ tools }), tenant: 'tnt_strict' });
    const chunks = framesOf(answer.body as string).filter((frame) => 'choices' in frame);
    const deltas = chunks.flatMap((chunk) => chunk.choices.map((choice) => choice.delta));
    expect(deltas.map((delta) => delta.content ?? '').join('')).toBe('Write to [redacted:email] today.');
    expect(deltas.flatMap((delta) => delta.tool_calls ?? []).map((call) => call.function?.arguments).join('')).toBe('{"to":"[redacted:email]"}');
    expect(chunks.at(-1)!.policy_outcome).toMatchObject({ decision: 'redacted', redactions: expect.arrayContaining([expect.objectContaining({ type: 'email', count: 1 })]) as unknown[] });
    expect(answer.body).not.toMatch(/oe@exa|john@/);
  }));

  it('that policy refuses ends there, at the backend too', verifies(['PRS-6.2-07'], async () => {
    gateway.says({ texts: ['All about ', 'Project ', 'Fal', 'con', ' and more. ', ...Array.from({ length: 200 }, () => 'word ')] });
    const all = await events(canonical('req_refused'), 'tnt_strict');
    expect(all.at(-1)).toMatchObject({ type: 'model.failed', error: { code: 'policy_blocked' }, policy_outcome: { decision: 'blocked' }, usage: { estimated: true } });
    expect(JSON.stringify(all)).not.toContain('Fal');
    for (let tries = 0; tries < 100 && gateway.upstream.open() > 0; tries += 1) await new Promise((resolve) => { setTimeout(resolve, 10); });
    expect((await newest('tnt_strict'))[0]).toMatchObject({ requestId: 'req_refused', state: 'partial' });
  }));

  it('is made and charged once for one request_id, also while it is under way', async () => {
    const before = gateway.asked().length;
    const body = canonical('req_twice');
    const both = await Promise.all([events(body, 'tnt_twice'), events(body, 'tnt_twice')]);
    const later = await events(body, 'tnt_twice');
    for (const all of [...both, later]) {
      expect(all.filter((event) => event.type === 'model.delta').map((event) => event.delta.content).join('')).toBe('Hello there.');
      expect(all.at(-1)).toMatchObject({ type: 'model.completed', response: { usage: { total_tokens: 29 } } });
    }
    const { stream: _stream, ...whole } = body;
    expect((await gateway.service.call('POST', '/v1/models:invoke', { body: whole, tenant: 'tnt_twice' })).body.response.output.message.content).toBe('Hello there.');
    expect([gateway.asked().length - before, (await newest('tnt_twice', 10)).length]).toEqual([1, 1]);
  });
});

describe('a caller who goes away', () => {
  const send = (path: string, body: unknown): Promise<{ readonly answer: IncomingMessage; leave(): void }> => new Promise((resolve, reject) => {
    const request = httpRequest(`${gateway.service.url}${path}`, { method: 'POST', headers: { 'content-type': 'application/json', 'x-tenant-id': 'tnt_budget' } }, (answer) => resolve({ answer, leave: () => request.destroy() }));
    request.on('error', reject);
    request.end(JSON.stringify(body));
  });

  const settled = async (count: number): Promise<void> => {
    for (let tries = 0; tries < 200 && ((await newest('tnt_budget', 100)).length <= count || gateway.upstream.open() > 0); tries += 1) await new Promise((resolve) => { setTimeout(resolve, 10); });
  };

  it.each([['/v1/chat/completions', openai()], ['/v1/models:invoke', canonical('req_left')]])('ends the call at the backend, and what it used is booked: %s', async (path, body) => {
    const chunk = sse({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: CHAT_MODEL, choices: [{ index: 0, delta: { content: 'word '.repeat(100) }, finish_reason: null }] });
    gateway.upstream.answer = { kind: 'stream', contentType: 'text/event-stream', chunks: Array.from({ length: 5 }, () => chunk), then: 'silence' };
    const count = (await newest('tnt_budget', 100)).length;
    const { answer, leave } = await send(path, body);
    await new Promise((resolve) => { answer.once('data', resolve); });
    expect(gateway.upstream.open()).toBe(1);
    leave();
    await settled(count);
    const [entry] = await newest('tnt_budget');
    expect(entry).toMatchObject({ state: 'partial', estimated: true, model: CHAT_MODEL });
    expect(entry!.outputTokens).toBeGreaterThan(100);
    expect(await gateway.service.usage.budgets(authOf('tnt_budget'))).toMatchObject([{ reservedTokens: 0 }]);
  });

  it('before the first byte is booked with what the backend was given', async () => {
    gateway.upstream.answer = { kind: 'silent' };
    const count = (await newest('tnt_budget', 100)).length;
    const asked = gateway.asked().length;
    const request = httpRequest(`${gateway.service.url}/v1/chat/completions`, { method: 'POST', headers: { 'content-type': 'application/json', 'x-tenant-id': 'tnt_budget' } });
    request.on('error', () => undefined);
    request.end(JSON.stringify(openai()));
    for (let tries = 0; tries < 200 && gateway.asked().length === asked; tries += 1) await new Promise((resolve) => { setTimeout(resolve, 10); });
    request.destroy();
    await settled(count);
    expect((await newest('tnt_budget'))[0]).toMatchObject({ state: 'partial', outputTokens: 0 });
    expect(await gateway.service.usage.budgets(authOf('tnt_budget'))).toMatchObject([{ reservedTokens: 0 }]);
  });

  it('or reads nothing slows the backend down, and nothing piles up here', async () => {
    const text = 'word '.repeat(13_000);
    const chunk = sse({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: CHAT_MODEL, choices: [{ index: 0, delta: { content: text }, finish_reason: null }] });
    let sent = 0;
    // Endless for this test: the stub writes one chunk after the other has been taken.
    const chunks = { *entries() { for (; sent < 3_000; sent += 1) yield [sent, chunk]; } } as unknown as readonly string[];
    gateway.upstream.answer = { kind: 'stream', contentType: 'text/event-stream', chunks };
    const count = (await newest('tnt_budget', 100)).length;
    const { answer, leave } = await send('/v1/chat/completions', openai());
    answer.pause();
    let last = -1;
    for (let tries = 0; tries < 100 && last !== sent; tries += 1) {
      last = sent;
      await new Promise((resolve) => { setTimeout(resolve, 150); });
    }
    // What the sockets of two connections take, in chunks of 65 kB; the 16 MB of a whole answer would be 240.
    expect(sent).toBeGreaterThan(0);
    expect(sent).toBeLessThan(230);
    leave();
    await settled(count);
    expect((await newest('tnt_budget'))[0]).toMatchObject({ state: 'partial' });
  });
});
