/** Connections: streams, slow clients, stopping, readiness. Real sockets throughout. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startItemService, type ItemService } from './fixture/item-service.ts';
import { open, sendBytes } from './fixture/wire.ts';

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

describe('slow clients', () => {
  it('are cut off with the error model while others are served', async () => {
    const service = await startItemService({ limits: { headersTimeoutMs: 300, requestTimeoutMs: 600 } });
    const slowHeaders = sendBytes(service.url, 'GET /v1/health HTTP/1.1\r\nHost: a\r\n');
    const slowBody = sendBytes(service.url, 'POST /v1/items HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: tnt_demo\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"name"');
    expect((await fetch(`${service.url}/v1/health`)).status).toBe(200);
    expect(await slowHeaders).toMatchObject({ status: 408, json: { error: { code: 'timeout' } } });
    expect((await slowBody).status).toBe(408);
    await service.server.close();
  });
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
        { name: 'slow', status: 'unavailable', detail: 'no answer within 200 ms' },
        { name: 'down', status: 'unavailable', detail: 'cannot reach postgres://db/x' },
      ],
    });
    expect((await fetch(`${service.url}/v1/health`)).status).toBe(200);
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
