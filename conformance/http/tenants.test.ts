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
  }));

  it('is served only while it is active', verifies(['PRS-15.4-04'], async () => {
    const tenantId = await node.tenant();
    const status = async (): Promise<readonly unknown[]> => {
      const { status: code, body } = await call(node.urls[AO], '/v1/runs', { tenant: tenantId });
      return [code, body.error?.details?.reason];
    };
    expect(await status()).toEqual([200, undefined]);
    const suspended = await admin(`/v1/admin/tenants/${tenantId}:suspend`, { body: { reason: 'invoice overdue' } });
    expect([suspended.status, suspended.body.tenant?.status], JSON.stringify(suspended.body)).toEqual([200, 'suspended']);
    expect(faultsOf(operation(AO, 'suspendTenant'), 200, suspended.body)).toEqual([]);
    expect(await status()).toEqual([403, 'tenant_suspended']);
    expect((await admin(`/v1/admin/tenants/${tenantId}/suspend`, { method: 'POST' })).status, 'again, by path, without a body').toBe(200);
    const resumed = await admin(`/v1/admin/tenants/${tenantId}:resume`, { method: 'POST' });
    expect([resumed.status, resumed.body.tenant?.status]).toEqual([200, 'active']);
    expect(faultsOf(operation(AO, 'resumeTenant'), 200, resumed.body)).toEqual([]);
    expect(await status()).toEqual([200, undefined]);
  }));

  it('may be sent back as it was read', async () => {
    const tenantId = await node.tenant({ metadata: { tags: ['x'], anything: { of: 'ours' } } });
    const read = (await admin(`/v1/admin/tenants/${tenantId}`)).body.tenant;
    const sent = await admin(`/v1/admin/tenants/${tenantId}`, { method: 'PUT', body: { ...read, tenant_id: 'tnt_demo', name: 'Other' } });
    expect(sent.status, JSON.stringify(sent.body)).toBe(200);
    expect(sent.body.tenant).toEqual({ ...read, name: 'Other', updated_at: expect.any(String) as string });
  });

  it('reads itself, with the quotas that hold for it', verifies(['PRS-15.3-03', 'PRS-10.1-07'], async () => {
    const tenantId = await node.tenant({ quotas: { runs: { max_concurrent_runs: 7 }, models: { max_requests_per_minute: 9 } } });
    const own = await call(node.urls[AO], '/v1/tenant', { tenant: tenantId });
    expect(own.status, JSON.stringify(own.body)).toBe(200);
    expect(faultsOf(operation(AO, 'getOwnTenant'), 200, own.body)).toEqual([]);
    expect(own.body).toMatchObject({ tenant_id: tenantId, tenant: { tenant_id: tenantId, quotas: { runs: { max_concurrent_runs: 7, run_create_qps: 10_000, run_create_burst: 10_000 }, models: { max_requests_per_minute: 9 } } } });
    expect((await call(node.urls[AO], '/v1/tenant', { tenant: tenantId, headers: { 'x-scopes': 'runs:read' } })).status).toBe(403);
  }));

  it('that there is not is 404', async () => {
    for (const [method, body] of [['GET', undefined], ['PATCH', { name: 'x' }], ['PUT', { name: 'x' }], ['DELETE', undefined]] as const) {
      const answer = await admin('/v1/admin/tenants/tnt_absent', { method, ...(body === undefined ? {} : { body }) });
      expect([answer.status, answer.body.error.code], method).toEqual([404, 'not_found']);
    }
  });
});

describe('what a tenant is written with', () => {
  const refusedAt = async (path: string, method: string, body: unknown): Promise<readonly unknown[]> => {
    const answer = await admin(path, { method, body });
    return [answer.status, answer.body.error?.code, answer.body.error?.details?.errors?.map((fault: { path: string }) => fault.path)];
  };

  it.each([
    ['at the top', { quota: {} }, '/quota'],
    ['in quotas', { quotas: { run: {} } }, '/quotas/run'],
    ['in quotas of runs', { quotas: { runs: { max_concurent_runs: 5 } } }, '/quotas/runs/max_concurent_runs'],
    ['in entitlements', { entitlements: { tool_ids: [] } }, '/entitlements/tool_ids'],
    ['in a budget', { quotas: { models: { token_budget: { window: 'day', max_token: 1 } } } }, '/quotas/models/token_budget/max_token'],
    ['in the policy', { policy: { allow_models: [] } }, '/policy/allow_models'],
    ['with a slash in its name', { 'a/b': 1 }, '/a~1b'],
  ])('is refused where a member is unknown, with a pointer to it: %s', verifies(['PRS-15.4-02'], async (_where: string, body: Record<string, unknown>, pointer: string) => {
    const tenantId = freshId();
    expect(await refusedAt('/v1/admin/tenants', 'POST', { tenant_id: tenantId, ...body })).toEqual([400, 'invalid_request', expect.arrayContaining([pointer])]);
    expect(await refusedAt('/v1/admin/tenants', 'POST', { tenant_create: { tenant_id: tenantId, ...body } })).toEqual([400, 'invalid_request', expect.arrayContaining([`/tenant_create${pointer}`])]);
    expect((await admin(`/v1/admin/tenants/${tenantId}`)).status).toBe(404);
    for (const method of ['PATCH', 'PUT']) expect(await refusedAt('/v1/admin/tenants/tnt_demo', method, body), method).toEqual([400, 'invalid_request', [pointer]]);
  }));
});

describe('deleting a tenant', () => {
  it('must be confirmed by its id', verifies(['PRS-12.2-03'], async () => {
    const tenantId = await node.tenant();
    for (const query of ['', '?confirm=', '?confirm=yes', '?confirm=tnt_demo', `?confirm=${tenantId.toUpperCase()}`]) {
      const answer = await admin(`/v1/admin/tenants/${tenantId}${query}`, { method: 'DELETE' });
      expect([answer.status, answer.body.error?.code], query).toEqual([400, 'invalid_request']);
      if (query !== '?confirm=') expect(answer.body.error.details, query).toMatchObject({ reason: 'confirmation_required', errors: [{ path: '/query/confirm' }] });
    }
    expect((await call(node.urls[AO], '/v1/runs', { tenant: tenantId })).status, 'nothing happened').toBe(200);
  }));

  it('refuses its calls at once and can be undone until the grace period is over', verifies(['PRS-12.2-03', 'PRS-15.4-04'], async () => {
    const tenantId = await node.tenant();
    await admin(`/v1/admin/tenants/${tenantId}:suspend`, { method: 'POST' });
    const deleted = await admin(`/v1/admin/tenants/${tenantId}?confirm=${tenantId}`, { method: 'DELETE', headers: { 'x-principal-id': 'usr_operator' } });
    expect([deleted.status, deleted.body.deleted], JSON.stringify(deleted.body)).toEqual([200, tenantId]);
    expect(faultsOf(operation(AO, 'deleteTenant'), 200, deleted.body)).toEqual([]);
    expect((Date.parse(deleted.body.purge_after) - Date.now()) / 3_600_000).toBeCloseTo(168, 0);
    const refused = await call(node.urls[AO], '/v1/runs', { tenant: tenantId });
    expect([refused.status, refused.body.error.details]).toEqual([403, { reason: 'tenant_suspended', tenant_id: tenantId, status: 'disabled' }]);
    expect((await admin(`/v1/admin/tenants/${tenantId}`)).body.tenant).toMatchObject({ status: 'disabled', deletion: { requested_by: 'usr_operator', purge_after: deleted.body.purge_after } });
    const again = await admin(`/v1/admin/tenants/${tenantId}?confirm=${tenantId}`, { method: 'DELETE' });
    expect([again.status, again.body.purge_after], 'the first date holds').toEqual([200, deleted.body.purge_after]);
    for (const [method, path, body] of [['PATCH', '', { status: 'active' }], ['POST', ':resume', undefined], ['POST', ':suspend', undefined]] as const) {
      const answer = await admin(`/v1/admin/tenants/${tenantId}${path}`, { method, ...(body === undefined ? {} : { body }) });
      expect([answer.status, answer.body.error?.details?.reason], `${method} ${path}`).toEqual([409, 'tenant_deleted']);
    }
    const restored = await admin(`/v1/admin/tenants/${tenantId}:restore`, { method: 'POST' });
    expect([restored.status, restored.body.tenant?.status, restored.body.tenant?.deletion]).toEqual([200, 'suspended', undefined]);
    expect(faultsOf(operation(AO, 'restoreTenant'), 200, restored.body)).toEqual([]);
    const twice = await admin(`/v1/admin/tenants/${tenantId}/restore`, { method: 'POST' });
    expect([twice.status, twice.body.error.details.reason]).toEqual([409, 'not_deleted']);
    for (const hours of [-1, 8761, 'soon']) expect((await admin(`/v1/admin/tenants/${tenantId}?confirm=${tenantId}&grace_hours=${hours}`, { method: 'DELETE' })).status).toBe(400);
    const atOnce = await admin(`/v1/admin/tenants/${tenantId}?confirm=${tenantId}&grace_hours=0`, { method: 'DELETE' });
    expect(Date.parse(atOnce.body.purge_after)).toBeLessThanOrEqual(Date.now());
    await expect.poll(async () => (await admin(`/v1/admin/tenants/${tenantId}`)).status, { timeout: 20_000, interval: 250 }).toBe(404);
  }));
});
