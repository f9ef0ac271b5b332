/** The client against a real server on a real socket, one that misbehaves on purpose. */
import { describe, expect, it } from 'vitest';
import { BadRequestError, ConflictError, ConnectionError, NotFoundError, RateLimitError, TimeoutError } from './index.ts';
import { type Answer, cleanUp, failure, json, serverThat } from './server.fixture.ts';

const RUN = { run: { run_id: 'run_1', tenant_id: 'tnt_demo', agent_id: 'agt_demo', status: 'completed', created_at: '2026-01-01T00:00:00Z' }, correlation_id: 'corr_1' };

function event(sequence: number, type: string): string {
  const envelope = { event: { event_id: `evt_${sequence}`, sequence, type, run_id: 'run_1', payload: {} } };
  return `id: ${sequence}\nevent: agentos.event\ndata: ${JSON.stringify(envelope)}\n\n`;
}

describe('calls', () => {
  it('sends the tenant, a body and one idempotency key that is kept over retries', async () => {
    const { client, seen } = await serverThat(failure(503, 'dependency_unavailable', { 'retry-after-ms': '1' }), json(201, RUN));
    const run = await client.runs.create('agt_demo', 'hello');
    expect(run.run_id).toBe('run_1');
    expect(seen.map((call) => [call.method, call.url, call.body])).toEqual(Array(2).fill(['POST', '/v1/agents/agt_demo/runs', '{"input":"hello"}']));
    expect(seen[0]!.headers['x-tenant-id']).toBe('tnt_demo');
    expect(seen[0]!.headers['idempotency-key']).toMatch(/^idem_/);
    expect(seen[1]!.headers['idempotency-key']).toBe(seen[0]!.headers['idempotency-key']);
  });

  it('takes the key of the caller, and gives the response with the data', async () => {
    const { client, seen } = await serverThat(json(200, RUN, { 'idempotency-replayed': 'true' }));
    const { data, response } = await client.runs.create('agt_demo', { input: 'hi' }, { idempotencyKey: 'mine' }).withResponse();
    expect(seen[0]!.headers['idempotency-key']).toBe('mine');
    expect(data.run_id).toBe('run_1');
    expect(response.headers.get('idempotency-replayed')).toBe('true');
  });

  it.each([
    [400, 'invalid_request', BadRequestError],
    [404, 'not_found', NotFoundError],
    [409, 'conflict', ConflictError],
  ] as const)('throws a %i as its own class and does not retry it', async (status, code, ErrorClass) => {
    const { client, seen } = await serverThat(failure(status, code));
    const error = await client.runs.get('run_1').catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ErrorClass);
    expect(error).toMatchObject({ status, code, correlationId: 'corr_1', details: { why: 'test' } });
    expect(seen).toHaveLength(1);
  });

  it('gives up after maxRetries and obeys x-should-retry', async () => {
    const limited = await serverThat(failure(429, 'rate_limited', { 'retry-after-ms': '1' }));
    await expect(limited.client.runs.get('run_1', { maxRetries: 3 })).rejects.toBeInstanceOf(RateLimitError);
    expect(limited.seen).toHaveLength(4);
    const exhausted = await serverThat(failure(429, 'quota_exceeded', { 'x-should-retry': 'false' }));
    await expect(exhausted.client.runs.get('run_1')).rejects.toMatchObject({ code: 'quota_exceeded' });
    expect(exhausted.seen).toHaveLength(1);
  });

  it('ends a call that takes too long, and one whose caller aborts', async () => {
    const { client, seen } = await serverThat(() => undefined);
    await expect(client.runs.get('run_1', { timeout: 50, maxRetries: 1 })).rejects.toBeInstanceOf(TimeoutError);
    expect(seen).toHaveLength(2);
    const reason = new Error('no longer wanted');
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 20);
    await expect(client.runs.get('run_1', { signal: controller.signal })).rejects.toBe(reason);
  });

  it('says what to do when nothing listens', async () => {
    const { client, url } = await serverThat(json(200, RUN));
    await cleanUp();
    const error = await client.runs.get('run_1', { maxRetries: 0 }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ConnectionError);
    expect(String(error)).toContain(url);
    expect(String(error)).toContain('npx agentos status');
  });
});

describe('pages', () => {
  it('walks every item of every page with the id of the last as the cursor', async () => {
    const page = (ids: string[], more: boolean): Answer => json(200, { runs: ids.map((id) => ({ ...RUN.run, run_id: id })), has_more: more, correlation_id: 'corr_1' });
    const { client, seen } = await serverThat(page(['run_3', 'run_2'], true), page(['run_1'], false));
    const ids: string[] = [];
    for await (const run of client.runs.list({ limit: 2 })) ids.push(run.run_id);
    expect(ids).toEqual(['run_3', 'run_2', 'run_1']);
    expect(seen.map((call) => call.url)).toEqual(['/v1/runs?limit=2', '/v1/runs?limit=2&after=run_2']);
  });
});

describe('event streams', () => {
  const stream = (...frames: string[]): Answer => (_request, response) =>
    void response.writeHead(200, { 'content-type': 'text/event-stream' }).end(frames.join(''));

  it('resumes after a broken connection, drops repeats, and ends with the terminal event', async () => {
    const breaks: Answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(`: hello\n\n${event(1, 'agentos.run.created')}${event(2, 'agentos.run.started')}`, () => setTimeout(() => response.destroy(), 20));
    };
    const { client, seen } = await serverThat(breaks, stream(event(2, 'agentos.run.started'), event(3, 'agentos.run.completed')));
    const sequences: number[] = [];
    for await (const item of client.runs.events('run_1')) sequences.push(item.sequence);
    expect(sequences).toEqual([1, 2, 3]);
    expect(seen.map((call) => call.url)).toEqual(['/v1/runs/run_1/events?after_sequence=0', '/v1/runs/run_1/events?after_sequence=2']);
  });

  it('reads a gap again and never delivers across it', async () => {
    const { client } = await serverThat(
      stream(event(1, 'agentos.run.created'), event(3, 'agentos.run.completed')),
      stream(event(2, 'agentos.run.started'), event(3, 'agentos.run.completed')),
    );
    const sequences: number[] = [];
    for await (const item of client.runs.events('run_1')) sequences.push(item.sequence);
    expect(sequences).toEqual([1, 2, 3]);
  });

  it('ends when the cursor stands at the end of a finished run', async () => {
    const { client, seen } = await serverThat(stream(), json(200, RUN));
    for await (const item of client.runs.events('run_1', { after: 9 })) expect.unreachable(`event ${item.sequence}`);
    expect(seen.map((call) => call.url)).toEqual(['/v1/runs/run_1/events?after_sequence=9', '/v1/runs/run_1']);
  });

  it('throws what the server refuses', async () => {
    const { client } = await serverThat(failure(404, 'not_found'));
    await expect(client.runs.events('run_1').next()).rejects.toBeInstanceOf(NotFoundError);
  });
});
