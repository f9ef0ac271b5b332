/** What every DirectoryPort must do (PRS 15, Appendix C): tenants, principals and keys. */
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ulid } from 'ulid';
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
  describe('keys', () => keys(under));
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
      secretHash: createHash('sha256').update(randomBytes(24)).digest('hex'), createdAt: new Date().toISOString(), expiresAt: null, revokedAt: null, ...overrides,
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
