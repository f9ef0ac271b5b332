/** One operation that answers JSON or server-sent events, as its request asks. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startItemService, writeItemContract, type ItemService } from './fixture/item-service.ts';

const HEADERS = { 'X-Tenant-Id': 'tnt_demo', 'Content-Type': 'application/json' };
const ways: ReadonlyArray<readonly [string, () => Promise<ItemService>]> = [
  ['hot', () => startItemService()],
  ['express', () => startItemService({ hot: false })],
  ['refereed', () => startItemService({ contractCheck: true, openapiPath: writeItemContract() })],
];
const tell = (url: string, body: object, headers: Record<string, string> = {}): Promise<Response> => fetch(`${url}/v1/tell`, { method: 'POST', headers: { ...HEADERS, ...headers }, body: JSON.stringify(body) });

async function timed(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/agentos_http_request_duration_seconds_count\{[^}]*operation="tellItem"[^}]*\} (\d+)/.exec(text)?.[1] ?? 0);
}

describe.each(ways)('an answer as the body asks: %s', (_way, start) => {
  let service: ItemService;
  beforeAll(async () => {
    service = await start();
  });
  afterAll(() => service.server.close());

  it('is JSON without stream, whatever Accept allows', async () => {
    for (const accept of ['*/*', 'application/json', 'text/event-stream']) {
      const answer = await tell(service.url, { text: 'hi' }, { Accept: accept });
      expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/json; charset=utf-8']);
      expect(await answer.json()).toMatchObject({ text: 'hi', tenant_id: 'tnt_demo', correlation_id: answer.headers.get('x-correlation-id') });
    }
  });

  it('is a stream with it', async () => {
    const answer = await tell(service.url, { text: 'a b', stream: true });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8']);
    expect(answer.headers.get('x-correlation-id')).toMatch(/^corr_/);
    expect(await answer.text()).toBe('data: {"word":"a"}\n\ndata: {"word":"b"}\n\ndata: [DONE]\n\n');
  });

  it('is JSON with its status for what is refused before the first frame, even where a stream was asked for', async () => {
    const answer = await tell(service.url, { text: 'fail:budget', stream: true }, { Accept: 'text/event-stream' });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([429, 'application/json; charset=utf-8']);
    expect(await answer.json()).toMatchObject({ error: { code: 'insufficient_quota' } });
  });

  it('is timed as JSON and not as a stream', async () => {
    const before = await timed(service.url);
    await (await tell(service.url, { text: 'hi' })).text();
    expect(await timed(service.url)).toBe(before + 1);
    await (await tell(service.url, { text: 'hi', stream: true })).text();
    expect(await timed(service.url)).toBe(before + 1);
  });
});

describe('streams that end by themselves', () => {
  it('are finished by a stopping server', async () => {
    const service = await startItemService();
    const answer = await tell(service.url, { text: 'one slowly two', stream: true });
    const closed = service.server.close();
    expect(await answer.text()).toContain('[DONE]');
    await closed;
  });

  it('find no room as 429, and the work for them is told', async () => {
    const service = await startItemService({ limits: { maxStreamsPerTenant: 1 } });
    const first = await tell(service.url, { text: 'one slowly two', stream: true });
    const second = await tell(service.url, { text: 'b', stream: true });
    expect(second.status).toBe(429);
    expect(await second.json()).toMatchObject({ error: { code: 'quota_exceeded', type: 'rate_limit_error', details: { reason: 'max_event_streams' } } });
    expect(service.aborted).toContain('there is no room for another stream');
    await first.text();
    await sleep(10);
    expect((await tell(service.url, { text: 'c', stream: true })).status).toBe(200);
    await service.server.close();
  });
});
