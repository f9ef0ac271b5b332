/**
 * DirectoryPort: tenants, principals and API keys (PRS 15, Appendix C). Every service of a node reads it; only
 * tenant administration and seeding write.
 */
import type { AuthContext } from './auth-context.ts';
import type { PortCapabilities } from '../port.ts';
import type { Tenant, TenantCreate } from '../../../generated/types/index.ts';

export type TenantPatch = Partial<Pick<Tenant, 'name' | 'plan_tier' | 'status' | 'default_policy_id' | 'entitlements' | 'quotas' | 'metadata' | 'policy'>>;

export interface PrincipalRecord {
  readonly tenantId: string;
  readonly principalId: string;
  readonly principalType: 'user' | 'service';
  readonly displayName: string;
  readonly roles: readonly string[];
}

export interface ApiKeyRecord {
  /** `key_…`, safe to show. */
  readonly keyId: string;
  readonly tenantId: string;
  readonly principalId: string;
  readonly principalType: 'user' | 'service';
  readonly scopes: readonly string[];
  readonly roles: readonly string[];
  /** SHA-256 of the secret, hex. The secret itself is shown once and never stored. */
  readonly secretHash: string;
  readonly createdAt: string;
  readonly expiresAt: string | null;
  readonly revokedAt: string | null;
}

export interface DirectoryPort {
  capabilities(): PortCapabilities;
  /** null when there is none. Read on every request: adapters cache for at most a second. */
  getTenant(auth: AuthContext | null, tenantId: string): Promise<Tenant | null>;
  listTenants(auth: AuthContext, query: { readonly limit: number; readonly after?: string }): Promise<{ readonly tenants: readonly Tenant[]; readonly hasMore: boolean }>;
  /** @throws AgentOsError conflict when the id is taken. */
  createTenant(auth: AuthContext, tenant: TenantCreate): Promise<Tenant>;
  /** Merges the members that are present. @throws AgentOsError not_found. */
  updateTenant(auth: AuthContext, tenantId: string, patch: TenantPatch): Promise<Tenant>;
  /** @throws AgentOsError not_found. */
  deleteTenant(auth: AuthContext, tenantId: string): Promise<void>;
  putPrincipal(auth: AuthContext, principal: PrincipalRecord): Promise<void>;
  putApiKey(auth: AuthContext, key: ApiKeyRecord): Promise<void>;
  /** By key id (the public half of a presented key); null when there is none. */
  getApiKey(keyId: string): Promise<ApiKeyRecord | null>;
}
