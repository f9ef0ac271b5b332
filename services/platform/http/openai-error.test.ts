/** Errors of operations that declare the shape `openai`, wherever on the way they are thrown. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startItemService, writeItemContract, type ItemService } from './fixture/item-service.ts';
import { send } from './fixture/wire.ts';
import type { RateLimiter } from './rate-limiter.ts';

const CALLER: ReadonlyArray<readonly [string, string]> = [['X-Tenant-Id', 'tnt_demo'], ['X-Scopes', 'runs:read']];
const JSON_TYPE = ['Content-Type', 'application/json'] as const;

/** The three ways to an operation: straight from node:http, through Express, and before the referee. */
const ways: ReadonlyArray<readonly [string, () => Promise<ItemService>]> = [
  ['hot', () => startItemService()],
  ['express', () => startItemService({ hot: false })],
  ['refereed', () => startItemService({ contractCheck: true, openapiPath: writeItemContract() })],
];

interface Case {
  readonly name: string;
  readonly headers?: ReadonlyArray<readonly [string, string]>;
  readonly method?: string;
  readonly body?: string;
  readonly status: number;
  readonly error: object;
  readonly shouldRetry?: string;
}

const told = (text: string): string => JSON.stringify({ text });
const cases: readonly Case[] = [
  { name: 'no credential', headers: [JSON_TYPE], body: told('hi'), status: 401, error: { type: 'authentication_error', param: null, code: 'unauthorized' } },
  { name: 'a scope is missing', headers: [['X-Tenant-Id', 'tnt_demo'], ['X-Scopes', 'runs:create'], JSON_TYPE], body: told('hi'), status: 403, error: { type: 'permission_error', param: null, code: 'forbidden' } },
  { name: 'a suspended tenant', headers: [['X-Tenant-Id', 'tnt_asleep'], JSON_TYPE], body: told('hi'), status: 403, error: { type: 'permission_error' } },
  { name: 'a body too large', headers: [...CALLER, JSON_TYPE, ['Content-Length', '300000']], body: '{', status: 413, error: { type: 'invalid_request_error', param: null, code: 'invalid_request' } },
  { name: 'no JSON by its type', headers: [...CALLER, ['Content-Type', 'text/plain']], body: 'hi', status: 415, error: { type: 'invalid_request_error', param: null, code: 'invalid_request' } },
  { name: 'broken JSON', headers: [...CALLER, JSON_TYPE], body: '{"text":', status: 400, error: { type: 'invalid_request_error', param: null, code: 'invalid_json' } },
  { name: 'a member missing', headers: [...CALLER, JSON_TYPE], body: '{}', status: 400, error: { type: 'invalid_request_error', param: 'text', code: 'invalid_request' } },
  { name: 'a member missing within a list', headers: [...CALLER, JSON_TYPE], body: '{"text":"hi","parts":[{"role":"a"},{}]}', status: 400, error: { param: 'parts[1].role' } },
  { name: 'a name that needs escapes', headers: [...CALLER, JSON_TYPE], body: told('nested'), status: 400, error: { param: 'parts[0].a/b' } },
  { name: 'two host headers', headers: [['Host', 'a'], ['Host', 'b']], body: told('hi'), status: 400, error: { type: 'invalid_request_error', code: 'invalid_request' } },
  { name: 'two credentials', headers: [['Authorization', 'Bearer a'], ['Authorization', 'Bearer b']], body: told('hi'), status: 401, error: { type: 'authentication_error' } },
  { name: 'a budget used up', headers: [...CALLER, JSON_TYPE], body: told('fail:budget'), status: 429, shouldRetry: 'false', error: { type: 'insufficient_quota', param: null, code: 'insufficient_quota', retryable: false } },
  { name: 'a conflict', headers: [...CALLER, JSON_TYPE], body: told('conflict'), status: 409, shouldRetry: 'false', error: { type: 'invalid_request_error', code: 'conflict' } },
  { name: 'too many requests, by the handler', headers: [...CALLER, JSON_TYPE], body: told('fail:rate'), status: 429, error: { type: 'rate_limit_error', code: 'rate_limited', retryable: true } },
  { name: 'a dependency away', headers: [...CALLER, JSON_TYPE], body: told('fail:down'), status: 503, error: { type: 'server_error', code: 'dependency_unavailable' } },
  { name: 'our fault', headers: [...CALLER, JSON_TYPE], body: told('fail:throws'), status: 500, error: { type: 'server_error', code: 'internal_error' } },
];

describe.each(ways)('errors in the shape of OpenAI: %s', (_way, start) => {
  let service: ItemService;
  beforeAll(async () => {
    service = await start();
  });
  afterAll(() => service.server.close());

  it.each(cases)('$name', async ({ headers = [], body, status, error, shouldRetry }) => {
    const answer = await send(service.url, { method: 'POST', path: '/v1/tell', headers, ...(body === undefined ? {} : { body }) });
    expect([answer.status, answer.json.error], answer.body).toEqual([status, expect.objectContaining(error)]);
    expect(Object.keys(answer.json.error)).toEqual(expect.arrayContaining(['message', 'type', 'param', 'code', 'retryable', 'details']));
    expect(answer.json.correlation_id).toBe(answer.headers['x-correlation-id']);
    expect(answer.headers['x-should-retry']).toBe(shouldRetry);
  });

  it('leaves every other operation the error model alone', async () => {
    const answer = await send(service.url, { path: '/v1/items/absent', headers: [['X-Tenant-Id', 'tnt_demo']] });
    expect(answer.status).toBe(404);
    expect(Object.keys(answer.json.error).sort()).toEqual(['code', 'details', 'message', 'retryable']);
  });
});

describe('limits and times', () => {
  it('a limit of the rate is worth a repeat and says when', async () => {
    const limiter = { check: () => ({ allowed: false, limit: 1, remaining: 0, resetSeconds: 3, windowSeconds: 1 }) } as unknown as RateLimiter;
    const service = await startItemService({ rateLimiter: limiter });
    const answer = await send(service.url, { method: 'POST', path: '/v1/tell', headers: [...CALLER, JSON_TYPE], body: told('hi') });
    expect([answer.status, answer.headers['retry-after'], answer.headers['x-should-retry']]).toEqual([429, '3', undefined]);
    expect(answer.json.error).toMatchObject({ type: 'rate_limit_error', code: 'rate_limited' });
    await service.server.close();
  });

  it('a budget promises no time that it does not know', async () => {
    const service = await startItemService();
    const answer = await send(service.url, { method: 'POST', path: '/v1/tell', headers: [...CALLER, JSON_TYPE], body: told('fail:budget') });
    expect(answer.headers['retry-after']).toBeUndefined();
    await service.server.close();
  });
});
