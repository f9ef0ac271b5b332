/** The edge over real sockets: whose address it is, how fast one may call, which pages may read, what every answer carries. */
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { makeCertificate } from '../../../../conformance/harness/certificate.ts';
import { createApiKey } from '../../auth/api-key.ts';
import { createIdentity } from '../../auth/identity.ts';
import { startItemService, type ItemService, type ItemServiceOptions } from '../fixture/item-service.ts';
import { open, send, sendBytes, type WireAnswer } from '../fixture/wire.ts';
import { createCors } from './cors.ts';
import { createEdge, OPEN_EDGE, type EdgeOptions } from './edge.ts';
import { createEdgeLimits, type EdgeLimitRules } from './limits.ts';
import { parseTrustedProxies } from './trusted-proxy.ts';

const TENANT = ['X-Tenant-Id', 'tnt_demo'] as const;
const PAGE = 'https://console.example.com';
let service: ItemService;
afterEach(() => service?.server.close());

async function start(edge: Partial<EdgeOptions>, more: ItemServiceOptions = {}): Promise<void> {
  service = await startItemService({ edge: { ...OPEN_EDGE, ...edge }, ...more });
}
const limits = (rules: Partial<EdgeLimitRules>): Pick<EdgeOptions, 'limits' | 'proxies'> =>
  ({ proxies: parseTrustedProxies(['loopback']), limits: createEdgeLimits({ perAddress: null, perKey: null, refusals: null, maxKeys: 1_000, ...rules }) });
const list = (headers: ReadonlyArray<readonly [string, string]> = [], path = '/v1/items'): Promise<WireAnswer> => send(service.url, { path, headers: [TENANT, ...headers] });
const from = (address: string): readonly [string, string] => ['X-Forwarded-For', address];

describe('every answer', () => {
  const asks: ReadonlyArray<readonly [string, number, () => Promise<WireAnswer>]> = [
    ['a success', 200, () => list()],
    ['a created item', 201, () => send(service.url, { method: 'POST', path: '/v1/items', headers: [TENANT, ['Content-Type', 'application/json']], body: '{"name":"x"}' })],
    ['a stream', 200, () => list([], '/v1/items/itm_1/events')],
    ['health', 200, () => send(service.url, { path: '/v1/health' })],
    ['metrics', 200, () => send(service.url, { path: '/metrics' })],
    ['an unknown path', 404, () => list([], '/nowhere')],
    ['a wrong method', 405, () => send(service.url, { method: 'DELETE', path: '/v1/items' })],
    ['no tenant', 401, () => send(service.url, { path: '/v1/items' })],
    ['our own fault', 500, () => list([], '/v1/broken/throws')],
    ['no HTTP', 400, () => sendBytes(service.url, 'GARBAGE\r\n\r\n')],
    ['too many headers', 431, () => list([['X-Padding', 'x'.repeat(17_000)]])],
    ['CONNECT', 405, () => sendBytes(service.url, 'CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n')],
  ];

  it.each([['straight from node:http', true], ['through Express', false]])('tells browsers to keep off, %s', async (_way, hot) => {
    await start({}, { hot });
    for (const [name, status, ask] of asks) {
      const answer = await ask();
      expect(answer.status, name).toBe(status);
      expect(answer.headers, name).toMatchObject({
        'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY', 'referrer-policy': 'no-referrer', 'cache-control': 'no-store',
        'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      });
      for (const absent of ['x-powered-by', 'server', 'strict-transport-security', 'access-control-allow-origin', 'vary', 'etag']) expect(answer.headers[absent], `${name}: ${absent}`).toBeUndefined();
      if (status >= 400) expect(answer.json.correlation_id, name).toMatch(/^corr_/);
    }
  });

  it('insists on TLS where the proxy that is believed says there is', async () => {
    await start({ proxies: parseTrustedProxies(['loopback']) });
    expect((await list([['X-Forwarded-Proto', 'https']])).headers['strict-transport-security']).toMatch(/^max-age=\d{8}/);
    expect((await list([['X-Forwarded-Proto', 'http']])).headers['strict-transport-security']).toBeUndefined();
    await service.server.close();
    await start({});
    expect((await list([['X-Forwarded-Proto', 'https']])).headers['strict-transport-security'], 'nobody is believed').toBeUndefined();
  });
});

describe('what is looked at is what was sent', () => {
  it('refuses more headers than anybody needs, where some of them would be dropped unseen', async () => {
    await start({});
    const many = (count: number): ReadonlyArray<readonly [string, string]> => Array.from({ length: count }, () => ['a', 'b'] as const);
    expect((await list(many(200))).status).toBe(200);
    // Node keeps 2,000: a second tenant behind them is seen by a proxy and not by us.
    for (const count of [300, 2_100]) expect(await list([...many(count), ['X-Tenant-Id', 'tnt_other']])).toMatchObject({ status: 431, json: { error: { code: 'invalid_request', details: { reason: 'headers_too_large' } } } });
  });

  it.each([['items.test', 200], ['items.test:8080', 200], ['[::1]:80', 200], ['', 200], ['items.test/evil.example', 400], ['a@items.test', 400], ['items.test?x', 400], ['a b', 400], ['items.test#', 400], ['it\\ems', 400]])('takes %j for a host, or not: %i', async (host, status) => {
    await start({});
    expect((await send(service.url, { path: '/v1/health', headers: [['Host', host]] })).status).toBe(status);
  });
});

describe('CORS', () => {
  const preflight = (origin: string, path = '/v1/items'): Promise<WireAnswer> =>
    send(service.url, { method: 'OPTIONS', path, headers: [['Origin', origin], ['Access-Control-Request-Method', 'POST'], ['Access-Control-Request-Headers', 'authorization,x-stainless-os']] });

  it('is off unless origins are listed', async () => {
    await start({});
    expect((await preflight(PAGE)).status).toBe(405);
    expect((await list([['Origin', PAGE]])).headers['access-control-allow-origin']).toBeUndefined();
  });

  it('answers a preflight of a listed origin, and lets it read answers and errors', async () => {
    await start({ cors: createCors([PAGE]) });
    const asked = await preflight(PAGE);
    expect(asked.status).toBe(204);
    expect(asked.body).toBe('');
    expect(asked.headers).toMatchObject({ 'access-control-allow-origin': PAGE, 'access-control-allow-credentials': 'true', 'access-control-allow-headers': 'authorization,x-stainless-os', vary: expect.stringContaining('Origin') as string });
    expect(asked.headers['access-control-allow-methods']).toContain('DELETE');
    for (const answer of [await list([['Origin', PAGE]]), await list([['Origin', PAGE]], '/nowhere'), await list([['Origin', PAGE]], '/v1/items/itm_1/events')]) {
      expect(answer.headers).toMatchObject({ 'access-control-allow-origin': PAGE, vary: 'Origin' });
      expect(answer.headers['access-control-expose-headers']).toMatch(/X-Correlation-Id.*RateLimit.*Retry-After/);
    }
  });

  it('says nothing to any other, and tells caches that it depends', async () => {
    await start({ cors: createCors([PAGE]) });
    for (const origin of ['https://evil.example', 'null', `${PAGE}.evil.example`, PAGE.toUpperCase(), `${PAGE}:8443`, 'http://console.example.com']) {
      const answer = await list([['Origin', origin]]);
      expect([answer.status, answer.headers['access-control-allow-origin'], answer.headers.vary], origin).toEqual([200, undefined, 'Origin']);
      expect((await preflight(origin)).status, origin).toBe(405);
    }
    expect((await list()).headers.vary).toBe('Origin');
  });

  it.each([['*'], ['https://a.example/'], ['https://a.example/path'], ['a.example'], ['null'], ['ftp://a.example'], ['https://*.example.com']])('refuses %s as an origin', (origin) => {
    expect(() => createCors([origin])).toThrow(/AGENTOS_CORS_ORIGINS/);
  });
});

describe('an address', () => {
  it('that asks too fast is told when to come back, before anybody looks at its credential', async () => {
    await start(limits({ perAddress: { perSecond: 0.5, burst: 3 } }));
    const answers = [];
    for (let index = 0; index < 5; index += 1) answers.push(await list([from('203.0.113.7')]));
    expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200, 429, 429]);
    expect(answers[3]!.json).toMatchObject({ error: { code: 'rate_limited', retryable: true, details: { reason: 'address_rate_exceeded' } }, correlation_id: expect.any(String) as string });
    expect(answers[3]!.headers).toMatchObject({ 'retry-after': '2', ratelimit: '"address";r=0;t=2', 'ratelimit-policy': '"address";q=3;w=6' });
    expect(answers[2]!.headers.ratelimit, 'told while there is little left').toMatch(/^"address";r=0;t=\d+$/);
    expect(answers[0]!.headers.ratelimit, 'and not while there is plenty').toBeUndefined();
    expect((await list([from('203.0.113.8')])).status, 'a neighbour').toBe(200);
    expect((await send(service.url, { path: '/v1/health', headers: [from('203.0.113.7')] })).status, 'every path counts').toBe(429);
  });

  it('is counted by the network of one customer where it is IPv6', async () => {
    await start(limits({ perAddress: { perSecond: 0.1, burst: 2 } }));
    const statuses = [];
    for (const address of ['2001:db8:1:2::1', '2001:db8:1:2:ffff::9', '2001:0db8:0001:0002::3']) statuses.push((await list([from(address)])).status);
    expect(statuses).toEqual([200, 200, 429]);
    expect((await list([from('2001:db8:1:3::1')])).status).toBe(200);
  });

  it('of this machine is not counted', async () => {
    await start(limits({ perAddress: { perSecond: 0.1, burst: 1 } }));
    for (let index = 0; index < 4; index += 1) expect((await list()).status).toBe(200);
  });

  it('cannot be made up by whoever is no trusted proxy', async () => {
    await start({ ...limits({ perAddress: { perSecond: 0.1, burst: 1 } }), proxies: parseTrustedProxies(['10.0.0.1']) });
    for (let index = 0; index < 3; index += 1) expect((await list([from('203.0.113.7')])).status).toBe(200);
  });

  it('holds so many connections and no more', () => {
    const edge = createEdge({ ...OPEN_EDGE, proxies: parseTrustedProxies(['10.0.0.1']), maxConnectionsPerAddress: 2 });
    const connect = (remoteAddress: string): { socket: EventEmitter & { destroyed: boolean }; taken: boolean } => {
      const socket = Object.assign(new EventEmitter(), { remoteAddress, destroyed: false, destroy: () => (socket.destroyed = true) });
      return { socket, taken: edge.connected(socket as unknown as Socket) };
    };
    const held = [connect('203.0.113.7'), connect('::ffff:203.0.113.7')];
    expect(held.map(({ taken }) => taken)).toEqual([true, true]);
    const third = connect('203.0.113.7');
    expect([third.taken, third.socket.destroyed]).toEqual([false, true]);
    expect(connect('203.0.113.8').taken).toBe(true);
    held[0]!.socket.emit('close');
    expect(connect('203.0.113.7').taken).toBe(true);
    for (let index = 0; index < 5; index += 1) expect([connect('127.0.0.1').taken, connect('10.0.0.1').taken]).toEqual([true, true]);
  });
});

describe('a credential', () => {
  it('that asks too fast is held back from every address, and no other is', async () => {
    await start(limits({ perKey: { perSecond: 0.1, burst: 2 } }));
    const statuses = [];
    for (const address of ['203.0.113.1', '203.0.113.2', '203.0.113.3']) statuses.push((await list([from(address), ['X-API-Key', 'anything']])).status);
    expect(statuses).toEqual([200, 200, 429]);
    expect((await list([['X-API-Key', 'else']])).status).toBe(200);
    expect((await list()).status).toBe(200);
  });

  it('that is refused again and again closes the address to new ones, not to those that hold', async () => {
    await start(limits({ refusals: { perSecond: 0.1, burst: 3 } }), { makeIdentity: (directory) => createIdentity({ mode: 'dev', directory }) });
    const key = createApiKey({ tenantId: 'tnt_demo', principalId: 'svc_a', principalType: 'service', scopes: ['runs:read'], roles: [] });
    const late = createApiKey({ tenantId: 'tnt_demo', principalId: 'svc_b', principalType: 'service', scopes: ['runs:read'], roles: [] });
    for (const each of [key, late]) await service.directory.putApiKey(null as never, each.record);
    const as = (secret: string, address: string): Promise<WireAnswer> => send(service.url, { path: '/v1/items', headers: [from(address), ['Authorization', `Bearer ${secret}`]] });
    expect((await as(key.secret, '203.0.113.7')).status).toBe(200);
    const guesses = [];
    for (let index = 0; index < 6; index += 1) guesses.push(await as(`aos_live_${'0'.repeat(26)}_${String(index).repeat(32)}`, '203.0.113.7'));
    expect(guesses.map((answer) => answer.status)).toEqual([401, 401, 401, 429, 429, 429]);
    expect(guesses[3]!.json.error).toMatchObject({ code: 'rate_limited', details: { reason: 'too_many_refusals' } });
    expect(Number(guesses[3]!.headers['retry-after'])).toBeGreaterThan(0);
    expect((await as(key.secret, '203.0.113.7')).status, 'one that held a moment ago').toBe(200);
    expect((await as(late.secret, '203.0.113.7')).status, 'one that nobody has seen hold').toBe(429);
    expect((await as(late.secret, '203.0.113.8')).status, 'from elsewhere').toBe(200);
    await service.directory.putApiKey(null as never, { ...key.record, revokedAt: new Date().toISOString() });
    expect((await as(key.secret, '203.0.113.9')).status).toBe(401);
    expect((await as(key.secret, '203.0.113.7')).status, 'one that holds no more').toBe(429);
  });
});

describe('demo mode', () => {
  it.each([
    ['another name (DNS rebinding)', [['Host', 'evil.example']], 403],
    ['a name that looks like ours', [['Host', '127.0.0.1.evil.example:50081']], 403],
    ['a page of another site', [['Host', 'localhost'], ['Origin', 'https://evil.example']], 403],
    ['a page of no site', [['Host', 'localhost'], ['Origin', 'null']], 403],
    ['localhost', [['Host', 'localhost:50081']], 200],
    ['127.0.0.1', [['Host', '127.0.0.1:50081']], 200],
    ['[::1]', [['Host', '[::1]:50081']], 200],
    ['a page of this machine', [['Host', 'localhost:50081'], ['Origin', 'http://localhost:3000']], 200],
    ['a page that is listed', [['Host', 'localhost:50081'], ['Origin', PAGE]], 200],
  ] as const)('takes what was sent to or by %s for what it is', async (_name, headers, status) => {
    await start({ localOnly: true, cors: createCors([PAGE]) });
    const answer = await list(headers);
    expect(answer.status).toBe(status);
    if (status === 403) expect(answer.json.error).toMatchObject({ code: 'forbidden', details: { reason: expect.stringMatching(/^foreign_/) as string } });
  });
});

describe('administration', () => {
  const ADMIN = [TENANT, ['X-Scopes', 'tenants:admin']] as const;

  it('has a listener of its own, with health and nothing else', async () => {
    await start({}, { separateAdmin: true });
    const admin = await service.server.listenAdmin(0);
    expect((await send(service.url, { path: '/v1/admin/items', headers: ADMIN })).json).toMatchObject({ error: { code: 'not_found' } });
    expect((await send(admin, { path: '/v1/admin/items', headers: ADMIN })).status).toBe(200);
    expect((await send(admin, { path: '/v1/items', headers: ADMIN })).status).toBe(404);
    expect((await send(service.url, { path: '/v1/items', headers: [TENANT] })).status).toBe(200);
    for (const url of [service.url, admin]) for (const path of ['/v1/health', '/readyz', '/metrics']) expect((await send(url, { path })).status, `${url} ${path}`).toBe(200);
    await service.server.close();
    await expect(fetch(`${admin}/v1/health`)).rejects.toThrow();
  });

  it('stays where it is unless that was asked for', async () => {
    await start({});
    expect((await send(service.url, { path: '/v1/admin/items', headers: ADMIN })).status).toBe(200);
    expect(() => service.server.listenAdmin(0)).toThrow(/separateAdmin/);
  });
});

describe('connections', () => {
  it('that say nothing are closed', async () => {
    await start({}, { limits: { headersTimeoutMs: 300, requestTimeoutMs: 600 } });
    const heard = await new Promise<string>((resolve) => {
      const socket = open(service.url);
      let text = '';
      socket.on('data', (chunk: Buffer) => { text += chunk.toString(); });
      socket.on('close', () => resolve(text));
    });
    expect(heard === '' || heard.startsWith('HTTP/1.1 408 ')).toBe(true);
  });

  it.each([['nothing', Buffer.alloc(0)], ['the first bytes of a handshake', Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3])]])('that begin no TLS are closed: they sent %s', async (_what, bytes) => {
    const { cert, key } = await makeCertificate();
    await start({}, { limits: { headersTimeoutMs: 300 }, tls: { current: () => ({ cert, key }), subscribe: () => () => undefined } });
    await new Promise<void>((resolve) => {
      const socket = open(service.url);
      socket.on('error', () => undefined);
      socket.on('close', () => resolve());
      socket.resume();
      socket.write(bytes);
    });
  });
});
