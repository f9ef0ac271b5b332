/** Principals and keys of the directory → objects of the contract. */
import type { ApiKey, PrincipalRecord } from '../../../generated/types/index.ts';
import { keyPrefix } from '../../platform/auth/api-key.ts';
import type { ApiKeyRecord, StoredPrincipal } from '../../platform/tenancy/directory.ts';
import { keyStatus, type IssuedKey } from '../../platform/tenancy/keys.ts';

export function principalToWire(principal: StoredPrincipal): PrincipalRecord {
  return {
    principal_id: principal.principalId,
    tenant_id: principal.tenantId,
    principal_type: principal.principalType,
    display_name: principal.displayName,
    roles: [...principal.roles],
    created_at: principal.createdAt,
    updated_at: principal.updatedAt,
  };
}

/** Never the hash of its secret. */
export function keyToWire(key: ApiKeyRecord): ApiKey {
  return {
    key_id: key.keyId,
    tenant_id: key.tenantId,
    principal_id: key.principalId,
    principal_type: key.principalType,
    name: key.name,
    scopes: [...key.scopes],
    roles: [...key.roles],
    prefix: keyPrefix(key.keyId),
    created_at: key.createdAt,
    created_by: key.createdBy,
    expires_at: key.expiresAt,
    revoked_at: key.revokedAt,
    last_used_at: key.lastUsedAt,
    replaced_by: key.replacedBy,
    status: keyStatus(key, Date.now()),
  };
}

export function issuedKeyToWire({ key, secret }: IssuedKey): { key: ApiKey; secret?: string } {
  return { key: keyToWire(key), ...(secret === null ? {} : { secret }) };
}
