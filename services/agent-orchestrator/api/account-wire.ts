/** Principals and keys of the directory → objects of the contract. */
import type { ApiKey, ApiKeyAnswer, PrincipalRecord } from '../../../generated/types/index.ts';
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

type AnswerIds = Pick<ApiKeyAnswer, 'tenant_id' | 'correlation_id'>;

/** Of everything that makes a key: 201, or 200 when an earlier request made it. */
export function issuedKeyAnswer({ key, secret, replayed }: IssuedKey, ids: AnswerIds): { status: 201; body: ApiKeyAnswer } | { status: 200; body: ApiKeyAnswer; headers: { 'Idempotency-Replayed': 'true' } } {
  const body = { key: keyToWire(key), ...(secret === null ? {} : { secret }), ...ids };
  return replayed ? { status: 200, body, headers: { 'Idempotency-Replayed': 'true' } } : { status: 201, body };
}
