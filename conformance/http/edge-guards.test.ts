/** What stands before identity on running services: which pages may read, how fast one may call, where administration is (PRS 10.1; reliability §1.16). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PLATFORM_SCOPES, TENANT_SCOPES } from '../../services/platform/tenancy/scopes.ts';
import { call, type Answer } from '../harness/client.ts';
import { storeKeys } from '../harness/keys.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { send } from '../harness/raw-http.ts';
import { OPERATION_ACCESS } from '../../generated/handlers/access.ts';
import { pathOf } from '../vectors/bad-input-by-contract.ts';
import { serviceNames } from './operations.ts';
import { verifies } from './verifies.ts';

const PAGE = 'https://console.example.com';
let node: TestNode;
let keys: { readonly tenant: string; readonly platform: string };
beforeAll(async () => {
  node = await startNode({ mode: 'prod', env: { AGENTOS_CORS_ORIGINS: PAGE, AGENTOS_EDGE_ADDRESS_QPS: '5', AGENTOS_EDGE_REFUSALS_PER_MINUTE: '6' } });
  const [tenant, platform] = await storeKeys(node.database.url, [{ scopes: TENANT_SCOPES }, { principalId: 'usr_operator', scopes: PLATFORM_SCOPES, roles: ['platform_operator'] }]);
  keys = { tenant: tenant!, platform: platform! };
});
afterAll(() => node?.close());

const from = (address: string, path: string, headers: Record<string, string> = {}, base = node.urls['agent-orchestrator']): Promise<Answer> =>
  call(base, path, { tenant: null, headers: { 'x-forwarded-for': address, ...headers } });

describe.each(serviceNames)('%s', (service) => {
  it('tells browsers to keep off, whatever the answer', async () => {
    for (const [path, status] of [['/v1/health', 200], ['/nowhere', 404], ['/metrics', 401]] as const) {
      const { status: got, headers } = await call(node.urls[service], path, { tenant: null });
      expect(got, path).toBe(status);
      expect(Object.fromEntries(headers)).toMatchObject({ 'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY', 'referrer-policy': 'no-referrer', 'cache-control': 'no-store' });
      expect(headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
      expect(headers.get('x-powered-by')).toBeNull();
    }
  });

  it('lets the listed page read, and no other', async () => {
    const preflight = await send(node.urls[service], { method: 'OPTIONS', path: '/v1/health', headers: [['Origin', PAGE], ['Access-Control-Request-Method', 'GET'], ['Access-Control-Request-Headers', 'x-api-key']] });
    expect([preflight.status, preflight.headers['access-control-allow-origin'], preflight.headers['access-control-allow-headers']]).toEqual([204, PAGE, 'x-api-key']);
    const own = await call(node.urls[service], '/v1/health', { tenant: null, headers: { origin: PAGE } });
    expect([own.headers.get('access-control-allow-origin'), own.headers.get('vary')]).toEqual([PAGE, 'Origin']);
    const other = await call(node.urls[service], '/v1/health', { tenant: null, headers: { origin: 'https://evil.example' } });
    expect([other.headers.get('access-control-allow-origin'), other.headers.get('vary')]).toEqual([null, 'Origin']);
  });

  it('holds an address back that asks too fast, with the error model and when to come back', verifies(['PRS-13-10'], async () => {
    const answers = await Promise.all(Array.from({ length: 15 }, () => from('198.51.100.7', '/v1/health', {}, node.urls[service])));
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThan(0);
    expect(answers.filter(({ status }) => status === 200).length, 'the burst went through').toBeGreaterThanOrEqual(10);
    expect(refused[0]!.body).toMatchObject({ error: { code: 'rate_limited', retryable: true, details: { reason: 'address_rate_exceeded' } } });
    expect(Number(refused[0]!.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(refused[0]!.headers.get('ratelimit-policy')).toBe('"address";q=10;w=2');
    expect((await from('198.51.100.8', '/v1/health', {}, node.urls[service])).status).toBe(200);
  }));
});

describe('guessing at credentials', () => {
  it('costs time, and locks out nobody whose credential holds', async () => {
    expect((await from('203.0.113.9', '/v1/runs', { 'x-api-key': keys.tenant })).status).toBe(200);
    const statuses: number[] = [];
    for (let guess = 0; statuses.at(-1) !== 429 && guess < 40; guess += 1) {
      statuses.push((await from('203.0.113.9', '/v1/runs', { 'x-api-key': `aos_live_${'0'.repeat(26)}_${guess}` })).status);
      // Slower than the address may ask, so that only the refusals count.
      await new Promise((resolve) => setTimeout(resolve, 210));
    }
    expect(new Set(statuses)).toEqual(new Set([401, 429]));
    expect((await from('203.0.113.9', '/v1/runs', { 'x-api-key': keys.tenant })).status).toBe(200);
  }, 180_000);
});

describe('administration in prod', () => {
  const administration = OPERATION_ACCESS.filter((row) => row.path.startsWith('/v1/admin/') && !row.planned);

  it('has a listener of its own, on this machine alone, and is nowhere else', verifies(['PRS-10.1-05', 'PRS-10.1-04'], async () => {
    expect(administration.length).toBeGreaterThan(10);
    for (const row of administration) {
      const service = row.service as 'agent-orchestrator' | 'model-policy';
      const path = pathOf(row, 'absent');
      const publicly = await call(node.urls[service], path, { method: row.method, tenant: null, headers: { 'x-api-key': keys.platform } });
      expect([publicly.status, publicly.body.error.code], `${row.method} ${row.path}`).toEqual([404, 'not_found']);
      expect(publicly.body.error.message).not.toContain('admin');
    }
    for (const service of ['agent-orchestrator', 'model-policy'] as const) {
      expect(node.adminUrls[service]).not.toBe(node.urls[service]);
      expect(new URL(node.adminUrls[service]).hostname).toBe('127.0.0.1');
      expect((await call(node.adminUrls[service], '/readyz', { tenant: null })).status).toBe(200);
    }
    const admin = (path: string, key: string): Promise<Answer> => call(node.adminUrls['agent-orchestrator'], path, { tenant: null, headers: { 'x-api-key': key } });
    expect((await admin('/v1/admin/tenants', keys.platform)).status).toBe(200);
    expect((await admin('/v1/admin/tenants', keys.tenant)).status).toBe(403);
    expect((await admin('/v1/runs', keys.tenant)).status, 'and serves nothing else').toBe(404);
  }));
});
