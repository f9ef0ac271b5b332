/**
 * DirectoryPort: tenants, principals and API keys (PRS 15, Appendix C). Every service of a node reads it; only
 * administration and seeding write.
 *
 * Changes that a rule must judge take the rule as `decide`: it is called with what stands there now, while nobody else
 * can change it, and its refusal undoes everything. It may be called again when a transaction is tried again, so it is
 * a pure function. Each change writes its audit record in its own transaction, where the adapter was given a
 * trail to write to; where the request came from, the auth context carries.
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

/** As it is stored. */
export interface StoredPrincipal extends PrincipalRecord {
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface ApiKeyRecord {
  /** `key_…`, safe to show. */
  readonly keyId: string;
  readonly tenantId: string;
  readonly principalId: string;
  readonly principalType: 'user' | 'service';
  /** For people; null when it was given none. */
  readonly name: string | null;
  /** Empty: what its roles hold. */
  readonly scopes: readonly string[];
  readonly roles: readonly string[];
  /** SHA-256 of the secret, hex. The secret itself is shown once and never stored. */
  readonly secretHash: string;
  readonly createdAt: string;
  /** principal_id of whoever issued it; null for keys that no person issued. */
  readonly createdBy: string | null;
  readonly expiresAt: string | null;
  readonly revokedAt: string | null;
  /** To the minute; null when it was never used. */
  readonly lastUsedAt: string | null;
  /** The key that a rotation put in its place. */
  readonly replacedBy: string | null;
}

/** What a principal's keys may hold at most. Keys that hold more lose it; one that would hold nothing is revoked. */
export interface KeyBounds {
  readonly scopes: readonly string[];
  readonly roles: readonly string[];
}

/** That two requests for a new key are one. */
export interface KeyIdempotency {
  readonly key: string;
  /** Of everything that was asked for. */
  readonly requestHash: string;
}

export interface KeyReplacement {
  readonly replacement: ApiKeyRecord;
  readonly oldExpiresAt: string;
}

export interface RotatedKey {
  readonly key: ApiKeyRecord;
  readonly replaced: ApiKeyRecord;
  readonly replayed: boolean;
}

export interface Page {
  readonly limit: number;
  /** Identifier of the last one of the page before. */
  readonly after?: string | undefined;
}

export interface DirectoryPort {
  capabilities(): PortCapabilities;

  /** null when there is none. Read on every request: adapters cache for at most a second. */
  getTenant(auth: AuthContext | null, tenantId: string): Promise<Tenant | null>;
  /** In order of their ids. */
  listTenants(auth: AuthContext, query: Page): Promise<{ readonly tenants: readonly Tenant[]; readonly hasMore: boolean }>;
  /** @throws AgentOsError conflict when the id is taken, or was: an id is never given twice, since the audit of its first holder stays. */
  createTenant(auth: AuthContext, tenant: TenantCreate): Promise<Tenant>;
  /** Merges the members that are present. @throws AgentOsError not_found; conflict while the tenant waits for its deletion. */
  updateTenant(auth: AuthContext, tenantId: string, patch: TenantPatch): Promise<Tenant>;
  /** Suspending and resuming; the same status again changes nothing. @throws AgentOsError not_found; conflict while the tenant waits for its deletion. */
  setTenantStatus(auth: AuthContext, tenantId: string, change: { readonly status: 'active' | 'suspended'; readonly reason: string | null }): Promise<Tenant>;
  /** Marks the tenant; `purge_after` is this many milliseconds from now. Asking again keeps the first date. @throws AgentOsError not_found. */
  requestTenantDeletion(auth: AuthContext, tenantId: string, graceMs: number): Promise<Tenant>;
  /** Undoes that, with the status from before. @throws AgentOsError not_found; invalid_state_transition when nothing is to be undone, or no more can be. */
  restoreTenant(auth: AuthContext, tenantId: string): Promise<Tenant>;
  /** Takes the tenant, its principals and keys out of the directory now. The rest of its data is the purger's. @throws AgentOsError not_found. */
  deleteTenant(auth: AuthContext, tenantId: string): Promise<void>;

  /** In order of their ids. @throws AgentOsError not_found when there is no such tenant. */
  listPrincipals(auth: AuthContext, tenantId: string, query: Page): Promise<{ readonly principals: readonly StoredPrincipal[]; readonly hasMore: boolean }>;
  getPrincipal(auth: AuthContext, tenantId: string, principalId: string): Promise<StoredPrincipal | null>;
  /** Creates or replaces, without judgement; for seeding. */
  putPrincipal(auth: AuthContext, principal: PrincipalRecord): Promise<void>;
  /** Creates or replaces; the principal's keys are held within `keys` from then on. @throws AgentOsError not_found for the tenant; what `decide` throws. */
  changePrincipal(
    auth: AuthContext, tenantId: string, principalId: string, decide: (current: StoredPrincipal | null) => { readonly principal: PrincipalRecord; readonly keys: KeyBounds },
  ): Promise<StoredPrincipal>;
  /** Its keys are revoked with it. @throws AgentOsError not_found; what `decide` throws. */
  deletePrincipal(auth: AuthContext, tenantId: string, principalId: string, decide: (current: StoredPrincipal) => void): Promise<{ readonly revokedKeys: number }>;

  /** In the order in which they were made. @throws AgentOsError not_found when there is no such tenant. */
  listApiKeys(auth: AuthContext, tenantId: string, query: Page & { readonly principalId?: string | undefined }): Promise<{ readonly keys: readonly ApiKeyRecord[]; readonly hasMore: boolean }>;
  /** Stores a key as it is, without judgement; for seeding. */
  putApiKey(auth: AuthContext, key: ApiKeyRecord): Promise<void>;
  /** By key id (the public half of a presented key); null when there is none. Read on every request: adapters cache for at most a second. */
  getApiKey(keyId: string): Promise<ApiKeyRecord | null>;
  /**
   * A repeat, by whoever issued the first, is answered with the first key and stores nothing.
   * @throws AgentOsError not_found for the tenant, or for the principal; conflict for another request under the same idempotency key; what `decide` throws.
   */
  issueApiKey(
    auth: AuthContext, tenantId: string, principalId: string, decide: (principal: StoredPrincipal) => ApiKeyRecord, idempotency?: KeyIdempotency | null,
  ): Promise<{ readonly key: ApiKeyRecord; readonly replayed: boolean }>;
  /**
   * Stores the replacement, and the old key's new end. A repeat is answered as in `issueApiKey`, and its idempotency keys are the same ones.
   * @throws AgentOsError not_found; conflict for another request under the same idempotency key; what `decide` throws.
   */
  rotateApiKey(
    auth: AuthContext, tenantId: string, keyId: string, decide: (current: ApiKeyRecord) => KeyReplacement, idempotency?: KeyIdempotency | null,
  ): Promise<RotatedKey>;
  /** Revoking again changes nothing. @throws AgentOsError not_found; what `decide` throws. */
  revokeApiKey(auth: AuthContext, tenantId: string, keyId: string, decide: (current: ApiKeyRecord) => void): Promise<ApiKeyRecord>;
  /** Says that a key was just used. Returns at once and never throws; what is noted is written behind, at most once a minute a key. */
  noteApiKeyUse(key: Pick<ApiKeyRecord, 'keyId' | 'tenantId'>): void;
}
