/** Principals and API keys, by operators and by a tenant's own administrators; nobody rises above themselves (PRS 10.1, 15.4). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, type Answer, type Call } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { storeKeys } from '../harness/keys.ts';
import { faultsOf, operation } from './operations.ts';
import { verifies } from './verifies.ts';

let node: TestNode;
let operator: string;
const AO = 'agent-orchestrator';
beforeAll(async () => {
  // The answers are held against the contract here; the referee would do it a second time, slowly.
  node = await startNode({ mode: 'dev', env: { AGENTOS_CONTRACT_CHECK: 'off' } });
  [operator] = (await storeKeys(node.database.url, [{ principalId: 'usr_operator', scopes: [], roles: ['platform_operator'] }])) as [string];
});
afterAll(() => node?.close());

/** With a key as the only credential. */
const as = (key: string, path: string, options: Call = {}): Promise<Answer> => call(node.urls[AO], path, { tenant: null, ...options, headers: { authorization: `Bearer ${key}`, ...options.headers } });

let made = 0;
/** A tenant with an administrator of its own, made as an operator would. */
async function newTenant(): Promise<{ tenantId: string; admin: string; adminKeyId: string }> {
  const tenantId = `tnt_k${Date.now().toString(36)}${(made += 1)}`;
  const steps = [
    await as(operator, '/v1/admin/tenants', { body: { tenant_id: tenantId } }),
    await as(operator, `/v1/admin/tenants/${tenantId}/principals/usr_ada`, { method: 'PUT', body: { principal_type: 'user', display_name: 'Ada', roles: ['tenant_admin'] } }),
    await as(operator, `/v1/admin/tenants/${tenantId}/keys`, { body: { principal_id: 'usr_ada' } }),
  ];
  for (const step of steps) expect(step.status, JSON.stringify(step.body)).toBe(201);
  return { tenantId, admin: steps[2]!.body.secret as string, adminKeyId: steps[2]!.body.key.key_id as string };
}

async function served(answer: Promise<Answer>, status = 200): Promise<Answer> {
  const got = await answer;
  expect(got.status, JSON.stringify(got.body)).toBe(status);
  return got;
}
const put = (key: string, principalId: string, principalType: string, roles: readonly string[]): Promise<Answer> => as(key, `/v1/principals/${principalId}`, { method: 'PUT', body: { principal_type: principalType, roles } });
const refusal = ({ status, body }: Answer): readonly unknown[] => [status, body.error?.code, body.error?.details?.reason ?? body.error?.details?.errors?.[0]?.path];

describe('an operator', () => {
  it('sets a tenant up to its first key, whose holder does the rest', verifies(['PRS-15.4-03', 'PRS-10.1-04', 'PRS-10.1-07'], async () => {
    const { tenantId, admin } = await newTenant();
    const principals = await served(as(admin, '/v1/principals'));
    expect(faultsOf(operation(AO, 'listPrincipals'), 200, principals.body)).toEqual([]);
    expect(principals.body).toMatchObject({ tenant_id: tenantId, has_more: false, principals: [{ principal_id: 'usr_ada', display_name: 'Ada', roles: ['tenant_admin'] }] });
    const service = await served(put(admin, 'svc_orders', 'service', ['tenant_service']), 201);
    expect(faultsOf(operation(AO, 'putPrincipal'), 201, service.body)).toEqual([]);
    expect(service.body.principal.display_name).toBe('svc_orders');
    expect((await served(put(admin, 'svc_orders', 'service', ['tenant_service']))).body.principal.created_at).toBe(service.body.principal.created_at);
    const issued = await served(as(admin, '/v1/keys', { body: { principal_id: 'svc_orders', name: 'orders', scopes: ['runs:write', 'agents:read'], expires_in_days: 90 } }), 201);
    expect(faultsOf(operation(AO, 'createKey'), 201, issued.body)).toEqual([]);
    expect(issued.body.key).toMatchObject({ principal_id: 'svc_orders', principal_type: 'service', name: 'orders', scopes: ['runs:create', 'runs:cancel', 'runs:forward', 'agents:read'], roles: ['tenant_service'], created_by: 'usr_ada', status: 'active', last_used_at: null });
    expect(issued.body.secret.startsWith(issued.body.key.prefix)).toBe(true);
    expect((Date.parse(issued.body.key.expires_at) - Date.now()) / 86_400_000).toBeCloseTo(90, 1);
    expect((await as(issued.body.secret, '/v1/agents')).status).toBe(200);
    expect((await call(node.urls[AO], '/v1/agents', { tenant: null, headers: { 'x-api-key': issued.body.secret as string } })).status, 'as X-API-Key too').toBe(200);
    expect((await as(issued.body.secret, '/v1/runs')).status, 'beyond its scopes').toBe(403);
    expect((await as(admin, '/v1/admin/tenants')).status, 'administering a tenant is not administering tenants').toBe(403);
    expect((await as(admin, `/v1/admin/tenants/${tenantId}/keys`)).status).toBe(403);
  }));

  it('sees and changes a tenant\'s principals and keys, and is told when there is none', async () => {
    const { tenantId, adminKeyId } = await newTenant();
    const base = `/v1/admin/tenants/${tenantId}`;
    expect((await served(as(operator, `${base}/principals/usr_ada`))).body).toMatchObject({ tenant_id: tenantId, principal: { principal_id: 'usr_ada' } });
    expect((await served(as(operator, `${base}/keys?principal_id=usr_ada`))).body.keys).toMatchObject([{ key_id: adminKeyId }]);
    expect((await served(as(operator, `${base}/keys?principal_id=usr_bob`))).body.keys).toEqual([]);
    expect((await served(as(operator, `${base}/keys/${adminKeyId}:rotate`, { body: { overlap_seconds: 0 } }), 201)).body.key.principal_id).toBe('usr_ada');
    expect((await served(as(operator, `${base}/keys/${adminKeyId}`, { method: 'DELETE' }))).body.key.status).toBe('revoked');
    for (const path of ['/principals', '/principals/usr_ada', '/keys']) expect(refusal(await as(operator, `/v1/admin/tenants/tnt_absent${path}`)), path).toEqual([404, 'not_found', undefined]);
    expect(refusal(await as(operator, '/v1/admin/tenants/tnt_absent/keys', { body: { principal_id: 'usr_ada' } }))).toEqual([404, 'not_found', undefined]);
  });
});

describe('a key', () => {
  it('is shown once and never again', verifies(['PRS-15.4-03'], async () => {
    const { admin } = await newTenant();
    const { secret, key } = (await served(as(admin, '/v1/keys', { body: { principal_id: 'usr_ada' }, headers: { 'idempotency-key': 'first' } }), 201)).body;
    const tail = (secret as string).slice(-20);
    expect((await as(secret as string, '/v1/agents')).status).toBe(200);
    const repeat = (): Promise<Answer> => served(as(admin, '/v1/keys', { body: { principal_id: 'usr_ada' }, headers: { 'idempotency-key': 'first' } }));
    await expect.poll(async () => (await repeat()).body.secret as unknown, { timeout: 10_000, message: 'once it was used' }).toBeUndefined();
    const again = await repeat();
    expect([again.body.key.key_id, again.headers.get('idempotency-replayed')]).toEqual([key.key_id, 'true']);
    expect(refusal(await as(admin, '/v1/keys', { body: { principal_id: 'usr_ada', name: 'other' }, headers: { 'idempotency-key': 'first' } }))).toEqual([409, 'conflict', 'idempotency_key_reused']);
    const listed = await served(as(admin, '/v1/keys'));
    expect(faultsOf(operation(AO, 'listKeys'), 200, listed.body)).toEqual([]);
    expect(JSON.stringify([listed.body, again.body])).not.toMatch(new RegExp(`${tail}|hash`));
    expect(node.logLines.join('')).not.toContain(tail);
    const stored = await node.database.asSuperuser((client) => client.query('SELECT to_jsonb(k)::text AS row FROM directory.api_keys k UNION ALL SELECT entry::text FROM audit.records'));
    expect(JSON.stringify(stored.rows), 'hashed at rest').not.toContain(tail);
  }));

  it('whose first answer was lost is had by asking again with the same idempotency key, and its secret is nowhere', verifies(['PRS-15.4-03'], async () => {
    const { tenantId, admin } = await newTenant();
    const stored = async (): Promise<string> => JSON.stringify((await node.database.asSuperuser((client) => client.query('SELECT to_jsonb(k)::text AS row FROM directory.api_keys k WHERE tenant_id = $1', [tenantId]))).rows);
    const create = (credential = admin): Promise<Answer> => as(credential, '/v1/keys', { body: { principal_id: 'usr_ada', name: 'ci' }, headers: { 'idempotency-key': 'lost-answer' } });
    const [first, second] = [await served(create(), 201), await served(create())];
    expect([second.body.key.key_id, second.body.secret, second.headers.get('idempotency-replayed')]).toEqual([first.body.key.key_id, first.body.secret, 'true']);
    expect(faultsOf(operation(AO, 'createKey'), 200, second.body)).toEqual([]);
    const rotate = (overlapSeconds = 600, path = ':rotate'): Promise<Answer> => as(admin, `/v1/keys/${first.body.key.key_id}${path}`, { method: 'POST', body: { overlap_seconds: overlapSeconds }, headers: { 'idempotency-key': 'lost-rotation' } });
    const rotated = await served(rotate(), 201);
    const repeated = await served(rotate(600, '/rotate'));
    expect(faultsOf(operation(AO, 'rotateKey'), 200, repeated.body)).toEqual([]);
    expect([repeated.body.key.key_id, repeated.body.secret, repeated.headers.get('idempotency-replayed')]).toEqual([rotated.body.key.key_id, rotated.body.secret, 'true']);
    expect(refusal(await rotate(60)), 'another request').toEqual([409, 'conflict', 'idempotency_key_reused']);
    for (const { body } of [second, repeated]) expect((await as(body.secret as string, '/v1/agents')).status).toBe(200);
    expect(await stored()).not.toMatch(new RegExp([(first.body.secret as string).slice(-20), (rotated.body.secret as string).slice(-20), 'lost-'].join('|')));
    const unnamed = await served(as(admin, `/v1/keys/${rotated.body.key.key_id}:rotate`, { method: 'POST' }), 201);
    const refused = await as(admin, `/v1/keys/${rotated.body.key.key_id}:rotate`, { method: 'POST' });
    expect([refusal(refused)[2], refused.body.error.message as string]).toEqual(['key_replaced', expect.stringContaining(`rotate that one`)]);
    await served(as(admin, `/v1/keys/${unnamed.body.key.key_id}:rotate`, { method: 'POST' }), 201);
  }));

  it('is not had again by a credential of the same principal that holds less', verifies(['PRS-10.1-04'], async () => {
    const { admin } = await newTenant();
    const wide = { body: { principal_id: 'usr_ada' }, headers: { 'idempotency-key': 'wide' } };
    const made = await served(as(admin, '/v1/keys', wide), 201);
    const narrow = (await served(as(admin, '/v1/keys', { body: { principal_id: 'usr_ada', scopes: ['keys:write'] } }), 201)).body.secret as string;
    expect(refusal(await as(narrow, '/v1/keys', wide))).toEqual([403, 'forbidden', 'privilege_escalation']);
    expect((await served(as(admin, '/v1/keys', wide))).body.secret).toBe(made.body.secret);
  }));

  it('made for one request that came many times at once is one', async () => {
    const { admin } = await newTenant();
    const answers = await Promise.all(Array.from({ length: 10 }, () => as(admin, '/v1/keys', { body: { principal_id: 'usr_ada', name: 'race' }, headers: { 'idempotency-key': 'race' } })));
    expect(answers.map(({ status }) => status).sort()).toEqual([...Array.from({ length: 9 }, () => 200), 201]);
    expect(new Set(answers.map(({ body }) => body.key.key_id as string)).size).toBe(1);
    expect(new Set(answers.map(({ body }) => body.secret as string)).size, 'whichever of the answers arrives').toBe(1);
  });

  it('is rotated with an overlap', verifies(['PRS-15.4-03'], async () => {
    const { admin } = await newTenant();
    const old = (await served(as(admin, '/v1/keys', { body: { principal_id: 'usr_ada', name: 'ci', expires_in_days: 30 } }), 201)).body;
    const rotated = await served(as(admin, `/v1/keys/${old.key.key_id}:rotate`, { body: { overlap_seconds: 600 } }), 201);
    expect(faultsOf(operation(AO, 'rotateKey'), 201, rotated.body)).toEqual([]);
    expect(rotated.body.key).toMatchObject({ principal_id: 'usr_ada', name: 'ci', roles: ['tenant_admin'], replaced_by: null });
    expect(Date.parse(rotated.body.key.expires_at) - Date.now(), 'for as long as the old one was made for').toBeGreaterThan(29.9 * 86_400_000);
    for (const secret of [old.secret, rotated.body.secret]) expect((await as(secret as string, '/v1/agents')).status).toBe(200);
    const { keys } = (await served(as(admin, '/v1/keys'))).body;
    const replaced = keys.find((key: { key_id: string }) => key.key_id === old.key.key_id);
    expect(replaced).toMatchObject({ replaced_by: rotated.body.key.key_id, status: 'active' });
    expect((Date.parse(replaced.expires_at) - Date.now()) / 1_000).toBeCloseTo(600, -2);
    expect(refusal(await as(admin, `/v1/keys/${old.key.key_id}/rotate`, { method: 'POST' })), 'once').toEqual([409, 'invalid_state_transition', 'key_replaced']);
    const cut = await served(as(admin, `/v1/keys/${rotated.body.key.key_id}:rotate`, { body: { overlap_seconds: 0 } }), 201);
    expect((await as(rotated.body.secret as string, '/v1/agents')).status, 'without an overlap the old one ends now').toBe(401);
    expect((await as(cut.body.secret as string, '/v1/agents')).status).toBe(200);
  }));

  it('ends when it expires or is revoked, and is not rotated then', verifies(['PRS-15.4-03'], async () => {
    const { admin } = await newTenant();
    const short = (await served(as(admin, '/v1/keys', { body: { principal_id: 'usr_ada', expires_at: new Date(Date.now() + 600).toISOString() } }), 201)).body;
    expect((await as(short.secret as string, '/v1/agents')).status).toBe(200);
    await expect.poll(async () => (await as(short.secret as string, '/v1/agents')).status, { timeout: 5_000 }).toBe(401);
    expect(refusal(await as(admin, `/v1/keys/${short.key.key_id}:rotate`, { method: 'POST' }))).toEqual([409, 'invalid_state_transition', 'key_expired']);
    const key = (await served(as(admin, '/v1/keys', { body: { principal_id: 'usr_ada' } }), 201)).body;
    const revoked = await served(as(admin, `/v1/keys/${key.key.key_id}`, { method: 'DELETE' }));
    expect(faultsOf(operation(AO, 'revokeKey'), 200, revoked.body)).toEqual([]);
    expect((await as(key.secret as string, '/v1/agents')).status).toBe(401);
    expect((await served(as(admin, `/v1/keys/${key.key.key_id}`, { method: 'DELETE' }))).body.key.revoked_at, 'again changes nothing').toBe(revoked.body.key.revoked_at);
    expect(refusal(await as(admin, `/v1/keys/${key.key.key_id}:rotate`, { method: 'POST' }))).toEqual([409, 'invalid_state_transition', 'key_revoked']);
    for (const [body, path] of [[{ expires_at: '2020-01-01T00:00:00Z' }, '/expires_at'], [{ scope: [] }, '/scope'], [{ roles: ['tenant_user'] }, '/roles/0'], [{ scopes: ['runs:reed'] }, '/scopes/0']] as const) {
      expect(refusal(await as(admin, '/v1/keys', { body: { principal_id: 'usr_ada', ...body } })), path).toEqual([400, 'invalid_request', path]);
    }
    expect(refusal(await as(admin, '/v1/keys', { body: { principal_id: 'usr_nobody' } }))).toEqual([400, 'invalid_request', '/principal_id']);
  }));

  it('says to the minute when it was last used', verifies(['PRS-15.4-03'], async () => {
    const { admin, adminKeyId } = await newTenant();
    const lastUsed = async (): Promise<string | null> => (await as(admin, '/v1/keys')).body.keys.find((key: { key_id: string }) => key.key_id === adminKeyId).last_used_at as string | null;
    await expect.poll(lastUsed, { timeout: 10_000 }).toMatch(/:00\.000Z$/);
    expect(Math.abs(Date.parse((await lastUsed())!) - Date.now())).toBeLessThan(120_000);
  }));

  it('goes with its principal, and shrinks with its roles', verifies(['PRS-10.1-07'], async () => {
    const { admin } = await newTenant();
    await served(put(admin, 'svc_bot', 'service', ['tenant_admin']), 201);
    const wide = (await served(as(admin, '/v1/keys', { body: { principal_id: 'svc_bot', scopes: ['agents:read', 'agents:write'] } }), 201)).body;
    const lost = (await served(as(admin, '/v1/keys', { body: { principal_id: 'svc_bot', scopes: ['agents:write'] } }), 201)).body;
    const byRole = (await served(as(admin, '/v1/keys', { body: { principal_id: 'svc_bot' } }), 201)).body;
    expect((await as(byRole.secret as string, '/v1/keys')).status).toBe(200);
    await served(put(admin, 'svc_bot', 'service', ['tenant_service']));
    const { keys } = (await served(as(admin, '/v1/keys?principal_id=svc_bot'))).body;
    expect(keys.map((key: { scopes: string[]; roles: string[]; status: string }) => [key.scopes, key.roles, key.status])).toEqual([[['agents:read'], [], 'active'], [[], [], 'revoked'], [[], [], 'active']]);
    expect((await as(wide.secret as string, '/v1/agents')).status).toBe(200);
    expect((await as(lost.secret as string, '/v1/agents')).status).toBe(401);
    expect((await as(byRole.secret as string, '/v1/keys')).status).toBe(403);
    const deleted = await served(as(admin, '/v1/principals/svc_bot', { method: 'DELETE' }));
    expect(faultsOf(operation(AO, 'deletePrincipal'), 200, deleted.body)).toEqual([]);
    expect(deleted.body).toMatchObject({ deleted: 'svc_bot', keys_revoked: 2 });
    expect((await as(wide.secret as string, '/v1/agents')).status).toBe(401);
    expect(refusal(await as(admin, '/v1/principals/svc_bot'))).toEqual([404, 'not_found', undefined]);
  }));
});

describe('nobody rises above themselves', () => {
  it('neither by roles, nor by keys, nor by rotating somebody else\'s', verifies(['PRS-10.1-04', 'PRS-10.1-07', 'SEC-01'], async () => {
    const { tenantId, admin, adminKeyId } = await newTenant();
    await as(operator, `/v1/admin/tenants/${tenantId}/principals/usr_operator2`, { method: 'PUT', body: { principal_type: 'user', roles: ['platform_operator'] } });
    const operatorKey = (await served(as(operator, `/v1/admin/tenants/${tenantId}/keys`, { body: { principal_id: 'usr_operator2' } }), 201)).body;
    await served(put(admin, 'svc_clerk', 'service', ['tenant_admin']), 201);
    const clerk = (await served(as(admin, '/v1/keys', { body: { principal_id: 'svc_clerk', scopes: ['keys:write', 'keys:read', 'principals:write', 'runs:read'] } }), 201)).body.secret as string;
    const attempts: ReadonlyArray<readonly [string, Promise<Answer>, readonly unknown[]]> = [
      ['an administrator makes an operator', put(admin, 'usr_eve', 'user', ['platform_operator']), [403, 'forbidden', 'platform_privilege']],
      ['the same under its older name', put(admin, 'usr_eve', 'user', ['platform_admin']), [403, 'forbidden', 'platform_privilege']],
      ['an administrator takes a key of an operator', as(admin, '/v1/keys', { body: { principal_id: 'usr_operator2' } }), [403, 'forbidden', 'platform_privilege']],
      ['an administrator rotates one', as(admin, `/v1/keys/${operatorKey.key.key_id}:rotate`, { method: 'POST' }), [403, 'forbidden', 'platform_privilege']],
      ['an administrator revokes one', as(admin, `/v1/keys/${operatorKey.key.key_id}`, { method: 'DELETE' }), [403, 'forbidden', 'platform_privilege']],
      ['an administrator deletes an operator', as(admin, '/v1/principals/usr_operator2', { method: 'DELETE' }), [403, 'forbidden', 'platform_privilege']],
      ['an administrator demotes one', put(admin, 'usr_operator2', 'user', []), [403, 'forbidden', 'platform_privilege']],
      ['an administrator asks for a platform scope', as(admin, '/v1/keys', { body: { principal_id: 'usr_ada', scopes: ['tenants:admin'] } }), [400, 'invalid_request', '/scopes/0']],
      ['a clerk makes an administrator', put(clerk, 'usr_eve', 'user', ['tenant_admin']), [403, 'forbidden', 'privilege_escalation']],
      ['a clerk takes a key of the administrator', as(clerk, '/v1/keys', { body: { principal_id: 'usr_ada' } }), [403, 'forbidden', 'privilege_escalation']],
      ['a clerk takes one scope too many', as(clerk, '/v1/keys', { body: { principal_id: 'svc_clerk', scopes: ['runs:read', 'runs:create'] } }), [403, 'forbidden', 'privilege_escalation']],
      ['a clerk rotates the administrator\'s key', as(clerk, `/v1/keys/${adminKeyId}:rotate`, { method: 'POST' }), [403, 'forbidden', 'privilege_escalation']],
      ['a role that is not for services', put(admin, 'svc_x', 'service', ['tenant_user']), [400, 'invalid_request', '/roles/0']],
      ['a role that there is not', put(admin, 'usr_x', 'user', ['tenant_user', 'root']), [400, 'invalid_request', '/roles/1']],
    ];
    for (const [what, attempt, expected] of attempts) expect(refusal(await attempt), what).toEqual(expected);
    await served(as(clerk, '/v1/keys', { body: { principal_id: 'svc_clerk', scopes: ['runs:read'] } }), 201);
    expect((await as(operatorKey.secret as string, '/v1/admin/tenants?limit=1')).status, 'the operator is still one').toBe(200);
  }));

  it('and nobody reaches into another tenant', verifies(['PRS-10.1-06'], async () => {
    const [one, other] = [await newTenant(), await newTenant()];
    expect(refusal(await as(one.admin, `/v1/keys/${other.adminKeyId}`, { method: 'DELETE' }))).toEqual([404, 'not_found', undefined]);
    expect(refusal(await as(one.admin, `/v1/keys/${other.adminKeyId}:rotate`, { method: 'POST' }))).toEqual([404, 'not_found', undefined]);
    await served(put(other.admin, 'usr_only', 'user', ['tenant_user']), 201);
    expect((await as(one.admin, '/v1/principals/usr_only')).status).toBe(404);
    expect((await served(as(one.admin, '/v1/principals'))).body.principals).toHaveLength(1);
    expect((await as(one.admin, '/v1/keys', { headers: { 'x-tenant-id': other.tenantId } })).status).toBe(400);
    expect((await as(other.admin, '/v1/agents')).status).toBe(200);
  }));
});

describe('every administrative change', () => {
  it('stands in the audit of the tenant, with who and what', verifies(['PRS-12.2-03'], async () => {
    const { tenantId, admin } = await newTenant();
    const key = (await served(as(admin, '/v1/keys', { body: { principal_id: 'usr_ada', name: 'ci' } }), 201)).body.key;
    const rotated = (await served(as(admin, `/v1/keys/${key.key_id}:rotate`, { method: 'POST' }), 201)).body.key;
    await served(as(admin, `/v1/keys/${rotated.key_id}`, { method: 'DELETE' }));
    await served(put(admin, 'usr_bob', 'user', ['tenant_user']), 201);
    await served(as(admin, '/v1/principals/usr_bob', { method: 'DELETE' }));
    expect((await put(admin, 'usr_bob', 'user', ['root'])).status).toBe(400);
    await served(as(operator, `/v1/admin/tenants/${tenantId}`, { method: 'PATCH', body: { quotas: { runs: { max_concurrent_runs: 3 } } } }));
    await served(as(operator, `/v1/admin/tenants/${tenantId}:suspend`, { body: { reason: 'late' } }));
    const { rows } = await node.database.asSuperuser((client) => client.query<{ entry: { action: string; principal: { principal_id: string }; resource: { id: string }; correlation_id?: string; operation?: string; details: Record<string, unknown> } }>(
      "SELECT entry FROM audit.records WHERE tenant_id = $1 AND entry ->> 'action' ~ '^(tenant|principal|key)\\.' ORDER BY service, sequence", [tenantId]));
    expect(rows.map(({ entry }) => [entry.action, entry.principal.principal_id, entry.resource.id])).toEqual([
      ['tenant.create', 'usr_operator', tenantId], ['principal.put', 'usr_operator', 'usr_ada'], ['key.create', 'usr_operator', expect.any(String)],
      ['key.create', 'usr_ada', key.key_id], ['key.rotate', 'usr_ada', key.key_id], ['key.revoke', 'usr_ada', rotated.key_id],
      ['principal.put', 'usr_ada', 'usr_bob'], ['principal.delete', 'usr_ada', 'usr_bob'], ['tenant.update', 'usr_operator', tenantId], ['tenant.suspend', 'usr_operator', tenantId],
    ]);
    expect(rows[4]!.entry.details).toMatchObject({ replaced_by: rotated.key_id, name: 'ci' });
    expect(rows.at(-1)!.entry.details).toMatchObject({ from: 'active', to: 'suspended', reason: 'late' });
  }));
});
