/** Refusals that the adapters of the directory share, so that they read alike. */
import { AgentOsError } from '../errors.ts';

export function tenantNotFound(tenantId: string): AgentOsError {
  return new AgentOsError('not_found', { message: `There is no tenant ${tenantId}.`, details: { tenant_id: tenantId } });
}

export function tenantExists(tenantId: string): AgentOsError {
  return new AgentOsError('conflict', { message: `Tenant ${tenantId} exists already.`, details: { reason: 'already_exists', tenant_id: tenantId } });
}

export function idWasUsed(tenantId: string): AgentOsError {
  return new AgentOsError('conflict', {
    message: `There was a tenant ${tenantId} before, and its audit records stay under that id. Choose another one.`,
    details: { reason: 'id_was_used', tenant_id: tenantId },
  });
}

export function tenantAwaitsDeletion(tenantId: string, purgeAfter: string): AgentOsError {
  return new AgentOsError('conflict', {
    message: `Tenant ${tenantId} is to be deleted after ${purgeAfter}. Restore it before changing it.`,
    details: { reason: 'tenant_deleted', tenant_id: tenantId, purge_after: purgeAfter },
  });
}

export function nothingToRestore(tenantId: string): AgentOsError {
  return new AgentOsError('invalid_state_transition', {
    message: `Tenant ${tenantId} is not waiting for its deletion. To let a suspended tenant work again, resume it.`,
    details: { reason: 'not_deleted', tenant_id: tenantId },
  });
}

export function tooLateToRestore(tenantId: string, purgeAfter: string): AgentOsError {
  return new AgentOsError('invalid_state_transition', {
    message: `Tenant ${tenantId} could be restored until ${purgeAfter}; its data is being deleted.`,
    details: { reason: 'purge_begun', tenant_id: tenantId, purge_after: purgeAfter },
  });
}

export function principalNotFound(principalId: string): AgentOsError {
  return new AgentOsError('not_found', { message: `There is no principal ${principalId}.`, details: { principal_id: principalId } });
}

export function keyNotFound(keyId: string): AgentOsError {
  return new AgentOsError('not_found', { message: `There is no key ${keyId}.`, details: { key_id: keyId } });
}

export function idempotencyKeyUsed(key: string): AgentOsError {
  return new AgentOsError('conflict', {
    message: `The idempotency key ${JSON.stringify(key)} was used for another request. Repeat the first one, or take a new key.`,
    details: { reason: 'idempotency_key_reused' },
  });
}
