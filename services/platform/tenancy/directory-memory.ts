/** DirectoryPort in memory: for tests, and for services without a database. */
import type { PortCapabilities } from '../port.ts';
import type { Tenant, TenantCreate } from '../../../generated/types/index.ts';
import type { AuthContext } from './auth-context.ts';
import type { ApiKeyRecord, DirectoryPort, PrincipalRecord, TenantPatch } from './directory.ts';
import { draftTenant, patchTenant, tenantExists, tenantNotFound } from './tenant-record.ts';

export class MemoryDirectory implements DirectoryPort {
  readonly #tenants = new Map<string, Tenant>();
  readonly #principals = new Map<string, PrincipalRecord>();
  readonly #keys = new Map<string, ApiKeyRecord>();

  capabilities(): PortCapabilities {
    return { adapter: 'memory', contractVersion: '1.0', durable: false, features: [] };
  }

  async getTenant(_auth: AuthContext | null, tenantId: string): Promise<Tenant | null> {
    const tenant = this.#tenants.get(tenantId);
    return tenant === undefined ? null : structuredClone(tenant);
  }

  async listTenants(_auth: AuthContext, query: { readonly limit: number; readonly after?: string }): Promise<{ tenants: Tenant[]; hasMore: boolean }> {
    const after = query.after ?? '';
    const ids = [...this.#tenants.keys()].filter((id) => id > after).sort();
    const tenants = ids.slice(0, query.limit).map((id) => structuredClone(this.#tenants.get(id)!));
    return { tenants, hasMore: ids.length > query.limit };
  }

  async createTenant(_auth: AuthContext, create: TenantCreate): Promise<Tenant> {
    const draft = draftTenant(structuredClone(create));
    if (this.#tenants.has(draft.tenant_id)) throw tenantExists(draft.tenant_id);
    const now = new Date().toISOString();
    const tenant: Tenant = { ...draft, created_at: now, updated_at: now };
    this.#tenants.set(draft.tenant_id, tenant);
    return structuredClone(tenant);
  }

  async updateTenant(_auth: AuthContext, tenantId: string, patch: TenantPatch): Promise<Tenant> {
    const current = this.#tenants.get(tenantId);
    if (current === undefined) throw tenantNotFound(tenantId);
    const { created_at, updated_at: _updated, ...draft } = current;
    const tenant: Tenant = { ...patchTenant(draft, structuredClone(patch)), created_at, updated_at: new Date().toISOString() };
    this.#tenants.set(tenantId, tenant);
    return structuredClone(tenant);
  }

  async deleteTenant(_auth: AuthContext, tenantId: string): Promise<void> {
    if (!this.#tenants.delete(tenantId)) throw tenantNotFound(tenantId);
    for (const [id, principal] of this.#principals) if (principal.tenantId === tenantId) this.#principals.delete(id);
    for (const [id, key] of this.#keys) if (key.tenantId === tenantId) this.#keys.delete(id);
  }

  async putPrincipal(_auth: AuthContext, principal: PrincipalRecord): Promise<void> {
    this.#principals.set(`${principal.tenantId}\n${principal.principalId}`, principal);
  }

  async putApiKey(_auth: AuthContext, key: ApiKeyRecord): Promise<void> {
    this.#keys.set(key.keyId, structuredClone(key));
  }

  async getApiKey(keyId: string): Promise<ApiKeyRecord | null> {
    const key = this.#keys.get(keyId);
    return key === undefined ? null : structuredClone(key);
  }
}
