/** The bad-input catalogue on the three ways into the pipeline, which must answer alike (architecture §3, §16 of the edge). */
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startItemService, writeItemContract, type ItemService } from './fixture/item-service.ts';
import { send, sendBytes, type WireAnswer, type WireRequest } from './fixture/wire.ts';

interface Case extends WireRequest {
  readonly name: string;
  readonly status: number;
  readonly code: string;
  readonly allow?: string;
}

const TENANT: readonly [string, string] = ['X-Tenant-Id', 'tnt_demo'];
const JSON_TYPE: readonly [string, string] = ['Content-Type', 'application/json'];

function post(name: string, body: string | Buffer, status: number, code: string, headers: ReadonlyArray<readonly [string, string]> = [JSON_TYPE]): Case {
  return { name, method: 'POST', path: '/v1/items', headers: [TENANT, ...headers], body, status, code };
}
function get(name: string, path: string, status: number, code: string): Case {
  return { name, path, headers: [TENANT], status, code };
}

const nested = (depth: number, open: string, close: string): string => `{"name":"x","tags":${open.repeat(depth)}1${close.repeat(depth)}}`;

const BODY: readonly Case[] = [
  post('truncated JSON', '{"name":"x"', 400, 'invalid_json'),
  post('empty', '', 400, 'invalid_request'),
  post('white space', '  \n ', 400, 'invalid_json'),
  post('null', 'null', 400, 'invalid_request'),
  post('a number', '42', 400, 'invalid_request'),
  post('a string', '"x"', 400, 'invalid_request'),
  post('true', 'true', 400, 'invalid_request'),
  post('an array', '[{"name":"x"}]', 400, 'invalid_request'),
  post('NaN', '{"name":NaN}', 400, 'invalid_json'),
  post('single quotes', "{'name':'x'}", 400, 'invalid_json'),
  post('trailing garbage', '{"name":"x"} x', 400, 'invalid_json'),
  post('larger than the limit', `{"name":"${'x'.repeat(300_000)}"}`, 413, 'invalid_request'),
  post('chunked, larger than the limit', `4b000\r\n${'x'.repeat(0x4b000)}\r\n0\r\n\r\n`, 413, 'invalid_request', [JSON_TYPE, ['Transfer-Encoding', 'chunked']]),
  post('a gzip bomb', gzipSync(Buffer.alloc(50_000_000, 0x20)), 413, 'invalid_request', [JSON_TYPE, ['Content-Encoding', 'gzip']]),
  post('gzip that is none', 'no gzip', 400, 'invalid_request', [JSON_TYPE, ['Content-Encoding', 'gzip']]),
  post('truncated gzip', gzipSync('{"name":"x"}').subarray(0, 15), 400, 'invalid_request', [JSON_TYPE, ['Content-Encoding', 'gzip']]),
  post('arrays nested too deep', nested(64, '[', ']'), 400, 'invalid_request'),
  post('objects nested too deep', nested(70, '{"a":', '}'), 400, 'invalid_request'),
  post('100,000 open brackets', '['.repeat(100_000), 400, 'invalid_request'),
  post('NUL by escape', '{"name":"a\\u0000b"}', 400, 'invalid_request'),
  post('NUL in a member name', '{"name":"a","b\\u0000":1}', 400, 'invalid_request'),
  post('a raw NUL', '{"name":"a\0b"}', 400, 'invalid_json'),
  post('half of a surrogate pair', '{"name":"a\\ud800"}', 400, 'invalid_request'),
  post('the other half', '{"name":"\\udc00 a"}', 400, 'invalid_request'),
  post('invalid UTF-8', Buffer.from([0x7b, 0x22, 0x6e, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d]), 400, 'invalid_json'),
  post('UTF-16', Buffer.from('{"name":"x"}', 'utf16le'), 400, 'invalid_json'),
  post('__proto__', '{"name":"x","__proto__":{"polluted":true}}', 400, 'invalid_request'),
  post('__proto__ by escape', '{"name":"x","\\u005f_proto__":{"polluted":true}}', 400, 'invalid_request'),
  post('constructor', '{"name":"x","deep":{"constructor":{"prototype":{"polluted":true}}}}', 400, 'invalid_request'),
  post('prototype in an array', '{"name":"x","deep":[{"prototype":1}]}', 400, 'invalid_request'),
  post('no content type', '{"name":"x"}', 415, 'invalid_request', []),
  post('text', '{"name":"x"}', 415, 'invalid_request', [['Content-Type', 'text/plain']]),
  post('a form', 'name=x', 415, 'invalid_request', [['Content-Type', 'application/x-www-form-urlencoded']]),
  post('an odd charset', '{"name":"x"}', 415, 'invalid_request', [['Content-Type', 'application/json; charset=utf-16']]),
  post('an odd encoding', '{"name":"x"}', 415, 'invalid_request', [JSON_TYPE, ['Content-Encoding', 'br']]),
  post('two encodings', '{"name":"x"}', 415, 'invalid_request', [JSON_TYPE, ['Content-Encoding', 'gzip, gzip']]),
  post('a number out of range', '{"name":"x","size":1001}', 400, 'invalid_request'),
  post('a number too large for a number', '{"name":"x","size":1e400}', 400, 'invalid_request'),
  post('a wrong type', '{"name":7}', 400, 'invalid_request'),
  post('an unknown enum value', '{"name":"x","kind":"huge"}', 400, 'invalid_request'),
  post('a missing member', '{}', 400, 'invalid_request'),
  post('10,000 entries', `{"name":"x","tags":${JSON.stringify(Array.from({ length: 10_000 }, () => 'a'))}}`, 400, 'invalid_request'),
  post('an idempotency key of 257 characters', '{"name":"x"}', 400, 'invalid_request', [JSON_TYPE, ['Idempotency-Key', 'k'.repeat(257)]]),
  post('an empty idempotency key', '{"name":"x"}', 400, 'invalid_request', [JSON_TYPE, ['Idempotency-Key', '']]),
];

const PATHS: readonly Case[] = [
  get('a bad percent escape', '/v1/items/%zz', 400, 'invalid_request'),
  get('a percent escape cut short', '/v1/items/a%2', 400, 'invalid_request'),
  get('a percent escape that is not UTF-8', '/v1/items/%ff', 400, 'invalid_request'),
  get('NUL', '/v1/items/a%00b', 404, 'not_found'),
  get('a slash in disguise', '/v1/items/..%2fadmin', 404, 'not_found'),
  get('a backslash in disguise', '/v1/items/..%5cadmin', 404, 'not_found'),
  get('dots', '/v1/items/..', 404, 'not_found'),
  get('line breaks', '/v1/items/a%0d%0aX-Evil:%201', 404, 'not_found'),
  get('15 KB', `/v1/items/${'a'.repeat(15_000)}`, 404, 'not_found'),
  get('257 characters', `/v1/items/${'a'.repeat(257)}`, 404, 'not_found'),
  get('SQL characters', "/v1/items/'%20OR%201=1--", 404, 'not_found'),
  get('nothing for an identifier', '/v1/items//events', 404, 'not_found'),
  get('an unknown path', '/v1/nothing', 404, 'not_found'),
  get('the root', '/', 404, 'not_found'),
  get('two slashes', '//v1/items', 404, 'not_found'),
  get('an absolute target', 'http://items.test/v1/items', 404, 'not_found'),
  get('an asterisk', '*', 404, 'not_found'),
  { ...get('an unknown verb', '/v1/items/itm_1:explode', 404, 'not_found'), method: 'POST' },
  { ...get('an empty verb', '/v1/items/itm_1:', 404, 'not_found'), method: 'POST' },
  { ...get('a verb without an identifier', '/v1/items/:archive', 404, 'not_found'), method: 'POST' },
  { ...get('a wrong method', '/v1/items/itm_1', 405, 'method_not_allowed'), method: 'DELETE', allow: 'GET, HEAD' },
  { ...get('a wrong method on a verb', '/v1/items/itm_1:archive', 405, 'method_not_allowed'), allow: 'POST' },
  { ...get('HEAD of a stream', '/v1/items/itm_1/events', 405, 'method_not_allowed'), method: 'OPTIONS', allow: 'GET' },
  get('limit -1', '/v1/items?limit=-1', 400, 'invalid_request'),
  get('limit text', '/v1/items?limit=ten', 400, 'invalid_request'),
  get('limit 1e30', '/v1/items?limit=1e30', 400, 'invalid_request'),
  get('limit 1.5', '/v1/items?limit=1.5', 400, 'invalid_request'),
  get('limit twice', '/v1/items?limit=1&limit=2', 400, 'invalid_request'),
  get('a bad escape in the query', '/v1/items?after=%zz', 400, 'invalid_request'),
  get('NUL in the query', '/v1/items?after=a%00b', 400, 'invalid_request'),
];

const EDGE: readonly Case[] = [
  { name: 'X-Tenant-Id twice', path: '/v1/items', headers: [TENANT, ['x-tenant-id', 'tnt_other']], status: 400, code: 'invalid_request' },
  { name: 'Authorization twice', path: '/v1/items', headers: [TENANT, ['Authorization', 'Bearer a'], ['authorization', 'Bearer b']], status: 401, code: 'unauthorized' },
  { name: 'Host twice', path: '/v1/items', headers: [['Host', 'a'], ['Host', 'b'], TENANT], status: 400, code: 'invalid_request' },
  { name: 'no tenant', path: '/v1/items', headers: [], status: 401, code: 'unauthorized' },
  { name: 'a tenant that is no identifier', path: '/v1/items', headers: [['X-Tenant-Id', "a','b"]], status: 400, code: 'invalid_request' },
  { name: 'an unknown tenant', path: '/v1/items', headers: [['X-Tenant-Id', 'tnt_nobody']], status: 403, code: 'tenant_unknown' },
  { name: 'a suspended tenant', path: '/v1/items', headers: [['X-Tenant-Id', 'tnt_asleep']], status: 403, code: 'forbidden' },
  { name: 'a missing scope', path: '/v1/items', headers: [TENANT, ['X-Scopes', 'runs:create']], status: 403, code: 'forbidden' },
  { name: 'no scope at all', path: '/v1/items', headers: [TENANT, ['X-Scopes', '']], status: 403, code: 'forbidden' },
  { name: 'administration without its scope', path: '/v1/admin/items', headers: [TENANT], status: 403, code: 'forbidden' },
  { name: 'a planned operation', method: 'POST', path: '/v1/plans', headers: [TENANT], status: 501, code: 'not_implemented' },
  { name: 'Accept: text/html', path: '/v1/items/absent', headers: [TENANT, ['Accept', 'text/html']], status: 404, code: 'not_found' },
];

let ways: Record<'hot' | 'express' | 'refereed', ItemService>;
beforeAll(async () => {
  ways = {
    hot: await startItemService({ hot: true }),
    express: await startItemService({ hot: false }),
    refereed: await startItemService({ hot: true, contractCheck: true, openapiPath: writeItemContract() }),
  };
});
afterAll(async () => {
  await Promise.all(Object.values(ways).map((way) => way.server.close()));
});

/** What must be equal on every way; ids and times differ. */
function comparable(answer: WireAnswer): unknown {
  const { date: _date, 'x-request-id': _request, 'x-correlation-id': _correlation, traceparent: _trace, 'content-length': _length, ...headers } = answer.headers;
  const json = answer.json === null ? answer.body : { ...answer.json, correlation_id: 'any' };
  return { status: answer.status, headers, json };
}

describe.each([['body', BODY], ['path and query', PATHS], ['edge', EDGE]] as const)('%s', (_, cases) => {
  it.each(cases)('$name → $status $code', async (request) => {
    const hot = await send(ways.hot.url, request);
    expect(hot.json, hot.body).toMatchObject({ error: { code: request.code, message: expect.any(String), retryable: false }, correlation_id: expect.stringMatching(/^corr_/) });
    expect(hot.status).toBe(request.status);
    expect(hot.headers['x-correlation-id']).toBe(hot.json.correlation_id);
    expect(hot.body).not.toMatch(/at \S+ \(|node_modules|SELECT|hunter2/);
    if (request.allow !== undefined) expect(hot.headers.allow).toBe(request.allow);
    expect(comparable(await send(ways.express.url, request)), 'through Express').toEqual(comparable(hot));
    expect(comparable(await send(ways.refereed.url, request)), 'with the referee').toEqual(comparable(hot));
  });
});

it('has polluted no prototype and let nothing bad through', () => {
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  expect(ways.hot.seen).toHaveLength(0);
  expect(ways.express.seen).toHaveLength(0);
});

describe('good input, answered alike on every way', () => {
  const good: ReadonlyArray<WireRequest & { readonly name: string; readonly status: number }> = [
    { name: 'creation', method: 'POST', path: '/v1/items', headers: [TENANT, JSON_TYPE], body: '{"name":"x","size":3}', status: 201 },
    { name: 'charset', method: 'POST', path: '/v1/items', headers: [TENANT, ['Content-Type', 'Application/JSON; charset="UTF-8"']], body: '{"name":"x"}', status: 201 },
    { name: 'gzip', method: 'POST', path: '/v1/items', headers: [TENANT, JSON_TYPE, ['Content-Encoding', 'gzip']], body: gzipSync('{"name":"x"}'), status: 201 },
    { name: 'chunked', method: 'POST', path: '/v1/items', headers: [TENANT, JSON_TYPE, ['Transfer-Encoding', 'chunked']], body: '5\r\n{"nam\r\n7\r\ne":"x"}\r\n0\r\n\r\n', status: 201 },
    { name: 'escapes that are harmless', method: 'POST', path: '/v1/items', headers: [TENANT, JSON_TYPE], body: '{"name":"caf\\u00e9 \\ud83d\\ude00 \\u0041 constructor __proto__"}', status: 201 },
    { name: 'exactly 64 levels', method: 'POST', path: '/v1/items:check', headers: [TENANT, JSON_TYPE], body: nested(63, '[', ']'), status: 200 },
    { name: 'brackets in a text', method: 'POST', path: '/v1/items', headers: [TENANT, JSON_TYPE], body: `{"name":"${'[{'.repeat(45)}"}`, status: 201 },
    { name: 'many brackets, flat', method: 'POST', path: '/v1/items:check', headers: [TENANT, JSON_TYPE], body: `{"a":[${Array.from({ length: 500 }, () => '[]').join(',')}]}`, status: 200 },
    { name: 'an idempotency key of 256 characters', method: 'POST', path: '/v1/items', headers: [TENANT, JSON_TYPE, ['Idempotency-Key', 'k'.repeat(256)]], body: '{"name":"x"}', status: 201 },
    { name: 'an optional body left out', method: 'POST', path: '/v1/items/itm_1/notes', headers: [TENANT], status: 200 },
    { name: 'an optional body of no length', method: 'POST', path: '/v1/items/itm_1/notes', headers: [TENANT, ['Content-Length', '0']], status: 200 },
    { name: 'an optional body sent', method: 'POST', path: '/v1/items/itm_1/notes', headers: [TENANT, JSON_TYPE], body: '{"text":"hi"}', status: 200 },
    { name: 'a body where none is read', method: 'POST', path: '/v1/items/itm_1:archive', headers: [TENANT, JSON_TYPE], body: 'rubbish', status: 200 },
    { name: 'a verb with an escaped colon', method: 'POST', path: '/v1/items/itm_1%3Aarchive', headers: [TENANT], status: 200 },
    { name: 'a static verb with an escaped colon', method: 'POST', path: '/v1/items%3acheck', headers: [TENANT, JSON_TYPE], body: '{}', status: 200 },
    { name: 'a trailing slash', path: '/v1/items/', headers: [TENANT], status: 200 },
    { name: 'a default in the query', path: '/v1/items', headers: [TENANT], status: 200 },
    { name: 'an unknown query member', path: '/v1/items?limit=3&mystery=1', headers: [TENANT], status: 200 },
    { name: 'an identifier with a space', path: '/v1/items/a%20b', headers: [TENANT], status: 200 },
    { name: 'an identifier with a colon before a part', path: '/v1/items/a:b/events', headers: [TENANT], status: 200 },
    { name: 'HEAD', method: 'HEAD', path: '/v1/items/itm_1', headers: [TENANT], status: 200 },
    { name: 'an opaque bearer', path: '/v1/items', headers: [TENANT, ['Authorization', 'Bearer whatever']], status: 200 },
    { name: 'administration with its scope, for a tenant that does not exist', path: '/v1/admin/items', headers: [['X-Tenant-Id', 'tnt_new'], ['X-Scopes', 'tenants:admin']], status: 200 },
    { name: 'a scope by its older name', path: '/v1/items', headers: [TENANT, ['X-Scopes', 'events:read']], status: 200 },
    { name: 'health without a tenant', path: '/v1/health', headers: [], status: 200 },
    { name: 'a stream', path: '/v1/items/itm_1/events', headers: [TENANT], status: 200 },
  ];
  it.each(good)('$name', async (request) => {
    const hot = await send(ways.hot.url, request);
    expect(hot.status, hot.body).toBe(request.status);
    expect(comparable(await send(ways.express.url, request)), 'through Express').toEqual(comparable(hot));
    expect(comparable(await send(ways.refereed.url, request)), 'with the referee').toEqual(comparable(hot));
  });
});

describe('what the HTTP parser refuses', () => {
  const head = 'GET /v1/health HTTP/1.1\r\nHost: items.test\r\n';
  it.each([
    ['length and chunks at once', 'POST /v1/items HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
    ['two lengths', 'POST /v1/items HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd', 400],
    ['a negative length', 'POST /v1/items HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n', 400],
    ['a folded header', `${head}X-Folded: a\r\n b\r\n\r\n`, 400],
    ['a space before the colon', `${head}X-Space : a\r\n\r\n`, 400],
    ['bare line feeds', 'GET /v1/health HTTP/1.1\nHost: items.test\n\n', 400],
    ['no HTTP at all', '\u0016\u0003\u0001hello\r\n\r\n', 400],
    ['no Host', 'GET /v1/health HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    ['17 KB of headers', `${head}X-Large: ${'a'.repeat(17_000)}\r\n\r\n`, 431],
    ['a bad chunk', 'POST /v1/items HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: tnt_demo\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', 400],
  ])('%s → %i as the error model, and the connection ends', async (_name, bytes, status) => {
    const answer = await sendBytes(ways.hot.url, bytes);
    expect(answer.status).toBe(status);
    expect(answer.json).toMatchObject({ error: { code: 'invalid_request' }, correlation_id: expect.stringMatching(/^corr_/) });
  });
});
