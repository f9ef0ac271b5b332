/** Tenant administration over HTTP (PRS 15.4, Appendix C; C-37, C-51, C-56). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ulid } from 'ulid';
import { call, type Answer, type Call } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { goldenPayload } from './golden.ts';
import { faultsOf, operation } from './operations.ts';
import { verifies } from './verifies.ts';

let node: TestNode;
const AO = 'agent-orchestrator';
beforeAll(async () => {
  node = await startNode();
});
afterAll(() => node?.close());

const admin = (path: string, options: Call = {}): Promise<Answer> =>
  call(node.urls[AO], path, { ...options, headers: { 'x-scopes': 'tenants:admin', ...options.headers } });
const freshId = (): string => `tnt_a${ulid().toLowerCase()}`;

describe('creating a tenant', () => {
  it('takes the wrapper of the Appendix', verifies(['PRS-15.4-01', 'PRS-15.4-02', 'PRS-4.1-01'], async () => {
    const golden = goldenPayload('C.3-tenant-create.request.json') as { tenant_create: Record<string, unknown> };
    const tenantId = freshId();
    const answer = await admin('/v1/admin/tenants', { body: { tenant_create: { ...golden.tenant_create, tenant_id: tenantId } } });
    expect(answer.status, JSON.stringify(answer.body)).toBe(201);
    expect(answer.body.tenant).toMatchObject({ ...golden.tenant_create, tenant_id: tenantId, status: 'active', created_at: expect.any(String) as string, updated_at: expect.any(String) as string });
    expect(faultsOf(operation(AO, 'createTenant'), 201, answer.body)).toEqual([]);
    expect((await admin(`/v1/admin/tenants/${tenantId}`)).body.tenant).toEqual(answer.body.tenant);
  }));

  it('takes the bare object, named by the very tenant that is made, under an opaque bearer', async () => {
    const tenantId = freshId();
    const answer = await admin('/v1/admin/tenants', { tenant: tenantId, headers: { authorization: 'Bearer test-token', 'x-principal-id': 'usr_admin' }, body: { tenant_id: tenantId, name: 'Bare' } });
    expect(answer.status, JSON.stringify(answer.body)).toBe(201);
    expect(answer.body.tenant).toMatchObject({ tenant_id: tenantId, name: 'Bare', status: 'active', plan_tier: expect.any(String) as string });
    expect((await call(node.urls[AO], '/v1/runs', { tenant: tenantId })).status, 'it can be used at once').toBe(200);
  });

  it('refuses an id that is taken', async () => {
    const tenantId = freshId();
    await admin('/v1/admin/tenants', { body: { tenant_id: tenantId } });
    const again = await admin('/v1/admin/tenants', { body: { tenant_id: tenantId } });
    expect([again.status, again.body.error.code]).toEqual([409, 'conflict']);
  });

  it('is refused without the scope', verifies(['PRS-10.1-04', 'SEC-01'], async () => {
    const tenantId = freshId();
    const answer = await call(node.urls[AO], '/v1/admin/tenants', { body: { tenant_id: tenantId } });
    expect([answer.status, answer.body.error.code]).toEqual([403, 'forbidden']);
    expect((await admin(`/v1/admin/tenants/${tenantId}`)).status).toBe(404);
  }));
});

describe('the tenant that every demo node has', () => {
  it('is there, without run quotas of its own', verifies(['PRS-11.1-07', 'PRS-8.5-04'], async () => {
    const { status, body } = await admin('/v1/admin/tenants/tnt_demo');
    expect(status).toBe(200);
    expect(body.tenant).toMatchObject({ tenant_id: 'tnt_demo', status: 'active' });
    expect(body.tenant.quotas?.runs).toBeUndefined();
  }));
});

describe('a tenant', () => {
  it('is listed, changed and deleted', verifies(['PRS-15.4-02', 'PRS-15.4-04', 'PRS-12.2-03'], async () => {
    const tenantId = freshId();
    const made = await admin('/v1/admin/tenants', { body: { tenant_id: tenantId, name: 'One', quotas: { runs: { max_concurrent_runs: 5 } } } });
    const listed = await admin('/v1/admin/tenants?limit=200');
    expect(faultsOf(operation(AO, 'listTenants'), 200, listed.body)).toEqual([]);
    expect(listed.body.tenants.map((tenant: { tenant_id: string }) => tenant.tenant_id)).toContain(tenantId);
    const patched = await admin(`/v1/admin/tenants/${tenantId}`, { method: 'PATCH', body: { name: 'Two' } });
    expect(patched.body.tenant).toMatchObject({ name: 'Two', quotas: { runs: { max_concurrent_runs: 5 } }, created_at: made.body.tenant.created_at });
    expect(faultsOf(operation(AO, 'updateTenant'), 200, patched.body)).toEqual([]);
    const put = await admin(`/v1/admin/tenants/${tenantId}`, { method: 'PUT', body: { name: 'Three' } });
    expect([put.status, put.body.tenant?.name]).toEqual([200, 'Three']);
    const deleted = await admin(`/v1/admin/tenants/${tenantId}`, { method: 'DELETE' });
    expect(deleted.status, JSON.stringify(deleted.body)).toBe(200);
    expect(deleted.body.deleted).toBe(tenantId);
    expect(faultsOf(operation(AO, 'deleteTenant'), 200, deleted.body)).toEqual([]);
    expect((await admin(`/v1/admin/tenants/${tenantId}`)).status).toBe(404);
  }));

  it('that there is not is 404', async () => {
    for (const [method, body] of [['GET', undefined], ['PATCH', { name: 'x' }], ['PUT', { name: 'x' }], ['DELETE', undefined]] as const) {
      const answer = await admin('/v1/admin/tenants/tnt_absent', { method, ...(body === undefined ? {} : { body }) });
      expect([answer.status, answer.body.error.code], method).toEqual([404, 'not_found']);
    }
  });
});
