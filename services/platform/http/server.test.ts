/** Connections: streams, slow clients, stopping, readiness. Real sockets throughout. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApiKey } from '../auth/api-key.ts';
import { createIdentity } from '../auth/identity.ts';
import { AgentOsError } from '../errors.ts';
import { startItemService, type ItemService } from './fixture/item-service.ts';
import { open } from './fixture/wire.ts';

const TENANT = { 'X-Tenant-Id': 'tnt_demo' };
const streamRequest = (item: string): string => `GET /v1/items/${item}/events HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: tnt_demo\r\n\r\n`;

async function until(what: () => boolean | Promise<boolean>, withinMs = 5_000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await what())) {
    if (performance.now() > end) throw new Error(`not within ${withinMs} ms`);
    await sleep(10);
  }
}

async function openStreams(service: ItemService): Promise<number> {
  const text = await (await fetch(`${service.url}/metrics`)).text();
  return Number(/agentos_http_open_streams\{[^}]*\} (\d+)/.exec(text)?.[1] ?? 0);
}

describe('event streams', () => {
  let service: ItemService;
  beforeAll(async () => {
    service = await startItemService({ limits: { maxStreamsPerTenant: 3 } });
  });
  afterAll(() => service.server.close());

  it('are written frame by frame, uncached and unbuffered', async () => {
    const answer = await fetch(`${service.url}/v1/items/itm_1/events`, { headers: TENANT });
    expect(answer.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.headers.get('x-accel-buffering')).toBe('no');
    expect(await answer.text()).toBe(
      ': hello\n\nid: 1\nevent: agentos.event\ndata: {"index":1}\n\nid: 2\nevent: agentos.event\ndata: {"index":2}\n\nid: 3\nevent: agentos.event\ndata: {"index":3}\n\n',
    );
  });

  it('answer errors that come before the first frame as JSON', async () => {
    const answer = await fetch(`${service.url}/v1/items/absent/events`, { headers: TENANT });
    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({ error: { code: 'not_found' } });
  });

  it('stop producing for a reader that does not read', async () => {
    const socket = open(service.url);
    socket.pause();
    socket.write(streamRequest('endless'));
    await until(async () => (await openStreams(service)) === 1);
    const before = process.memoryUsage().rss;
    await sleep(300);
    expect(process.memoryUsage().rss - before).toBeLessThan(30 * 1024 * 1024);
    socket.destroy();
    await until(async () => (await openStreams(service)) === 0);
  });

  it('end when the reader goes away while the producer waits', async () => {
    const socket = open(service.url);
    socket.write(streamRequest('silent'));
    await until(async () => (await openStreams(service)) === 1);
    socket.destroy();
    await until(async () => (await openStreams(service)) === 0);
  });

  it('are capped for a tenant with 429', async () => {
    const sockets = Array.from({ length: 3 }, () => open(service.url));
    for (const socket of sockets) socket.write(streamRequest('silent'));
    await until(async () => (await openStreams(service)) === 3);
    const refused = await fetch(`${service.url}/v1/items/itm_1/events`, { headers: TENANT });
    expect(refused.status).toBe(429);
    expect(await refused.json()).toMatchObject({ error: { code: 'quota_exceeded', details: { reason: 'max_event_streams', limit: 3 } } });
    const other = await fetch(`${service.url}/v1/items/itm_1/events`, { headers: { 'X-Tenant-Id': 'tnt_other' } });
    expect(other.status).toBe(200);
    await other.text();
    for (const socket of sockets) socket.destroy();
    await until(async () => (await openStreams(service)) === 0);
  });

  it('leave no listeners and no handles behind', async () => {
    for (let round = 0; round < 50; round += 1) await (await fetch(`${service.url}/v1/items/itm_1/events`, { headers: TENANT })).text();
    expect(await openStreams(service)).toBe(0);
  });
});

describe('the rights of an open stream', () => {
  const RIGHTS_CHECK_MS = 100;
  const ENDED = `ended after ${JSON.stringify(': waiting\n\n')}`;
  let service: ItemService;
  beforeAll(async () => {
    service = await startItemService({ makeIdentity: (directory) => createIdentity({ mode: 'dev', directory }), limits: { rightsCheckMs: RIGHTS_CHECK_MS } });
  });
  afterAll(() => service.server.close());

  const newKey = async (tenantId: string) => {
    const key = createApiKey({ tenantId, principalId: 'svc_reader', principalType: 'service', scopes: ['runs:read'], roles: [] });
    await service.directory.putApiKey(null as never, key.record);
    return key;
  };
  const changeKey = async (keyId: string, change: { revokedAt?: string; scopes?: string[] }) => service.directory.putApiKey(null as never, { ...(await service.directory.getApiKey(keyId))!, ...change });
  /** Opens a stream that never ends by itself; `state` changes when the server ends it. */
  const openStream = async (secret: string) => {
    const leave = new AbortController();
    const answer = await fetch(`${service.url}/v1/items/silent/events`, { headers: { authorization: `Bearer ${secret}` }, signal: leave.signal });
    expect(answer.status).toBe(200);
    const stream = { state: 'open', leave: () => leave.abort() };
    void answer.text().then((text) => { stream.state = `ended after ${JSON.stringify(text)}`; }, (error: Error) => { stream.state = error.name; });
    return stream;
  };

  it.each([
    ['the key is revoked', (keyId: string) => changeKey(keyId, { revokedAt: new Date().toISOString() })],
    ['the key loses its scope', (keyId: string) => changeKey(keyId, { scopes: ['agents:read'] })],
    ['the tenant is suspended', async (_keyId: string, tenantId: string) => void (await service.directory.updateTenant(null as never, tenantId, { status: 'suspended' }))],
    ['the tenant is deleted', (_keyId: string, tenantId: string) => service.directory.deleteTenant(null as never, tenantId)],
  ])('are asked for again: within the interval it ends cleanly when %s, and no other does', async (what, withdraw) => {
    const tenantId = `tnt_${what.replaceAll(' ', '_')}`;
    await service.directory.createTenant(null as never, { tenant_id: tenantId, name: 'Short-lived' });
    const [key, neighbour] = [await newKey(tenantId), await newKey('tnt_demo')];
    const [stream, other] = [await openStream(key.secret), await openStream(neighbour.secret)];
    await sleep(RIGHTS_CHECK_MS * 2.5);
    expect([stream.state, other.state], 'checks that pass change nothing').toEqual(['open', 'open']);
    await withdraw(key.record.keyId, tenantId);
    await until(() => stream.state !== 'open', RIGHTS_CHECK_MS + 2_000);
    expect(stream.state).toBe(ENDED);
    expect(other.state).toBe('open');
    other.leave();
    await until(async () => (await openStreams(service)) === 0);
  });

  it('are not taken for gone while the directory cannot be asked', async () => {
    const stream = await openStream((await newKey('tnt_demo')).secret);
    const ask = service.directory.getApiKey.bind(service.directory);
    let asked = 0;
    service.directory.getApiKey = () => {
      asked += 1;
      return Promise.reject(new AgentOsError('dependency_unavailable', { message: 'away' }));
    };
    await until(() => asked >= 2);
    service.directory.getApiKey = ask;
    await sleep(RIGHTS_CHECK_MS);
    expect(stream.state).toBe('open');
    stream.leave();
  });
});

describe('slow clients', () => {
  const POST = 'POST /v1/items HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: tnt_demo\r\nContent-Type: application/json\r\n';
  /** Sends the start at once, then a byte at a time for as long as the server takes it; answers all that came back. */
  const trickle = (service: ItemService, start: string, rest: string): Promise<string> =>
    new Promise((resolve) => {
      const socket = open(service.url);
      let heard = '';
      let next = 0;
      socket.write(start);
      const timer = setInterval(() => rest !== '' && socket.writable && socket.write(rest[next++ % rest.length]!), 20);
      socket.on('data', (chunk: Buffer) => { heard += chunk.toString(); });
      socket.on('error', () => undefined);
      socket.on('close', () => {
        clearInterval(timer);
        resolve(heard);
      });
    });

  it.each([
    ['straight from node:http', true],
    ['through Express', false],
  ])('are cut off with the error model while others are served, %s', async (_way, hot) => {
    const service = await startItemService({ hot, limits: { headersTimeoutMs: 300, requestTimeoutMs: 600 } });
    let cut = 0;
    const slow = [
      trickle(service, 'GET /v1/health HTTP/1.1\r\nHost: a\r\n', 'X-A: b\r\n'),
      trickle(service, `${POST}Content-Length: 100000\r\n\r\n{"name": "`, 'x'),
      trickle(service, `${POST}Transfer-Encoding: chunked\r\n\r\n2\r\n{"`, ''),
    ].map((answer) => answer.finally(() => (cut += 1)));
    let served = 0;
    while (cut < slow.length) {
      expect((await fetch(`${service.url}/v1/items`, { method: 'POST', headers: { ...TENANT, 'content-type': 'application/json' }, body: '{"name":"quick"}' })).status).toBe(201);
      served += 1;
      await sleep(20);
    }
    expect(served).toBeGreaterThan(5);
    for (const answer of await Promise.all(slow)) {
      expect(answer).toMatch(/^HTTP\/1\.1 408 /);
      expect(answer.toLowerCase()).toContain('connection: close');
      expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4))).toMatchObject({ error: { code: 'timeout' }, correlation_id: expect.stringMatching(/^corr_/) as string });
    }
    await service.server.close();
  }, 180_000);
});

describe('stopping', () => {
  it('says so on readiness first, finishes what is under way, ends streams cleanly', async () => {
    const service = await startItemService({ limits: { stopGraceMs: 300 } });
    const slow = fetch(`${service.url}/v1/slow`, { headers: TENANT });
    const stream = fetch(`${service.url}/v1/items/silent/events`, { headers: TENANT }).then((answer) => answer.text());
    await until(async () => (await openStreams(service)) === 1);
    const closed = service.server.close();
    const readiness = await fetch(`${service.url}/readyz`);
    expect(readiness.status).toBe(503);
    expect(await readiness.json()).toMatchObject({ status: 'unavailable', checks: [{ name: 'items', status: 'unavailable', detail: 'stopping' }] });
    expect((await slow).status).toBe(200);
    expect(await stream).toBe(': waiting\n\n');
    await closed;
    await expect(fetch(`${service.url}/v1/health`)).rejects.toThrow();
    await service.server.close();
  });

  it('ends a stream, too, that a reader who was sent away opens again on the same connection', async () => {
    const service = await startItemService({ limits: { drainMs: 15_000 } });
    const connection = open(service.url);
    connection.write(streamRequest('silent'));
    await until(async () => (await openStreams(service)) === 1);
    // The server hears of the second request when it has ended the streams that it knew.
    const closed = service.server.close().then(() => 'closed');
    connection.write(streamRequest('silent'));
    expect(await Promise.race([closed, sleep(10_000, 'still open', { ref: false })])).toBe('closed');
    connection.destroy();
  });

  it('waits for a request that came in at the last moment', async () => {
    const service = await startItemService();
    const slow = fetch(`${service.url}/v1/slow`, { headers: TENANT });
    await sleep(100);
    await service.server.close();
    const answer = await slow;
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ slow: true });
  });

  it('does not wait longer than it may', async () => {
    const service = await startItemService({ limits: { drainMs: 100 } });
    const slow = fetch(`${service.url}/v1/slow`, { headers: TENANT });
    slow.catch(() => undefined);
    await sleep(50);
    const startedAt = performance.now();
    await service.server.close();
    expect(performance.now() - startedAt).toBeLessThan(250);
    await expect(slow).rejects.toThrow();
  });

  it('is not held up by idle keep-alive connections', async () => {
    const service = await startItemService();
    await (await fetch(`${service.url}/v1/health`)).text();
    const startedAt = performance.now();
    await service.server.close();
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });
});

describe('readiness', () => {
  it('probes in parallel, each within its time, and names what is down without secrets', async () => {
    const service = await startItemService({
      checks: {
        fine: async () => undefined,
        slow: () => sleep(10_000, undefined, { ref: false }),
        down: async () => {
          throw new Error('cannot reach postgres://user:hunter2@db/x');
        },
      },
    });
    const startedAt = performance.now();
    const answer = await fetch(`${service.url}/readyz`);
    expect(performance.now() - startedAt).toBeLessThan(900);
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({
      status: 'unavailable',
      checks: [
        { name: 'fine', status: 'ok', latency_ms: expect.any(Number) },
        { name: 'slow', status: 'unavailable', detail: 'timeout' },
        { name: 'down', status: 'unavailable', detail: 'failed' },
      ],
    });
    expect((await fetch(`${service.url}/v1/health`)).status).toBe(200);
    await service.server.close();
  });

  it.each([
    ['unreachable', Object.assign(new Error('connect ECONNREFUSED 10.1.2.3:5432'), { code: 'ECONNREFUSED' })],
    ['unreachable', Object.assign(new Error('getaddrinfo ENOTFOUND db.internal'), { code: 'ENOTFOUND' })],
    ['unreachable', new AgentOsError('dependency_unavailable', { message: 'The database cannot be reached.', cause: Object.assign(new Error('terminating connection due to administrator command'), { code: '57P01' }) })],
    ['refused', Object.assign(new Error('password authentication failed for user "agentos_internal"'), { code: '28P01' })],
    ['overloaded', Object.assign(new Error('sorry, too many clients already'), { code: '53300' })],
    ['timeout', Object.assign(new Error('Connect Timeout Error (attempted address: 10.1.2.3:5432)'), { code: 'UND_ERR_CONNECT_TIMEOUT' })],
    ['timeout', new Error('timeout exceeded when trying to connect')],
    ['failed', new Error('relation "orchestrator.runs" does not exist at 10.1.2.3:5432')],
  ])('says %s and leaves the rest to the log', async (reason, error) => {
    const service = await startItemService({ checks: { database: () => Promise.reject(error) } });
    const body = await (await fetch(`${service.url}/readyz`)).text();
    expect(JSON.parse(body)).toMatchObject({ checks: [{ name: 'database', status: 'unavailable', detail: reason }] });
    expect(body).not.toMatch(/10\.1\.2\.3|5432|_internal|db\.internal|ECONN|orchestrator|sorry|password/);
    expect(await (await fetch(`${service.url}/v1/health`)).text()).not.toMatch(/10\.1\.2\.3|database/);
    expect(service.logged.filter((line) => line.dependency === 'database')).toMatchObject([{ reason, err: { message: expect.stringContaining(error.message) as string } }]);
    await service.server.close();
  });

  it('logs a change once, not with every probe', async () => {
    let broken = true;
    const service = await startItemService({ checks: { database: () => (broken ? Promise.reject(new Error('away')) : Promise.resolve()) } });
    const told = () => service.logged.filter((line) => line.dependency === 'database');
    for (let probe = 0; probe < 2; probe += 1) {
      expect((await fetch(`${service.url}/readyz`)).status).toBe(503);
      // Past the time for which probes share an answer.
      await sleep(1_050);
    }
    expect(told()).toHaveLength(1);
    broken = false;
    expect((await fetch(`${service.url}/readyz`)).status).toBe(200);
    expect(told()).toMatchObject([{ msg: 'A dependency is not ready.' }, { msg: 'A dependency is there again.' }]);
    await service.server.close();
  });

  it('asks dependencies once for many probes', async () => {
    let asked = 0;
    const service = await startItemService({ checks: { counted: async () => void (asked += 1) } });
    await Promise.all(Array.from({ length: 20 }, () => fetch(`${service.url}/readyz`).then((answer) => answer.text())));
    expect(asked).toBe(1);
    await service.server.close();
  });
});

it('reports a taken port to whoever asked it to listen', async () => {
  const first = await startItemService();
  await expect(startItemService({ port: first.server.address!.port })).rejects.toThrow(/EADDRINUSE/);
  await first.server.close();
});
