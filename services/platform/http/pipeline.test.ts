/** The pipeline's own promises: ids, headers, the answer check, rate limits, and that causes stay inside. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createIdentity } from '../auth/identity.ts';
import { startItemService, writeItemContract, type ItemService } from './fixture/item-service.ts';
import type { RateLimiter } from './rate-limiter.ts';

const TENANT = { 'X-Tenant-Id': 'tnt_demo' };
let service: ItemService;
beforeAll(async () => {
  service = await startItemService();
});
afterAll(() => service.server.close());

const get = (path: string, headers: Record<string, string> = TENANT): Promise<Response> => fetch(`${service.url}${path}`, { headers });

describe('ids and trace', () => {
  it('makes ids where the caller sent none', async () => {
    const answer = await get('/v1/items/itm_1');
    const body = (await answer.json()) as any;
    expect(answer.headers.get('x-request-id')).toMatch(/^req_[0-9A-Z]{26}$/);
    expect(answer.headers.get('x-correlation-id')).toMatch(/^corr_[0-9A-Z]{26}$/);
    expect(body.correlation_id).toBe(answer.headers.get('x-correlation-id'));
    expect(body.tenant_id).toBe('tnt_demo');
    expect(answer.headers.get('x-tenant-id')).toBe('tnt_demo');
    expect(answer.headers.get('traceparent')).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  });

  it.each([
    [{ 'X-Correlation-Id': 'corr_mine', 'X-Request-Id': 'req_mine' }, 'req_mine', 'corr_mine'],
    [{ 'X-Request-Id': 'req_mine' }, 'req_mine', 'req_mine'],
  ])('takes the caller\'s: %j', async (headers, requestId, correlationId) => {
    const answer = await get('/v1/items/itm_1', { ...TENANT, ...headers });
    expect(answer.headers.get('x-request-id')).toBe(requestId);
    expect(answer.headers.get('x-correlation-id')).toBe(correlationId);
  });

  it('does not echo what could not stand in a header or a log line', async () => {
    const answer = await get('/v1/items/itm_1', { ...TENANT, 'X-Correlation-Id': 'x'.repeat(300), 'X-Request-Id': 'a b' });
    expect(answer.headers.get('x-correlation-id')).toMatch(/^corr_[0-9A-Z]{26}$/);
    expect(answer.headers.get('x-request-id')).toMatch(/^req_[0-9A-Z]{26}$/);
  });

  it('continues the caller\'s trace with a span of its own', async () => {
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00';
    const answered = (await get('/v1/items/itm_1', { ...TENANT, traceparent })).headers.get('traceparent')!;
    expect(answered).toMatch(/^00-4bf92f3577b34da6a3ce929d0e0e4736-[0-9a-f]{16}-00$/);
    expect(answered).not.toBe(traceparent);
  });

  it('answers open operations without a tenant', async () => {
    const answer = await get('/v1/health', {});
    expect(await answer.json()).toEqual({ status: 'ok', service: 'items', version: '1.0.2', correlation_id: expect.any(String) });
    expect(answer.headers.get('x-tenant-id')).toBeNull();
  });

  it('passes the idempotency key on, and a handler\'s headers back', async () => {
    expect(await (await get('/v1/items', { ...TENANT, 'Idempotency-Key': 'idem_1' })).json()).toMatchObject({ idempotency: 'idem_1', limit: 50 });
    const created = await fetch(`${service.url}/v1/items`, { method: 'POST', headers: { ...TENANT, 'Content-Type': 'application/json' }, body: '{"name":"x"}' });
    expect(created.headers.get('location')).toBe('/v1/items/itm_1');
  });
});

describe('errors', () => {
  it.each([
    ['throws', 500, 'internal_error'],
    ['budget', 403, 'quota_exceeded'],
    ['limit', 429, 'rate_limited'],
    ['sql', 400, 'invalid_request'],
    ['down', 503, 'dependency_unavailable'],
  ])('%s → %i %s', async (how, status, code) => {
    const answer = await get(`/v1/broken/${how}`);
    const text = await answer.text();
    expect(answer.status).toBe(status);
    expect(JSON.parse(text)).toMatchObject({ error: { code, details: expect.any(Object) }, correlation_id: expect.any(String), tenant_id: 'tnt_demo' });
    expect(text).not.toMatch(/hunter2|SELECT|10\.0\.0\.1/);
    if (status === 429) expect(answer.headers.get('retry-after')).toBe('7');
    if (status === 503) expect(answer.headers.get('retry-after')).toBe('1');
  });

  it('logs the cause of a 5xx under the correlation id, and nothing for the caller\'s mistakes', async () => {
    await get('/v1/broken/throws', { ...TENANT, 'X-Correlation-Id': 'corr_find_me' });
    await get('/v1/broken/budget', { ...TENANT, 'X-Correlation-Id': 'corr_not_me' });
    const errors = service.logged.filter((line) => line.level === 50);
    expect(errors.find((line) => line.correlation_id === 'corr_find_me')).toMatchObject({ err: { message: expect.stringContaining('hunter2') }, tenant_id: 'tnt_demo', trace_id: expect.any(String) });
    expect(errors.some((line) => line.correlation_id === 'corr_not_me')).toBe(false);
  });

  it('says which scopes are missing', async () => {
    expect(await (await get('/v1/items', { ...TENANT, 'X-Scopes': 'agents:read' })).json()).toMatchObject({
      error: { code: 'forbidden', details: { required_scopes: ['runs:read'], missing_scopes: ['runs:read'] } },
    });
  });
});

describe('the answer check', () => {
  it.each([
    ['status', 'undeclared_status'],
    ['body', 'contract_violation'],
    ['undeclared', 'undeclared_status'],
  ])('withholds an answer that breaks the contract: %s', async (how, reason) => {
    const answer = await get(`/v1/broken/${how}`);
    expect(answer.status).toBe(500);
    expect(await answer.json()).toMatchObject({ error: { code: 'internal_error', retryable: false, details: { reason } } });
  });

  it('is the operator\'s choice: without it the same answer goes out', async () => {
    const unchecked = await startItemService({ checkAnswers: false });
    expect((await fetch(`${unchecked.url}/v1/broken/status`, { headers: TENANT })).status).toBe(202);
    await unchecked.server.close();
  });
});

describe('the referee', () => {
  it('turns a different reading of the request into 500 contract_disagreement', async () => {
    const path = writeItemContract((document) => {
      document.paths['/v1/items'].post.requestBody.content['application/json'].schema.properties.name.maxLength = 3;
    });
    const refereed = await startItemService({ contractCheck: true, openapiPath: path });
    const post = (name: string): Promise<Response> => fetch(`${refereed.url}/v1/items`, { method: 'POST', headers: { ...TENANT, 'Content-Type': 'application/json' }, body: JSON.stringify({ name }) });
    expect((await post('abc')).status).toBe(201);
    const answer = await post('abcd');
    expect(answer.status).toBe(500);
    expect(await answer.json()).toMatchObject({ error: { details: { reason: 'contract_disagreement' } } });
    expect(refereed.logged.some((line) => /disagree about a request/.test(line.msg) && line.validators === 'accepts it')).toBe(true);
    await refereed.server.close();
  });

  it('turns a different reading of the answer into 500 contract_disagreement', async () => {
    const path = writeItemContract((document) => {
      document.paths['/v1/items/{item_id}'].get.responses['200'].content['application/json'].schema.properties.item.required.push('colour');
    });
    const refereed = await startItemService({ contractCheck: true, openapiPath: path });
    const answer = await fetch(`${refereed.url}/v1/items/itm_1`, { headers: TENANT });
    expect(answer.status).toBe(500);
    expect(await answer.json()).toMatchObject({ error: { details: { reason: 'contract_disagreement' } } });
    await refereed.server.close();
  });
});

describe('rate limits', () => {
  const limiter = (allowed: boolean): RateLimiter => ({ check: () => ({ allowed, limit: 10, windowSeconds: 1, remaining: allowed ? 4 : 0, resetSeconds: 0.3 }) });
  const post = (url: string): Promise<Response> => fetch(`${url}/v1/items`, { method: 'POST', headers: { ...TENANT, 'Content-Type': 'application/json' }, body: '{"name":"x"}' });

  it('are told on every answer they apply to', async () => {
    const limited = await startItemService({ rateLimiter: limiter(true) });
    const answer = await post(limited.url);
    expect(answer.status).toBe(201);
    expect(answer.headers.get('ratelimit')).toBe('"write";r=4;t=1');
    expect(answer.headers.get('ratelimit-policy')).toBe('"write";q=10;w=1');
    expect((await fetch(`${limited.url}/v1/items`, { headers: TENANT })).headers.get('ratelimit')).toBeNull();
    await limited.server.close();
  });

  it('refuse with 429 and Retry-After', async () => {
    const limited = await startItemService({ rateLimiter: limiter(false) });
    const answer = await post(limited.url);
    expect(answer.status).toBe(429);
    expect(answer.headers.get('retry-after')).toBe('1');
    expect(answer.headers.get('ratelimit')).toBe('"write";r=0;t=1');
    expect(await answer.json()).toMatchObject({ error: { code: 'rate_limited', retryable: true } });
    await limited.server.close();
  });
});

describe('metrics', () => {
  it('count requests by operation and status', async () => {
    await get('/v1/items/absent');
    await get('/v1/nowhere');
    const text = await (await get('/metrics', {})).text();
    expect(text).toMatch(/agentos_http_requests_total\{method="GET",operation="getItem",status="404",service="items"\} [1-9]/);
    expect(text).toMatch(/agentos_http_requests_total\{method="GET",operation="unmatched",status="404",service="items"\} [1-9]/);
    expect(text).toMatch(/agentos_http_request_duration_seconds_bucket\{le="0.01"/);
  });
});

it('refuses to start without a handler for every operation', async () => {
  await expect(startItemService({ contractCheck: true })).rejects.toThrow(/openapiPath/);
});

it('asks for a credential outside demo mode', async () => {
  const strict = await startItemService({ makeIdentity: (directory) => createIdentity({ mode: 'dev', directory }) });
  const answer = await fetch(`${strict.url}/v1/items`, { headers: { ...TENANT, 'X-Scopes': 'runs:read', 'X-Principal-Id': 'usr_1' } });
  expect(answer.status).toBe(401);
  expect(answer.headers.get('www-authenticate')).toContain('Bearer');
  await strict.server.close();
});
