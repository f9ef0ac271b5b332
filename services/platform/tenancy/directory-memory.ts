/** DirectoryPort in memory: for tests, and for services without a database. */
import type { MemoryAudit } from '../audit/audit-memory.ts';
import { auditRow, type AuditDetails } from '../audit/audit-row.ts';
import type { PortCapabilities } from '../port.ts';
import type { Tenant, TenantCreate } from '../../../generated/types/index.ts';
import type { AuthContext } from './auth-context.ts';
import { MemoryAccounts } from './directory-memory-accounts.ts';
import type { ApiKeyRecord, DirectoryPort, KeyBounds, KeyIdempotency, KeyReplacement, Page, PrincipalRecord, RotatedKey, StoredPrincipal, TenantPatch } from './directory.ts';
import { idWasUsed, nothingToRestore, tenantAwaitsDeletion, tenantExists, tenantNotFound, tooLateToRestore } from './tenant-errors.ts';
import { changedMembers, draftTenant, patchTenant } from './tenant-record.ts';

interface Stored {
  tenant: Tenant;
  statusBefore: Tenant['status'] | null;
}

export class MemoryDirectory implements DirectoryPort {
  readonly #tenants = new Map<string, Stored>();
  readonly #former = new Set<string>();
  readonly #accounts = new MemoryAccounts();
  readonly #audit: Pick<MemoryAudit, 'add'> | null;

  /** @param audit where changes are recorded. */
  constructor(audit: Pick<MemoryAudit, 'add'> | null = null) {
    this.#audit = audit;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'memory', contractVersion: '1.1', durable: false, features: [] };
  }

  async getTenant(_auth: AuthContext | null, tenantId: string): Promise<Tenant | null> {
    const stored = this.#tenants.get(tenantId);
    return stored === undefined ? null : structuredClone(stored.tenant);
  }

  async listTenants(_auth: AuthContext, query: Page): Promise<{ tenants: Tenant[]; hasMore: boolean }> {
    const after = query.after ?? '';
    const ids = [...this.#tenants.keys()].filter((id) => id > after).sort();
    const tenants = ids.slice(0, query.limit).map((id) => structuredClone(this.#tenants.get(id)!.tenant));
    return { tenants, hasMore: ids.length > query.limit };
  }

  async createTenant(auth: AuthContext, create: TenantCreate): Promise<Tenant> {
    const draft = draftTenant(structuredClone(create));
    if (this.#tenants.has(draft.tenant_id)) throw tenantExists(draft.tenant_id);
    if (this.#former.has(draft.tenant_id)) throw idWasUsed(draft.tenant_id);
    const now = new Date().toISOString();
    const tenant: Tenant = { ...draft, created_at: now, updated_at: now };
    this.#tenants.set(draft.tenant_id, { tenant, statusBefore: null });
    this.#note(auth, 'tenant.create', tenant.tenant_id, { plan_tier: tenant.plan_tier, status: tenant.status });
    return structuredClone(tenant);
  }

  async updateTenant(auth: AuthContext, tenantId: string, patch: TenantPatch): Promise<Tenant> {
    const stored = this.#changeable(tenantId);
    stored.tenant = { ...patchTenant(stored.tenant, structuredClone(patch)), created_at: stored.tenant.created_at, updated_at: new Date().toISOString() };
    this.#note(auth, 'tenant.update', tenantId, { changed: changedMembers(patch) });
    return structuredClone(stored.tenant);
  }

  async setTenantStatus(auth: AuthContext, tenantId: string, { status, reason }: { readonly status: 'active' | 'suspended'; readonly reason: string | null }): Promise<Tenant> {
    const stored = this.#changeable(tenantId);
    const from = stored.tenant.status;
    if (from === status) return structuredClone(stored.tenant);
    stored.tenant = { ...stored.tenant, status, updated_at: new Date().toISOString() };
    this.#note(auth, status === 'suspended' ? 'tenant.suspend' : 'tenant.resume', tenantId, { from, to: status, ...(reason === null ? {} : { reason }) });
    return structuredClone(stored.tenant);
  }

  async requestTenantDeletion(auth: AuthContext, tenantId: string, graceMs: number): Promise<Tenant> {
    const stored = this.#stored(tenantId);
    if (stored.statusBefore !== null) return structuredClone(stored.tenant);
    const now = Date.now();
    stored.statusBefore = stored.tenant.status;
    stored.tenant = {
      ...stored.tenant,
      status: 'disabled',
      deletion: { requested_at: new Date(now).toISOString(), requested_by: auth.principal.principal_id, purge_after: new Date(now + graceMs).toISOString() },
      updated_at: new Date(now).toISOString(),
    } as Tenant;
    this.#note(auth, 'tenant.delete', tenantId, { from: stored.statusBefore, purge_after: purgeAfterOf(stored.tenant) });
    return structuredClone(stored.tenant);
  }

  async restoreTenant(auth: AuthContext, tenantId: string): Promise<Tenant> {
    const stored = this.#stored(tenantId);
    if (stored.statusBefore === null) throw nothingToRestore(tenantId);
    const purgeAfter = purgeAfterOf(stored.tenant);
    if (Date.parse(purgeAfter) <= Date.now()) throw tooLateToRestore(tenantId, purgeAfter);
    const { deletion: _deletion, ...tenant } = stored.tenant as Tenant & { deletion?: unknown };
    stored.tenant = { ...tenant, status: stored.statusBefore, updated_at: new Date().toISOString() };
    stored.statusBefore = null;
    this.#note(auth, 'tenant.restore', tenantId, { to: stored.tenant.status });
    return structuredClone(stored.tenant);
  }

  async deleteTenant(_auth: AuthContext, tenantId: string): Promise<void> {
    if (!this.#tenants.delete(tenantId)) throw tenantNotFound(tenantId);
    this.#former.add(tenantId);
    this.#accounts.forgetTenant(tenantId);
  }

  /** Ids of the tenants whose time is over. */
  tenantsToPurge(): readonly string[] {
    return [...this.#tenants.values()].filter(({ tenant, statusBefore }) => statusBefore !== null && Date.parse(purgeAfterOf(tenant)) <= Date.now()).map(({ tenant }) => tenant.tenant_id);
  }

  async listPrincipals(_auth: AuthContext, tenantId: string, query: Page): Promise<{ principals: readonly StoredPrincipal[]; hasMore: boolean }> {
    this.#stored(tenantId);
    return this.#accounts.listPrincipals(tenantId, query);
  }

  async getPrincipal(_auth: AuthContext, tenantId: string, principalId: string): Promise<StoredPrincipal | null> {
    return this.#accounts.findPrincipal(tenantId, principalId);
  }

  async putPrincipal(_auth: AuthContext, principal: PrincipalRecord): Promise<void> {
    this.#accounts.putPrincipal(principal);
  }

  async changePrincipal(
    auth: AuthContext, tenantId: string, principalId: string, decide: (current: StoredPrincipal | null) => { readonly principal: PrincipalRecord; readonly keys: KeyBounds },
  ): Promise<StoredPrincipal> {
    this.#stored(tenantId);
    const { principal, keys } = decide(this.#accounts.findPrincipal(tenantId, principalId));
    const stored = this.#accounts.putPrincipal(principal);
    this.#accounts.narrowKeys(principal, keys);
    this.#note(auth, 'principal.put', tenantId, { principal_type: principal.principalType, roles: principal.roles }, principalId);
    return stored;
  }

  async deletePrincipal(auth: AuthContext, tenantId: string, principalId: string, decide: (current: StoredPrincipal) => void): Promise<{ readonly revokedKeys: number }> {
    this.#stored(tenantId);
    const principal = this.#accounts.requirePrincipal(tenantId, principalId);
    decide(principal);
    const revokedKeys = this.#accounts.removePrincipal(principal);
    this.#note(auth, 'principal.delete', tenantId, { roles: principal.roles }, principalId);
    return { revokedKeys };
  }

  async listApiKeys(_auth: AuthContext, tenantId: string, query: Page & { readonly principalId?: string | undefined }): Promise<{ keys: readonly ApiKeyRecord[]; hasMore: boolean }> {
    this.#stored(tenantId);
    return this.#accounts.listKeys(tenantId, query);
  }

  async putApiKey(_auth: AuthContext, key: ApiKeyRecord): Promise<void> {
    this.#accounts.putKey(key);
  }

  async getApiKey(keyId: string): Promise<ApiKeyRecord | null> {
    return this.#accounts.findKey(keyId);
  }

  async issueApiKey(
    auth: AuthContext, tenantId: string, principalId: string, decide: (principal: StoredPrincipal) => ApiKeyRecord, idempotency: KeyIdempotency | null = null,
  ): Promise<{ readonly key: ApiKeyRecord; readonly replayed: boolean }> {
    this.#stored(tenantId);
    const issuer = auth.principal.principal_id;
    const before = idempotency === null ? null : this.#accounts.findIssued(tenantId, issuer, idempotency);
    if (before !== null) return { key: before, replayed: true };
    const key = decide(this.#accounts.requirePrincipal(tenantId, principalId));
    this.#accounts.putKey(key);
    if (idempotency !== null) this.#accounts.noteIssued(key, issuer, idempotency);
    this.#note(auth, 'key.create', tenantId, { principal_id: principalId }, key.keyId);
    return { key, replayed: false };
  }

  async rotateApiKey(
    auth: AuthContext, tenantId: string, keyId: string, decide: (current: ApiKeyRecord) => KeyReplacement, idempotency: KeyIdempotency | null = null,
  ): Promise<RotatedKey> {
    this.#stored(tenantId);
    const current = this.#accounts.requireKey(tenantId, keyId);
    const issuer = auth.principal.principal_id;
    const before = idempotency === null ? null : this.#accounts.findIssued(tenantId, issuer, idempotency);
    if (before !== null) return { key: before, replaced: current, replayed: true };
    const { replacement, oldExpiresAt } = decide(current);
    const replaced = this.#accounts.putKey({ ...current, expiresAt: oldExpiresAt, replacedBy: replacement.keyId });
    const key = this.#accounts.putKey(replacement);
    if (idempotency !== null) this.#accounts.noteIssued(key, issuer, idempotency);
    this.#note(auth, 'key.rotate', tenantId, { replaced_by: replacement.keyId }, keyId);
    return { key, replaced, replayed: false };
  }

  async revokeApiKey(auth: AuthContext, tenantId: string, keyId: string, decide: (current: ApiKeyRecord) => void): Promise<ApiKeyRecord> {
    this.#stored(tenantId);
    const current = this.#accounts.requireKey(tenantId, keyId);
    decide(current);
    if (current.revokedAt !== null) return current;
    const revoked = this.#accounts.putKey({ ...current, revokedAt: new Date().toISOString() });
    this.#note(auth, 'key.revoke', tenantId, {}, keyId);
    return revoked;
  }

  noteApiKeyUse({ keyId }: Pick<ApiKeyRecord, 'keyId'>): void {
    this.#accounts.noteUse(keyId);
  }

  #stored(tenantId: string): Stored {
    const stored = this.#tenants.get(tenantId);
    if (stored === undefined) throw tenantNotFound(tenantId);
    return stored;
  }

  #changeable(tenantId: string): Stored {
    const stored = this.#stored(tenantId);
    if (stored.statusBefore !== null) throw tenantAwaitsDeletion(tenantId, purgeAfterOf(stored.tenant));
    return stored;
  }

  #note(auth: AuthContext, action: string, tenantId: string, details: AuditDetails, id = tenantId): void {
    this.#audit?.add(auditRow('agent-orchestrator', auth, { action, tenantId, resource: { type: action.slice(0, action.indexOf('.')), id }, details }));
  }
}

function purgeAfterOf(tenant: Tenant): string {
  return (tenant as Tenant & { deletion: { purge_after: string } }).deletion.purge_after;
}
