/** Rows of schema `directory` → records. */
import type { Tenant } from '../../../generated/types/index.ts';
import type { ApiKeyRecord, StoredPrincipal } from './directory.ts';
import { OPTIONAL_MEMBERS, type TenantDraft } from './tenant-record.ts';

export interface TenantRow extends Omit<Tenant, 'created_at' | 'updated_at'> {
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly deletion_requested_at: Date | null;
  readonly deletion_requested_by: string | null;
  readonly purge_after: Date | null;
}

export function toTenant(row: TenantRow): Tenant {
  const tenant: Record<string, unknown> = {
    tenant_id: row.tenant_id,
    name: row.name,
    status: row.status,
    plan_tier: row.plan_tier,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
  for (const member of OPTIONAL_MEMBERS) if (row[member] !== null) tenant[member] = row[member];
  if (row.purge_after !== null) {
    tenant['deletion'] = { requested_at: row.deletion_requested_at!.toISOString(), requested_by: row.deletion_requested_by, purge_after: row.purge_after.toISOString() };
  }
  return tenant as unknown as Tenant;
}

/** The columns that a draft fills, in the order of the statements. */
export function tenantValues(draft: TenantDraft): unknown[] {
  const json = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value));
  return [
    draft.tenant_id, draft.name, draft.plan_tier, draft.status, draft.default_policy_id ?? null, json(draft.entitlements), json(draft.quotas),
    json(draft.metadata), json(draft.policy),
  ];
}

export interface PrincipalRow {
  readonly tenant_id: string;
  readonly principal_id: string;
  readonly principal_type: 'user' | 'service';
  readonly display_name: string;
  readonly roles: string[];
  readonly created_at: Date;
  readonly updated_at: Date;
}

export function toPrincipal(row: PrincipalRow): StoredPrincipal {
  return {
    tenantId: row.tenant_id,
    principalId: row.principal_id,
    principalType: row.principal_type,
    displayName: row.display_name,
    roles: row.roles,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  };
}

export interface KeyRow {
  readonly tenant_id: string;
  readonly key_id: string;
  readonly principal_id: string;
  readonly principal_type: 'user' | 'service';
  readonly name: string | null;
  readonly scopes: string[];
  readonly roles: string[];
  readonly secret_hash: string;
  readonly created_at: Date;
  readonly created_by: string | null;
  readonly expires_at: Date | null;
  readonly revoked_at: Date | null;
  readonly last_used_at: Date | null;
  readonly replaced_by: string | null;
}

export function toApiKey(row: KeyRow): ApiKeyRecord {
  return {
    keyId: row.key_id,
    tenantId: row.tenant_id,
    principalId: row.principal_id,
    principalType: row.principal_type,
    name: row.name,
    scopes: row.scopes,
    roles: row.roles,
    secretHash: row.secret_hash,
    createdAt: row.created_at.toISOString(),
    createdBy: row.created_by,
    expiresAt: row.expires_at?.toISOString() ?? null,
    revokedAt: row.revoked_at?.toISOString() ?? null,
    lastUsedAt: row.last_used_at?.toISOString() ?? null,
    replacedBy: row.replaced_by,
  };
}

/** The columns that a key fills, in the order of `KEY_COLUMNS`. */
export function keyValues(key: ApiKeyRecord): unknown[] {
  return [
    key.tenantId, key.keyId, key.principalId, key.principalType, key.name, JSON.stringify(key.scopes), JSON.stringify(key.roles), key.secretHash, key.createdAt, key.createdBy,
    key.expiresAt, key.revokedAt, key.replacedBy,
  ];
}

export const KEY_COLUMNS = 'tenant_id, key_id, principal_id, principal_type, name, scopes, roles, secret_hash, created_at, created_by, expires_at, revoked_at, replaced_by';
