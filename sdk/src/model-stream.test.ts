/** A model's answer as it comes, over a real socket. */
import { describe, expect, it } from 'vitest';
import { type AgentOS, ConnectionError, type ModelRequest, NotFoundError, type OpenaiChatRequest, UnavailableError } from './index.ts';
import { failure, serverThat, type Answer } from './server.fixture.ts';

const request: ModelRequest = { request_id: 'req_1', operation: 'chat', model_ref: 'tier:fast', input: { messages: [{ role: 'user', content: 'hi' }] } };
const delta = (content: string): object => ({ type: 'model.delta', request_id: 'req_1', delta: { content } });
const completed = { type: 'model.completed', request_id: 'req_1', response: { request_id: 'req_1', status: 'ok' }, correlation_id: 'corr_1', tenant_id: 'tnt_demo' };

/** Written byte by byte where `torn`, so that frames arrive in pieces. */
function frames(events: readonly object[], torn = false): Answer {
  return (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'x-correlation-id': 'corr_1' });
    const text = events.map((event) => `event: ${(event as { type: string }).type}\ndata: ${JSON.stringify(event)}\n\n`).join('');
    for (const piece of torn ? Buffer.from(text) : [text]) response.write(typeof piece === 'number' ? Buffer.of(piece) : piece);
    response.end();
  };
}

async function collect(stream: AsyncIterable<unknown>): Promise<{ readonly events: unknown[]; readonly error: unknown }> {
  const events: unknown[] = [];
  try {
    for await (const event of stream) events.push(event);
    return { events, error: null };
  } catch (error) {
    return { events, error };
  }
}

describe('models.stream', () => {
  it.each([[false], [true]])('gives the pieces and the whole answer, torn: %s', async (torn) => {
    const events = [delta('Grüß'), { type: 'model.thought', request_id: 'req_1' }, delta(' dich'), completed];
    const { client, seen } = await serverThat(frames(events, torn));
    expect(await collect(client.models.stream(request))).toEqual({ events: [events[0], events[2], completed], error: null });
    expect([seen[0]!.url, JSON.parse(seen[0]!.body), seen[0]!.headers.accept]).toEqual(['/v1/models:invoke', { request, stream: true }, 'text/event-stream']);
  });

  it('throws what the server ended it with', async () => {
    const failed = { type: 'model.failed', request_id: 'req_1', error: { code: 'dependency_unavailable', message: 'broke', retryable: true, details: { reason: 'stream_truncated' } }, correlation_id: 'corr_1', tenant_id: 'tnt_demo' };
    const { client } = await serverThat(frames([delta('Gr'), failed]));
    const { events, error } = await collect(client.models.stream(request));
    expect(events).toEqual([delta('Gr')]);
    expect(error).toBeInstanceOf(UnavailableError);
    expect(error).toMatchObject({ code: 'dependency_unavailable', retryable: true, correlationId: 'corr_1', details: { reason: 'stream_truncated' } });
  });

  it('does not take a stream that just ends for an answer', async () => {
    const { client } = await serverThat(frames([delta('Gr')]));
    const { events, error } = await collect(client.models.stream(request));
    expect([events.length, error]).toEqual([1, expect.any(ConnectionError)]);
  });

  it('throws a refusal before the first piece, and asks once', async () => {
    const { client, seen } = await serverThat(failure(404, 'not_found'));
    const { events, error } = await collect(client.models.stream(request));
    expect([events, error, seen.length]).toEqual([[], expect.any(NotFoundError), 1]);
  });
});

const chunk = (content: string): object => ({ id: 'chatcmpl_1', object: 'chat.completion.chunk', choices: [{ index: 0, delta: { content }, finish_reason: null }] });

function dataLines(...lines: readonly string[]): Answer {
  return (_request, response) => response.writeHead(200, { 'content-type': 'text/event-stream' }).end(lines.map((line) => `data: ${line}\n\n`).join(''));
}

describe('openai', () => {
  const chat: OpenaiChatRequest = { model: 'tier:fast', messages: [{ role: 'user', content: 'hi' }] };

  it('gives the chunks up to [DONE]', async () => {
    const { client, seen } = await serverThat(dataLines(JSON.stringify(chunk('a')), JSON.stringify(chunk('b')), '[DONE]'));
    expect(await collect(client.openai.streamChat(chat))).toEqual({ events: [chunk('a'), chunk('b')], error: null });
    expect([seen[0]!.url, JSON.parse(seen[0]!.body)]).toEqual(['/v1/chat/completions', { ...chat, stream: true }]);
  });

  it('throws what the stream ended with, and that it just ended', async () => {
    const error = { code: 'dependency_unavailable', message: 'broke', retryable: true, type: 'server_error', param: null };
    const failed = await serverThat(dataLines(JSON.stringify(chunk('a')), JSON.stringify({ error, correlation_id: 'corr_1' })));
    expect(await collect(failed.client.openai.streamChat(chat))).toMatchObject({ events: [chunk('a')], error: { constructor: UnavailableError, code: 'dependency_unavailable', correlationId: 'corr_1' } });
    const cut = await serverThat(dataLines(JSON.stringify(chunk('a'))));
    expect(await collect(cut.client.openai.streamChat(chat))).toEqual({ events: [chunk('a')], error: expect.any(ConnectionError) });
  });

  it.each([
    ['chat', '/v1/chat/completions', (client: AgentOS) => client.openai.chat(chat)],
    ['embed', '/v1/embeddings', (client: AgentOS) => client.openai.embed({ model: 'm', input: 'hi' })],
  ])('%s carries no key, and is never asked twice', async (_name, url, call) => {
    const { client, seen } = await serverThat(failure(503, 'dependency_unavailable', { 'retry-after-ms': '1' }));
    await expect(call(client)).rejects.toBeInstanceOf(UnavailableError);
    expect(seen.map((request) => [request.url, request.headers['idempotency-key']])).toEqual([[url, undefined]]);
  });
});
