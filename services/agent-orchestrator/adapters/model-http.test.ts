import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { ModelRequest } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { AUTH } from '../runtime/runtime.fixture.ts';
import { HttpModel, type HttpModelOptions } from './model-http.ts';

interface Answer {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body: unknown;
}

let server: Server | null = null;
let model: HttpModel | null = null;
afterEach(async () => {
  await model?.close();
  await new Promise((resolve) => (server === null ? resolve(null) : (server.closeAllConnections(), server.close(resolve))));
});

const OK = { response: { request_id: 'req_1', status: 'ok' }, correlation_id: 'c' };
const REQUEST: ModelRequest = { request_id: 'req_1', operation: 'chat', model_ref: 'tier:balanced', input: { messages: [{ role: 'user', content: 'x' }] } };
const options = { timeoutMs: 2_000, signal: new AbortController().signal, traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', correlationId: 'corr_1' };

async function start(answer: (request: IncomingMessage, body: string, count: number) => Answer | null | 'hang', more: Partial<HttpModelOptions> = {}): Promise<HttpModel> {
  let count = 0;
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const found = answer(request, Buffer.concat(chunks).toString(), (count += 1));
      if (found === 'hang') return;
      if (found === null) return void request.socket.destroy();
      response.writeHead(found.status, { 'content-type': 'application/json', ...found.headers });
      response.end(typeof found.body === 'string' ? found.body : JSON.stringify(found.body));
    });
  });
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  model = new HttpModel({ baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/base/`, credentials: async () => ({ authorization: 'Bearer t' }), ...more });
  return model;
}

const failure = async (call: Promise<unknown>): Promise<AgentOsError> => {
  const error = await call.then(() => new Error('It succeeded.'), (thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(AgentOsError);
  return error as AgentOsError;
};

describe('Model Policy over HTTP', () => {
  it('makes a call once more whose answer is lost, under an id of its own', async () => {
    const asked: string[] = [];
    const http = await start((_request, body, count) => {
      asked.push((JSON.parse(body) as { request: ModelRequest }).request.request_id);
      const details = { reason: count === 1 ? 'request_id_used' : 'request_id_reused' };
      return count === 2 ? { status: 200, body: OK } : { status: 409, body: { error: { code: 'conflict', message: 'Used.', retryable: false, details }, correlation_id: 'c' } };
    });
    expect(await http.chat(AUTH, REQUEST, options)).toEqual(OK.response);
    expect(asked).toEqual(['req_1', 'req_1.again']);
    expect((await failure(http.chat(AUTH, REQUEST, options))).code).toBe('conflict');
    expect(asked).toHaveLength(3);
  });

  it('goes on where several answers are lost in a row, under the same ids for everybody, and not without end', async () => {
    const lost = { status: 409, body: { error: { code: 'conflict', message: 'Used.', retryable: false, details: { reason: 'request_id_used' } }, correlation_id: 'c' } };
    const asked: string[] = [];
    let left = 3;
    const http = await start((_request, body) => {
      asked.push((JSON.parse(body) as { request: ModelRequest }).request.request_id);
      return left-- > 0 ? lost : { status: 200, body: OK };
    });
    expect(await http.chat(AUTH, REQUEST, options)).toEqual(OK.response);
    expect(asked).toEqual(['req_1', 'req_1.again', 'req_1.again2', 'req_1.again3']);
    left = Number.POSITIVE_INFINITY;
    expect(await failure(http.chat(AUTH, REQUEST, options))).toMatchObject({ code: 'conflict', details: { reason: 'request_id_used' } });
    expect(asked.length).toBeLessThan(20);
  });

  it('is called as the service, for the tenant of the run', async () => {
    let seen: { headers: Record<string, unknown>; url: string; body: unknown } | null = null;
    const http = await start((request, body) => {
      seen = { headers: request.headers, url: request.url!, body: JSON.parse(body) };
      return { status: 200, body: OK };
    });
    expect(await http.chat({ ...AUTH, policy_context: { data_classification: 'confidential', region: 'eu', purpose: 'x' } }, REQUEST, options)).toEqual(OK.response);
    expect(seen!).toMatchObject({
      url: '/base/v1/models:invoke',
      headers: { authorization: 'Bearer t', 'x-correlation-id': 'corr_1', traceparent: options.traceparent },
      body: { request: REQUEST, traceparent: options.traceparent, auth: { tenant_id: 'tnt_test', principal: { principal_id: 'svc_agent-orchestrator', principal_type: 'service' }, on_behalf_of: { principal_id: AUTH.principal.principal_id, principal_type: AUTH.principal.principal_type }, policy_context: { data_classification: 'confidential', region: 'eu', purpose: 'agent_run' } } },
    });
  });

  it('is asked again when the connection breaks', async () => {
    const http = await start((_request, _body, count) => (count < 3 ? null : { status: 200, body: OK }));
    expect((await http.chat(AUTH, REQUEST, options)).status).toBe('ok');
  });

  it('keeps the codes, details and patience of an error', async () => {
    const http = await start(() => ({ status: 429, headers: { 'retry-after': '7' }, body: { error: { code: 'rate_limited', message: 'Slow down.', retryable: true, details: { limit: 5 } }, correlation_id: 'c' } }));
    const error = await failure(http.chat(AUTH, REQUEST, options));
    expect(error).toMatchObject({ code: 'rate_limited', message: 'Slow down.', retryable: true, retryAfterSeconds: 7, details: { limit: 5, service: 'model-policy' } });
  });

  it('is unavailable when it is broken, and does not pass on what it says then', async () => {
    for (const answer of [{ status: 500, body: { error: { code: 'internal_error', message: 'secret stack' } } }, { status: 502, body: '<html>' }, { status: 200, body: 'not json' }, { status: 200, body: {} }] as const) {
      const http = await start(() => answer);
      const error = await failure(http.chat(AUTH, REQUEST, options));
      expect(error).toMatchObject({ code: 'dependency_unavailable', retryable: true, details: { service: 'model-policy' } });
      expect(error.message).not.toContain('secret');
    }
  });

  it('is not asked at all on an aborted signal', async () => {
    let calls = 0;
    const http = await start(() => ((calls += 1), { status: 200, body: OK }));
    await failure(http.chat(AUTH, REQUEST, { ...options, signal: AbortSignal.abort() }));
    expect(calls).toBe(0);
  });

  it('is left alone while it is away, and asked again with one call at a time', async () => {
    let calls = 0;
    let there = false;
    const states: string[] = [];
    const http = await start(() => ((calls += 1), there ? { status: 200, body: OK } : { status: 502, body: 'Bad gateway' }), { circuit: { consecutiveFailures: 4, openMs: 60, onState: (state) => states.push(state) } });
    for (let i = 0; i < 4; i += 1) await failure(http.chat(AUTH, REQUEST, options));
    expect(calls).toBe(4);
    const refused = await failure(http.chat(AUTH, REQUEST, options));
    expect(refused).toMatchObject({ code: 'dependency_unavailable', retryable: true, details: { service: 'model-policy', reason: 'circuit_open' } });
    expect([calls, refused.retryAfterSeconds! > 0, refused.retryAfterSeconds! <= 0.06]).toEqual([4, true, true]);
    there = true;
    await new Promise((resolve) => setTimeout(resolve, 80));
    const together = await Promise.allSettled(Array.from({ length: 5 }, () => http.chat(AUTH, REQUEST, options)));
    expect(together.filter((outcome) => outcome.status === 'fulfilled').length, 'one probe').toBe(1);
    expect((await http.chat(AUTH, REQUEST, options)).status).toBe('ok');
    expect(states).toEqual(['open', 'half_open', 'closed']);
  });

  it('is asked by everybody as soon as it is there again, however long the first call takes', async () => {
    let there = false;
    const http = await start((request, body) => {
      if (request.url!.endsWith('/v1/health')) return { status: there ? 200 : 502, body: {} };
      if (!there) return { status: 502, body: 'Bad gateway' };
      return body.includes('req_slow') ? 'hang' : { status: 200, body: OK };
    }, { circuit: { consecutiveFailures: 2, openMs: 30 } });
    for (let i = 0; i < 2; i += 1) await failure(http.chat(AUTH, REQUEST, options));
    there = true;
    await new Promise((resolve) => setTimeout(resolve, 50));
    const slow = new AbortController();
    const first = failure(http.chat(AUTH, { ...REQUEST, request_id: 'req_slow' }, { ...options, timeoutMs: 60_000, signal: slow.signal }));
    await expect.poll(() => http.chat(AUTH, REQUEST, options).then(({ status }) => status, () => 'refused'), { timeout: 10_000 }).toBe('ok');
    slow.abort();
    expect((await first).details['reason']).toBe('aborted');
  });

  it('is left alone when it takes calls and never answers, but not for a caller without patience', async () => {
    let calls = 0;
    const http = await start(() => ((calls += 1), 'hang'), { silenceMs: 40, circuit: { consecutiveFailures: 2, openMs: 60_000 } });
    for (let i = 0; i < 5; i += 1) expect(await failure(http.chat(AUTH, REQUEST, { ...options, timeoutMs: 10 }))).toMatchObject({ code: 'timeout' });
    // Each of these is let through, so short timeouts have said nothing.
    for (let i = 0; i < 2; i += 1) expect(await failure(http.chat(AUTH, REQUEST, { ...options, timeoutMs: 50 }))).toMatchObject({ code: 'timeout' });
    const taken = calls;
    expect(await failure(http.chat(AUTH, REQUEST, options))).toMatchObject({ details: { reason: 'circuit_open' } });
    expect(calls).toBe(taken);
  });

  it('is not away because it refuses', async () => {
    let calls = 0;
    const http = await start(() => ((calls += 1), { status: 503, body: { error: { code: 'dependency_unavailable', message: 'No backend.', details: { service: 'openai' } } } }), { circuit: { consecutiveFailures: 2 } });
    for (let i = 0; i < 6; i += 1) expect(await failure(http.chat(AUTH, REQUEST, options))).toMatchObject({ details: { service: 'openai' } });
    expect(calls).toBe(6);
  });

  it('answers its health', async () => {
    const http = await start((request) => ({ status: request.url === '/base/v1/health' ? 200 : 404, body: {} }));
    await expect(http.ping(new AbortController().signal)).resolves.toBeUndefined();
  });
});
