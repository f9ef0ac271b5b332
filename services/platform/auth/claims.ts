/** From verified JWT claims to the auth context (contract: JWT claims; reliability: identity). */
import type { JWTPayload } from 'jose';
import { AgentOsError } from '../errors.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';
import { parseScopes } from '../tenancy/scopes.ts';
import { effectiveScopes, isPlatformRole, isPlatformScope } from './effective-scopes.ts';

/** How the claims of one issuer are read, and what its tokens may say. */
export interface ClaimRules {
  /** Whose tokens the issuer may sign; null: any tenant's. */
  readonly tenants: ReadonlySet<string> | null;
  /** Claims by another name than ours: the claim itself, or a path into one such as `realm_access.roles`. */
  readonly tenantClaim?: string;
  readonly principalClaim?: string;
  readonly scopeClaim?: string;
  readonly roleClaim?: string;
  /** What its roles and groups stand for here; null: its roles are named as ours. */
  readonly roleMap: ReadonlyMap<string, readonly string[]> | null;
  /** Its tokens may carry scopes and roles that reach beyond one tenant. */
  readonly platform: boolean;
}

/** An issuer that speaks our names and speaks for the whole node. */
export const OWN_CLAIMS: ClaimRules = { tenants: null, roleMap: null, platform: true };

/** Ids are opaque; this only keeps out what could not be stored, listed or logged as one. */
const TENANT_ID = /^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$/;
// eslint-disable-next-line no-control-regex
const PRINTABLE = /^[^\u0000-\u001f\u007f]{1,256}$/;
/** Bounds of the auth context (specs/schemas/auth-context.schema.json). */
const MAX_SCOPES = 256;
const MAX_ROLES = 64;
const MAX_NAME = 128;
/** OpenID Connect's own scopes ask the issuer for claims; they say nothing of what the token may do here. */
const PROTOCOL_SCOPES = new Set(['openid', 'profile', 'email', 'address', 'phone', 'offline_access']);

export function isTenantId(value: unknown): value is string {
  return typeof value === 'string' && TENANT_ID.test(value);
}

export function isPrincipalId(value: unknown): value is string {
  return typeof value === 'string' && PRINTABLE.test(value);
}

/** @throws AgentOsError unauthorized when a claim that must name the tenant or the principal does not. */
export function authFromClaims(claims: JWTPayload, rules: ClaimRules = OWN_CLAIMS): AuthContext {
  const principalId = rules.principalClaim === undefined ? (claims['principal_id'] ?? claims.sub) : claimAt(claims, rules.principalClaim);
  if (!isPrincipalId(principalId)) throw refused(`The token names no principal in ${rules.principalClaim ?? 'principal_id or sub'}.`, 'principal_claim');
  const roles = rolesOf(claims, rules);
  const explicit = parseScopes(rules.scopeClaim === undefined ? (claims['scopes'] ?? claims['scope'] ?? claims['scp']) : claimAt(claims, rules.scopeClaim))
    .filter((scope) => scope.length <= MAX_NAME && !PROTOCOL_SCOPES.has(scope));
  const scopes = effectiveScopes(explicit, roles).filter((scope) => rules.platform || !isPlatformScope(scope));
  return {
    tenant_id: tenantOf(claims, rules),
    principal: { principal_id: principalId, principal_type: principalTypeOf(claims) },
    scopes: scopes.slice(0, MAX_SCOPES),
    roles,
  };
}

/** `api_key` and `service` are services, everything else is a user (C-24). */
export function principalType(value: unknown): 'user' | 'service' {
  return value === 'service' || value === 'api_key' ? 'service' : 'user';
}

function principalTypeOf(claims: JWTPayload): 'user' | 'service' {
  const own = claims['principal_type'] ?? claims['subject_type'];
  if (own !== undefined) return principalType(own);
  // How Entra and Auth0 mark the tokens of programs.
  return claims['idtyp'] === 'app' || claims['gty'] === 'client-credentials' ? 'service' : 'user';
}

function tenantOf(claims: JWTPayload, rules: ClaimRules): string {
  const tenantId = namedTenant(claims, rules);
  if (!isTenantId(tenantId)) throw refused(`The token names no tenant in ${rules.tenantClaim ?? 'tenant_id or tid'}.`, 'tenant_claim');
  if (rules.tenants !== null && !rules.tenants.has(tenantId)) throw refused('The token names a tenant that its issuer does not speak for.', 'tenant_claim');
  return tenantId;
}

function namedTenant(claims: JWTPayload, rules: ClaimRules): unknown {
  if (rules.tenantClaim !== undefined) return claimAt(claims, rules.tenantClaim);
  const { tenant_id: named, tid } = claims;
  // An issuer of one tenant need not name it, and what it has in `tid` may be a name of its own (Entra's directory).
  if (rules.tenants?.size === 1) return named === undefined ? [...rules.tenants][0] : named;
  if (named !== undefined && tid !== undefined && named !== tid) throw refused('The token names two tenants, in tenant_id and in tid.', 'tenant_claim');
  return named ?? tid;
}

function rolesOf(claims: JWTPayload, rules: ClaimRules): string[] {
  const told = rules.roleClaim === undefined ? claims['roles'] : claimAt(claims, rules.roleClaim);
  const names = rules.roleMap === null ? namesIn(told) : [...namesIn(told), ...namesIn(claims['groups'])].flatMap((name) => rules.roleMap!.get(name) ?? []);
  return [...new Set(names)].filter((role) => rules.platform || !isPlatformRole(role)).slice(0, MAX_ROLES);
}

function namesIn(value: unknown): readonly string[] {
  const names = typeof value === 'string' ? [value] : Array.isArray(value) ? value : [];
  return names.filter((name): name is string => typeof name === 'string' && name !== '' && name.length <= MAX_NAME);
}

/** The claim of that name, which may have dots in it (`https://example.com/roles`); else the path that the dots describe. */
function claimAt(claims: JWTPayload, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  let value: unknown = claims;
  for (const step of name.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<string, unknown>)[step];
  }
  return value;
}

function refused(message: string, reason: string): AgentOsError {
  return new AgentOsError('unauthorized', { message, details: { reason } });
}
