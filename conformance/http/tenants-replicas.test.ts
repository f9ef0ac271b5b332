/** What is changed at one replica holds at the others: processes of their own over one database, each with its memory of tenants and keys. */
import { ulid } from 'ulid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, type Answer, type Call } from '../harness/client.ts';
import { testDatabase, type TestDatabase } from '../harness/database.ts';
import { startFleet, type Fleet } from '../harness/fleet.ts';
import { nodeMigrations } from '../harness/migrations.ts';
import { verifies } from './verifies.ts';

/** What is promised. */
const WITHIN_MS = 1_000;

let database: TestDatabase;
let fleet: Fleet;
let here: string;
let there: string;
beforeAll(async () => {
  database = await testDatabase({ migrations: nodeMigrations });
  fleet = await startFleet({ databaseUrl: database.url, members: { 'api-1': 'api', 'api-2': 'api' }, proxied: false, env: { AGENTOS_LOG_LEVEL: 'error' } });
  [here, there] = fleet.apis.map(({ url }) => url) as [string, string];
}, 120_000);
afterAll(async () => {
  await fleet?.close();
  await database?.drop();
}, 180_000);

const admin = (path: string, options: Call = {}): Promise<Answer> => call(here, path, { ...options, headers: { 'x-scopes': 'tenants:admin' } });
const as = (base: string, key: string, path: string, options: Call = {}): Promise<Answer> => call(base, path, { tenant: null, ...options, headers: { authorization: `Bearer ${key}` } });

async function tenantWithKey(): Promise<{ tenantId: string; keyId: string; key: string }> {
  const tenantId = `tnt_r${ulid().toLowerCase()}`;
  const base = `/v1/admin/tenants/${tenantId}`;
  await admin('/v1/admin/tenants', { body: { tenant_id: tenantId } });
  await admin(`${base}/principals/usr_ada`, { method: 'PUT', body: { principal_type: 'user', roles: ['tenant_admin'] } });
  const { body } = await admin(`${base}/keys`, { body: { principal_id: 'usr_ada' } });
  expect((await as(there, body.secret as string, '/v1/runs')).status, 'the other replica knows it, and remembers').toBe(200);
  return { tenantId, keyId: body.key.key_id as string, key: body.secret as string };
}

/** Milliseconds from the answer to a change until the other replica acts on it, asked without a pause the whole time. */
async function untilSeen(change: () => Promise<Answer>, seen: () => Promise<boolean>): Promise<number> {
  const answer = await change();
  expect(answer.status, JSON.stringify(answer.body)).toBeLessThan(300);
  const changedAt = performance.now();
  for (;;) {
    const asked = performance.now() - changedAt;
    if (await seen()) return asked;
    if (asked > 10 * WITHIN_MS) throw new Error('The other replica never saw the change.');
  }
}

describe('the other replica', () => {
  it('refuses a revoked key within a second', verifies(['PRS-15.4-03'], async () => {
    for (let round = 0; round < 5; round += 1) {
      const { keyId, key } = await tenantWithKey();
      const took = await untilSeen(() => as(here, key, `/v1/keys/${keyId}`, { method: 'DELETE' }), async () => (await as(there, key, '/v1/runs')).status === 401);
      expect(took).toBeLessThanOrEqual(WITHIN_MS);
    }
  }));

  it('refuses a suspended tenant within a second, and serves it again', verifies(['PRS-15.4-04'], async () => {
    const { tenantId, key } = await tenantWithKey();
    const status = async (): Promise<number> => (await as(there, key, '/v1/runs')).status;
    expect(await untilSeen(() => admin(`/v1/admin/tenants/${tenantId}:suspend`, { method: 'POST' }), async () => (await status()) === 403)).toBeLessThanOrEqual(WITHIN_MS);
    expect(await untilSeen(() => admin(`/v1/admin/tenants/${tenantId}:resume`, { method: 'POST' }), async () => (await status()) === 200)).toBeLessThanOrEqual(WITHIN_MS);
  }));

  it('holds the tenant to a quota as soon as it is changed, up and down', verifies(['PRS-15.3-01', 'PRS-15.3-03', 'PRS-15.4-02'], async () => {
    const { tenantId, key } = await tenantWithKey();
    const create = async (): Promise<number> => (await as(there, key, '/v1/agents/agt_absent/runs', { body: { input: 'x' } })).status;
    const allowed = async (): Promise<boolean> => [201, 200].includes(await create());
    expect(await allowed(), 'without a quota').toBe(true);
    const quota = (runs: Readonly<Record<string, number>>): Promise<Answer> => admin(`/v1/admin/tenants/${tenantId}`, { method: 'PATCH', body: { quotas: { runs } } });
    expect(await untilSeen(() => quota({ run_create_qps: 0 }), async () => (await create()) === 429)).toBeLessThanOrEqual(WITHIN_MS);
    expect(await untilSeen(() => quota({ run_create_qps: 1_000, run_create_burst: 1_000, max_concurrent_runs: 1_000 }), allowed)).toBeLessThanOrEqual(WITHIN_MS);
    expect(await untilSeen(() => quota({ max_concurrent_runs: 0 }), async () => (await create()) === 429)).toBeLessThanOrEqual(WITHIN_MS);
  }));

  it('knows a new key and a new tenant at once, though it was asked for both before', async () => {
    const tenantId = `tnt_r${ulid().toLowerCase()}`;
    const seen = async (): Promise<boolean> => (await call(there, '/v1/runs', { tenant: tenantId })).status === 200;
    expect(await seen()).toBe(false);
    expect(await untilSeen(() => admin('/v1/admin/tenants', { body: { tenant_id: tenantId } }), seen)).toBeLessThanOrEqual(WITHIN_MS);
  });
});
