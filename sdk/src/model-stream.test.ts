/** A model's answer as it comes, over a real socket. */
import { describe, expect, it } from 'vitest';
import { ConnectionError, type ModelRequest, NotFoundError, UnavailableError } from './index.ts';
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
