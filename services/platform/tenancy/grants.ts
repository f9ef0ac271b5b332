/**
 * Who may give whom what (PRS 10.1): nobody hands out a scope that they do not hold, but for the operators, who hold
 * `tenants:admin`; what reaches beyond a tenant is theirs alone to give, to change and to take away.
 */
import { AgentOsError } from '../errors.ts';
import type { AuthContext } from './auth-context.ts';
import type { ApiKeyRecord, PrincipalRecord } from './directory.ts';
import { isPlatformRole, isPlatformScope, roleAccess, roleNamed, scopesNamed, scopesOfKey, scopesOfRoles } from './roles.ts';

const OPERATOR_SCOPE = 'tenants:admin';

/** The roles by their own names, each once. @throws AgentOsError invalid_request for a role that there is not, or not for such a principal; forbidden. */
export function judgeRoles(auth: AuthContext, principalType: 'user' | 'service', names: readonly string[], held: readonly string[]): readonly string[] {
  const roles = names.map((name, index) => {
    const role = roleNamed(name);
    if (role === null) throw invalidMember(`/roles/${index}`, `There is no role ${JSON.stringify(name)}; docs/reference/access.md lists them.`);
    if (!roleAccess(role).principalTypes.includes(principalType)) throw invalidMember(`/roles/${index}`, `The role ${role} is not for a ${principalType}.`);
    return role;
  });
  const added = roles.filter((role) => !held.some((name) => roleNamed(name) === role));
  if (added.some(isPlatformRole) && !isOperator(auth)) throw beyondTenant(auth);
  requireHeld(auth, scopesOfRoles(added));
  return [...new Set(roles)];
}

/** @throws AgentOsError forbidden for a principal of the platform, where the caller is no operator. */
export function judgeChangeOf(auth: AuthContext, principal: Pick<PrincipalRecord, 'roles'>): void {
  if (principal.roles.some(isPlatformRole) && !isOperator(auth)) throw beyondTenant(auth);
}

export interface KeyGrant {
  readonly scopes: readonly string[];
  readonly roles: readonly string[];
}

/** What a new key of this principal is to hold. @throws AgentOsError invalid_request, forbidden. */
export function judgeKeyGrant(auth: AuthContext, principal: PrincipalRecord, asked: { readonly scopes?: readonly string[] | undefined; readonly roles?: readonly string[] | undefined }): KeyGrant {
  if (principal.roles.length === 0) throw invalidMember('/principal_id', `${principal.principalId} has no roles, so a key of it could do nothing. Give it roles first.`);
  const roles = (asked.roles ?? principal.roles).map((name, index) => {
    const role = roleNamed(name);
    if (role === null || !principal.roles.some((held) => roleNamed(held) === role)) {
      throw invalidMember(`/roles/${index}`, `${JSON.stringify(name)} is none of the roles of ${principal.principalId}: ${principal.roles.join(', ')}.`);
    }
    return role;
  });
  const within = new Set(scopesOfRoles(principal.roles));
  const scopes = (asked.scopes ?? []).flatMap((name, index) => {
    const named = scopesNamed(name);
    if (named === null) throw invalidMember(`/scopes/${index}`, `There is no scope ${JSON.stringify(name)}; docs/reference/access.md lists them.`);
    const beyond = named.filter((scope) => !within.has(scope));
    if (beyond.length > 0) throw invalidMember(`/scopes/${index}`, `${beyond.join(' ')} is beyond the roles of ${principal.principalId} (${principal.roles.join(', ')}).`);
    return named;
  });
  const grant = { scopes: [...new Set(scopes)], roles: [...new Set(roles)] };
  judgeHanding(auth, grant);
  return grant;
}

/** Whoever makes a new secret for a key could use it themselves. @throws AgentOsError forbidden. */
export function judgeHanding(auth: AuthContext, key: KeyGrant): void {
  const scopes = scopesOfKey(key);
  if (scopes.some(isPlatformScope) && !isOperator(auth)) throw beyondTenant(auth);
  requireHeld(auth, scopes);
}

/** @throws AgentOsError forbidden for a key of the platform, where the caller is no operator. */
export function judgeRevoking(auth: AuthContext, key: ApiKeyRecord): void {
  if (scopesOfKey(key).some(isPlatformScope) && !isOperator(auth)) throw beyondTenant(auth);
}

function isOperator(auth: AuthContext): boolean {
  return auth.scopes.includes(OPERATOR_SCOPE);
}

function requireHeld(auth: AuthContext, scopes: readonly string[]): void {
  if (isOperator(auth)) return;
  const missing = scopes.filter((scope) => !auth.scopes.includes(scope));
  if (missing.length === 0) return;
  throw new AgentOsError('forbidden', {
    message: `Nobody can give what they do not hold: ${missing.join(' ')}.`,
    details: { reason: 'privilege_escalation', missing_scopes: missing },
  });
}

function beyondTenant(auth: AuthContext): AgentOsError {
  return new AgentOsError('forbidden', {
    message: `What reaches beyond tenant ${auth.tenant_id} is for holders of ${OPERATOR_SCOPE} to give and to take away.`,
    details: { reason: 'platform_privilege', required_scopes: [OPERATOR_SCOPE] },
  });
}

export function invalidMember(path: string, message: string): AgentOsError {
  return new AgentOsError('invalid_request', { message, details: { errors: [{ path, message }] } });
}
