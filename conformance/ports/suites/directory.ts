/** What every DirectoryPort must do (PRS 15, Appendix C): tenants, principals and keys. */
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ulid } from 'ulid';
import { createApiKey } from '../../../services/platform/auth/api-key.ts';
import { AgentOsError } from '../../../services/platform/errors.ts';
import type { ApiKeyRecord } from '../../../services/platform/tenancy/directory.ts';
import type { TenantCreate } from '../../../generated/types/index.ts';
import { verifies } from '../../http/verifies.ts';
import type { DirectoryHarness } from '../contract.ts';
import { contextOf, expectCapabilities, pause, rejection } from '../fixtures.ts';

type Under = () => DirectoryHarness;
const ADMIN = contextOf('tnt_platform', 'usr_platform_admin');

export function directorySuite(create: () => Promise<DirectoryHarness>): void {
  let harness: DirectoryHarness | undefined;
  beforeAll(async () => {
    harness = await create();
  });
  afterAll(() => harness?.dispose());
  const under = () => harness!;
  describe('tenants', () => tenants(under));
  describe('listing', () => listing(under));
  describe('the life of a tenant', () => life(under));
  describe('principals', () => principals(under));
  describe('keys', () => keys(under));
  describe('keys that are issued', () => issuedKeys(under));
  describe('keys of a principal', () => heldKeys(under));
}

function wanted(overrides: Partial<TenantCreate> = {}): TenantCreate {
  return { tenant_id: `tnt_dir_${ulid().toLowerCase()}`, name: 'Acme Corp', plan_tier: 'standard', ...overrides };
}

function tenants(under: Under): void {
  it('declares what it is', () => {
    expectCapabilities(under().directory.capabilities());
  });

  it('creates a tenant with everything it was given', verifies(['PRS-4.1-01', 'PRS-15.4-01', 'PRS-15.1-01'], async () => {
    const create = wanted({
      default_policy_id: 'pol_default',
      entitlements: { model_tiers_allowed: ['fast'], model_backends_allowed: [], tool_ids_allowed: ['tool.echo'] },
      quotas: { runs: { max_concurrent_runs: 50, run_create_qps: 25, run_create_burst: 50 }, models: { token_budget: { window: 'day', max_tokens: 500_000, max_cost_usd: 250 } } },
    });
    const tenant = await under().directory.createTenant(ADMIN, create);
    expect(tenant).toMatchObject({ ...create, status: 'active' });
    expect(Number.isNaN(Date.parse(tenant.created_at))).toBe(false);
    expect(await under().directory.getTenant(null, tenant.tenant_id)).toEqual(tenant);
  }));

  it('refuses an id that is taken, also when many ask at once', async () => {
    const create = wanted();
    const outcomes = await Promise.allSettled(Array.from({ length: 10 }, () => under().directory.createTenant(ADMIN, create)));
    expect(outcomes.filter((outcome) => outcome.status === 'fulfilled')).toHaveLength(1);
    expect((await rejection(under().directory.createTenant(ADMIN, create))).code).toBe('conflict');
  });

  it('answers null for a tenant that there is not', async () => {
    expect(await under().directory.getTenant(null, 'tnt_absent')).toBeNull();
    expect((await rejection(under().directory.updateTenant(ADMIN, 'tnt_absent', { name: 'x' }))).code).toBe('not_found');
    expect((await rejection(under().directory.deleteTenant(ADMIN, 'tnt_absent'))).code).toBe('not_found');
  });

  it('changes only the members that are present', verifies(['PRS-15.4-02', 'PRS-15.4-04'], async () => {
    const made = await under().directory.createTenant(ADMIN, wanted({ quotas: { runs: { max_concurrent_runs: 5 } } }));
    const changed = await under().directory.updateTenant(ADMIN, made.tenant_id, { status: 'suspended', quotas: { runs: { max_concurrent_runs: 7 } } });
    expect(changed).toMatchObject({ name: 'Acme Corp', plan_tier: 'standard', status: 'suspended', quotas: { runs: { max_concurrent_runs: 7 } }, created_at: made.created_at });
    await pause(under().staleMs + 50);
    expect(await under().directory.getTenant(null, made.tenant_id)).toMatchObject({ status: 'suspended' });
  }));

  it('forgets a deleted tenant', async () => {
    const made = await under().directory.createTenant(ADMIN, wanted());
    await under().directory.deleteTenant(ADMIN, made.tenant_id);
    await pause(under().staleMs + 50);
    expect(await under().directory.getTenant(null, made.tenant_id)).toBeNull();
  });
}

function listing(under: Under): void {
  it('lists in pages without overlap', async () => {
    const made = await Promise.all(Array.from({ length: 5 }, () => under().directory.createTenant(ADMIN, wanted())));
    const seen: string[] = [];
    for (let after: string | undefined; ;) {
      const page = await under().directory.listTenants(ADMIN, { limit: 2, ...(after === undefined ? {} : { after }) });
      seen.push(...page.tenants.map((tenant) => tenant.tenant_id));
      if (!page.hasMore) break;
      after = page.tenants.at(-1)!.tenant_id;
    }
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toEqual(expect.arrayContaining(made.map((tenant) => tenant.tenant_id)));
  });
}

function keys(under: Under): void {
  async function key(under: Under, overrides: Partial<ApiKeyRecord> = {}): Promise<ApiKeyRecord> {
    const tenant = await under().directory.createTenant(ADMIN, wanted());
    await under().directory.putPrincipal(ADMIN, { tenantId: tenant.tenant_id, principalId: 'usr_1', principalType: 'user', displayName: 'One', roles: ['tenant_user'] });
    return {
      keyId: `key_${ulid()}`, tenantId: tenant.tenant_id, principalId: 'usr_1', principalType: 'user', scopes: ['runs:read'], roles: ['tenant_user'],
      secretHash: createHash('sha256').update(randomBytes(24)).digest('hex'), name: null, createdAt: new Date().toISOString(), createdBy: null, expiresAt: null, revokedAt: null, lastUsedAt: null, replacedBy: null, ...overrides,
    };
  }

  it('finds a key by its public half', verifies(['PRS-15.4-03'], async () => {
    const record = await key(under);
    await under().directory.putApiKey(ADMIN, record);
    const found = await under().directory.getApiKey(record.keyId);
    expect(found).toMatchObject({ ...record, createdAt: expect.any(String) as string });
    expect(Date.parse(found!.createdAt)).toBe(Date.parse(record.createdAt));
    expect(await under().directory.getApiKey('key_absent')).toBeNull();
  }));

  it('shows that a key was revoked', async () => {
    const record = await key(under);
    await under().directory.putApiKey(ADMIN, record);
    await under().directory.putApiKey(ADMIN, { ...record, revokedAt: new Date().toISOString() });
    await pause(under().staleMs + 50);
    expect((await under().directory.getApiKey(record.keyId))?.revokedAt).not.toBeNull();
  });
}

async function freshDirectoryTenant(under: Under): Promise<string> {
  return (await under().directory.createTenant(ADMIN, wanted())).tenant_id;
}

function life(under: Under): void {
  it('suspends and resumes', verifies(['PRS-15.4-04'], async () => {
    const { directory } = under();
    const tenantId = await freshDirectoryTenant(under);
    expect((await directory.setTenantStatus(ADMIN, tenantId, { status: 'suspended', reason: 'late' })).status).toBe('suspended');
    expect((await directory.setTenantStatus(ADMIN, tenantId, { status: 'suspended', reason: null })).status).toBe('suspended');
    expect((await directory.setTenantStatus(ADMIN, tenantId, { status: 'active', reason: null })).status).toBe('active');
    expect((await rejection(directory.setTenantStatus(ADMIN, 'tnt_absent', { status: 'active', reason: null }))).code).toBe('not_found');
  }));

  it('marks for deletion once, lets nothing be changed meanwhile, and restores what was', verifies(['PRS-12.2-03'], async () => {
    const { directory } = under();
    const tenantId = await freshDirectoryTenant(under);
    await directory.setTenantStatus(ADMIN, tenantId, { status: 'suspended', reason: null });
    const marked = await directory.requestTenantDeletion(ADMIN, tenantId, 60_000);
    expect(marked).toMatchObject({ status: 'disabled', deletion: { requested_by: ADMIN.principal.principal_id } });
    expect(Date.parse(marked.deletion!.purge_after) - Date.parse(marked.deletion!.requested_at)).toBeGreaterThan(59_000);
    expect((await directory.requestTenantDeletion(ADMIN, tenantId, 0)).deletion, 'the first date holds').toEqual(marked.deletion);
    expect((await rejection(directory.updateTenant(ADMIN, tenantId, { status: 'active' }))).code).toBe('conflict');
    expect((await rejection(directory.setTenantStatus(ADMIN, tenantId, { status: 'active', reason: null }))).code).toBe('conflict');
    const restored = await directory.restoreTenant(ADMIN, tenantId);
    expect([restored.status, restored.deletion]).toEqual(['suspended', undefined]);
    expect((await rejection(directory.restoreTenant(ADMIN, tenantId))).code).toBe('invalid_state_transition');
    expect((await directory.updateTenant(ADMIN, tenantId, { name: 'Again' })).name).toBe('Again');
  }));

  it('does not restore after the date, nor give an id twice', verifies(['PRS-15.1-01'], async () => {
    const { directory } = under();
    const tenantId = await freshDirectoryTenant(under);
    await directory.requestTenantDeletion(ADMIN, tenantId, 0);
    await pause(5);
    expect((await rejection(directory.restoreTenant(ADMIN, tenantId))).code).toBe('invalid_state_transition');
    await directory.deleteTenant(ADMIN, tenantId);
    expect((await rejection(directory.createTenant(ADMIN, wanted({ tenant_id: tenantId })))).code).toBe('conflict');
  }));

  it('changes nothing of what only the platform sets', async () => {
    const { directory } = under();
    const [one, other] = [await directory.createTenant(ADMIN, wanted()), await freshDirectoryTenant(under)];
    const patch = { name: 'Sent back', tenant_id: other, created_at: '2020-01-01T00:00:00.000Z', deletion: null } as never;
    expect(await directory.updateTenant(ADMIN, one.tenant_id, patch)).toEqual({ ...one, name: 'Sent back', updated_at: expect.any(String) as string });
  });
}

function principals(under: Under): void {
  const asked = (tenantId: string, principalId: string, roles: readonly string[]) => ({ tenantId, principalId, principalType: 'user' as const, displayName: principalId, roles });

  it('are created, replaced and listed in pages, each tenant its own', verifies(['PRS-10.1-07'], async () => {
    const { directory } = under();
    const [tenantId, other] = [await freshDirectoryTenant(under), await freshDirectoryTenant(under)];
    const seen: unknown[] = [];
    const put = (principalId: string, roles: readonly string[]) => directory.changePrincipal(ADMIN, tenantId, principalId, (current) => {
      seen.push(current?.roles ?? null);
      return { principal: asked(tenantId, principalId, roles), keys: { scopes: [], roles: [] } };
    });
    for (const id of ['usr_c', 'usr_a', 'usr_B']) await put(id, ['tenant_user']);
    const replaced = await put('usr_a', ['tenant_admin']);
    expect(seen).toEqual([null, null, null, ['tenant_user']]);
    expect(replaced).toMatchObject({ principalId: 'usr_a', roles: ['tenant_admin'] });
    const first = await directory.listPrincipals(ADMIN, tenantId, { limit: 2 });
    expect([first.principals.map(({ principalId }) => principalId), first.hasMore]).toEqual([['usr_B', 'usr_a'], true]);
    const rest = await directory.listPrincipals(ADMIN, tenantId, { limit: 2, after: 'usr_a' });
    expect([rest.principals.map(({ principalId }) => principalId), rest.hasMore]).toEqual([['usr_c'], false]);
    expect((await directory.listPrincipals(ADMIN, other, { limit: 2 })).principals).toEqual([]);
    expect(await directory.getPrincipal(ADMIN, other, 'usr_a')).toBeNull();
    for (const refused of [() => directory.listPrincipals(ADMIN, 'tnt_absent', { limit: 1 }), () => directory.changePrincipal(ADMIN, 'tnt_absent', 'usr_a', () => ({ principal: asked('tnt_absent', 'usr_a', []), keys: { scopes: [], roles: [] } }))]) expect((await rejection(refused())).code).toBe('not_found');
  }));

  it('stay as they are when the rule refuses', async () => {
    const { directory } = under();
    const tenantId = await freshDirectoryTenant(under);
    await directory.putPrincipal(ADMIN, asked(tenantId, 'usr_1', ['tenant_user']));
    const refuse = (): never => {
      throw new AgentOsError('forbidden', { message: 'No.' });
    };
    expect((await rejection(directory.changePrincipal(ADMIN, tenantId, 'usr_1', refuse))).code).toBe('forbidden');
    expect((await rejection(directory.deletePrincipal(ADMIN, tenantId, 'usr_1', refuse))).code).toBe('forbidden');
    expect((await directory.getPrincipal(ADMIN, tenantId, 'usr_1'))?.roles).toEqual(['tenant_user']);
    expect((await rejection(directory.deletePrincipal(ADMIN, tenantId, 'usr_absent', () => undefined))).code).toBe('not_found');
  });
}

async function principal(under: Under): Promise<{ tenantId: string; make: (overrides?: Partial<ApiKeyRecord>) => ApiKeyRecord }> {
  const tenantId = await freshDirectoryTenant(under);
  await under().directory.putPrincipal(ADMIN, { tenantId, principalId: 'svc_1', principalType: 'service', displayName: 'One', roles: ['tenant_admin'] });
  const make = (overrides: Partial<ApiKeyRecord> = {}): ApiKeyRecord => ({
    ...createApiKey({ tenantId, principalId: 'svc_1', principalType: 'service', scopes: ['runs:read', 'agents:write'], roles: ['tenant_admin'], createdBy: ADMIN.principal.principal_id }).record, ...overrides,
  });
  return { tenantId, make };
}

function issuedKeys(under: Under): void {
  it('belong to a principal that there is', verifies(['PRS-15.4-03'], async () => {
    const { directory } = under();
    const { tenantId, make } = await principal(under);
    const { key, replayed } = await directory.issueApiKey(ADMIN, tenantId, 'svc_1', (found) => make({ name: found.displayName }));
    expect([key.name, replayed]).toEqual(['One', false]);
    expect(await directory.getApiKey(key.keyId)).toEqual(key);
    expect((await directory.listApiKeys(ADMIN, tenantId, { limit: 10 })).keys).toEqual([key]);
    expect((await directory.listApiKeys(ADMIN, tenantId, { limit: 10, principalId: 'svc_2' })).keys).toEqual([]);
    expect((await rejection(directory.issueApiKey(ADMIN, tenantId, 'svc_absent', () => make()))).code).toBe('not_found');
    expect((await rejection(directory.issueApiKey(ADMIN, 'tnt_absent', 'svc_1', () => make()))).code).toBe('not_found');
    expect((await rejection(directory.listApiKeys(ADMIN, 'tnt_absent', { limit: 1 }))).code).toBe('not_found');
  }));

  it('are one for one request, however often it comes', async () => {
    const { directory } = under();
    const { tenantId, make } = await principal(under);
    const idempotency = { key: 'same', requestHash: 'a' };
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => directory.issueApiKey(ADMIN, tenantId, 'svc_1', () => make(), idempotency)));
    expect(outcomes.filter(({ replayed }) => !replayed)).toHaveLength(1);
    expect(new Set(outcomes.map(({ key }) => key.keyId)).size).toBe(1);
    expect((await rejection(directory.issueApiKey(ADMIN, tenantId, 'svc_1', () => make(), { key: 'same', requestHash: 'b' }))).code).toBe('conflict');
    const somebodyElse = contextOf('tnt_platform', 'usr_other');
    expect((await directory.issueApiKey(somebodyElse, tenantId, 'svc_1', () => make({ createdBy: 'usr_other' }), idempotency)).replayed).toBe(false);
  });

  it('are replaced once for one request, however often it comes', async () => {
    const { directory } = under();
    const { tenantId, make } = await principal(under);
    const [{ key }, { key: another }] = [await directory.issueApiKey(ADMIN, tenantId, 'svc_1', () => make()), await directory.issueApiKey(ADMIN, tenantId, 'svc_1', () => make())];
    const rotate = (keyId = key.keyId, requestHash = 'a') => directory.rotateApiKey(ADMIN, tenantId, keyId, () => ({ replacement: make(), oldExpiresAt: new Date(Date.now() + 60_000).toISOString() }), { key: 'turn', requestHash });
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => rotate()));
    expect(outcomes.filter(({ replayed }) => !replayed)).toHaveLength(1);
    expect(new Set(outcomes.map((outcome) => outcome.key.keyId)).size).toBe(1);
    expect(new Set(outcomes.map((outcome) => outcome.replaced.replacedBy))).toEqual(new Set([outcomes[0]!.key.keyId]));
    for (const refused of [() => rotate(key.keyId, 'b'), () => rotate(another.keyId, 'b')]) expect((await rejection(refused())).code).toBe('conflict');
    expect((await directory.listApiKeys(ADMIN, tenantId, { limit: 10 })).keys).toHaveLength(3);
  });

  it('are rotated and revoked, in their own tenant alone', verifies(['PRS-15.4-03'], async () => {
    const { directory } = under();
    const { tenantId, make } = await principal(under);
    const other = await freshDirectoryTenant(under);
    const { key } = await directory.issueApiKey(ADMIN, tenantId, 'svc_1', () => make());
    const oldExpiresAt = new Date(Date.now() + 60_000).toISOString();
    const replacement = make();
    for (const refused of [
      () => directory.rotateApiKey(ADMIN, other, key.keyId, () => ({ replacement, oldExpiresAt })),
      () => directory.revokeApiKey(ADMIN, other, key.keyId, () => undefined),
      () => directory.revokeApiKey(ADMIN, tenantId, 'key_absent', () => undefined),
    ]) expect((await rejection(refused())).code).toBe('not_found');
    const rotated = await directory.rotateApiKey(ADMIN, tenantId, key.keyId, () => ({ replacement, oldExpiresAt }));
    expect(rotated).toMatchObject({ key: { keyId: replacement.keyId }, replaced: { keyId: key.keyId, expiresAt: oldExpiresAt, replacedBy: replacement.keyId } });
    const revoked = await directory.revokeApiKey(ADMIN, tenantId, key.keyId, () => undefined);
    expect(revoked.revokedAt).not.toBeNull();
    expect((await directory.revokeApiKey(ADMIN, tenantId, key.keyId, () => undefined)).revokedAt).toBe(revoked.revokedAt);
    await pause(under().staleMs + 50);
    expect((await directory.getApiKey(key.keyId))?.revokedAt).toBe(revoked.revokedAt);
    expect((await directory.getApiKey(replacement.keyId))?.revokedAt).toBeNull();
  }));
}

function heldKeys(under: Under): void {
  it('lose what their principal may no longer hold, and go with it', verifies(['PRS-10.1-07'], async () => {
    const { directory } = under();
    const { tenantId, make } = await principal(under);
    const issue = async (overrides: Partial<ApiKeyRecord>) => (await directory.issueApiKey(ADMIN, tenantId, 'svc_1', () => make(overrides))).key.keyId;
    const [wide, narrow, byRole] = [await issue({}), await issue({ scopes: ['agents:write'] }), await issue({ scopes: [] })];
    await directory.changePrincipal(ADMIN, tenantId, 'svc_1', () => ({
      principal: { tenantId, principalId: 'svc_1', principalType: 'service', displayName: 'One', roles: ['tenant_service'] }, keys: { scopes: ['runs:read'], roles: ['tenant_service'] },
    }));
    const { keys } = await directory.listApiKeys(ADMIN, tenantId, { limit: 10 });
    const found = new Map(keys.map((key) => [key.keyId, key]));
    expect(found.get(wide)).toMatchObject({ scopes: ['runs:read'], roles: [], revokedAt: null });
    expect(found.get(narrow)).toMatchObject({ scopes: [], revokedAt: expect.any(String) as string });
    expect(found.get(byRole)).toMatchObject({ scopes: [], roles: [], revokedAt: null });
    expect(await directory.deletePrincipal(ADMIN, tenantId, 'svc_1', () => undefined)).toEqual({ revokedKeys: 2 });
    expect((await directory.listApiKeys(ADMIN, tenantId, { limit: 10 })).keys.every((key) => key.revokedAt !== null)).toBe(true);
    expect(await directory.getPrincipal(ADMIN, tenantId, 'svc_1')).toBeNull();
  }));

  it('say when they were last used, a little later and to the minute', async () => {
    const { directory } = under();
    const { tenantId, make } = await principal(under);
    const { key } = await directory.issueApiKey(ADMIN, tenantId, 'svc_1', () => make());
    for (let use = 0; use < 100; use += 1) directory.noteApiKeyUse(key);
    directory.noteApiKeyUse({ tenantId, keyId: 'key_absent' });
    const lastUsedAt = async (): Promise<string | null> => (await directory.listApiKeys(ADMIN, tenantId, { limit: 1 })).keys[0]!.lastUsedAt;
    await expect.poll(lastUsedAt, { timeout: 10_000 }).toMatch(/:00\.000Z$/);
  });
}
