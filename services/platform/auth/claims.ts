/** From verified JWT claims to the auth context (contract: JWT claims; reliability: identity). */
import type { JWTPayload } from 'jose';
import { AgentOsError } from '../errors.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';
import { expandScopes, parseScopes } from '../tenancy/scopes.ts';

/** Ids are opaque; this only keeps out what could not be stored, listed or logged as one. */
const TENANT_ID = /^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$/;
// eslint-disable-next-line no-control-regex
const PRINTABLE = /^[^\u0000-\u001f\u007f]{1,256}$/;

export function isTenantId(value: unknown): value is string {
  return typeof value === 'string' && TENANT_ID.test(value);
}

export function isPrincipalId(value: unknown): value is string {
  return typeof value === 'string' && PRINTABLE.test(value);
}

/** @throws AgentOsError unauthorized when a claim that must name the tenant or the principal does not. */
export function authFromClaims(claims: JWTPayload): AuthContext {
  const tenantId = claims.tenant_id ?? claims.tid;
  if (!isTenantId(tenantId)) throw refused('The token names no tenant in tenant_id or tid.', 'tenant_claim');
  if (claims.tenant_id !== undefined && claims.tid !== undefined && claims.tenant_id !== claims.tid) {
    throw refused('The token names two tenants, in tenant_id and in tid.', 'tenant_claim');
  }
  const principalId = claims.principal_id ?? claims.sub;
  if (!isPrincipalId(principalId)) throw refused('The token names no principal in principal_id or sub.', 'principal_claim');
  const roles = claims.roles;
  return {
    tenant_id: tenantId,
    principal: { principal_id: principalId, principal_type: principalType(claims.principal_type ?? claims.subject_type) },
    scopes: [...expandScopes(parseScopes(claims.scopes ?? claims.scope ?? claims.scp))],
    roles: Array.isArray(roles) ? roles.filter((role): role is string => typeof role === 'string') : [],
  };
}

/** `api_key` and `service` are services, everything else is a user (C-24). */
export function principalType(value: unknown): 'user' | 'service' {
  return value === 'service' || value === 'api_key' ? 'service' : 'user';
}

function refused(message: string, reason: string): AgentOsError {
  return new AgentOsError('unauthorized', { message, details: { reason } });
}
