/** Over every role and every scope: what is handed out is held, and what reaches beyond a tenant is an operator's to give. */
import { describe, expect, it } from 'vitest';
import { ROLES, SCOPES, type Role } from '../../../generated/handlers/access.ts';
import type { AuthContext } from './auth-context.ts';
import type { PrincipalRecord } from './directory.ts';
import { judgeHanding, judgeKeyGrant, judgeRoles } from './grants.ts';
import { isPlatformScope, roleNamed, scopesNamed, scopesOfKey, scopesOfRoles } from './roles.ts';

const NAMES = Object.keys(ROLES) as Role[];
const caller = (scopes: readonly string[]): AuthContext => ({ tenant_id: 'tnt_a', principal: { principal_id: 'usr_caller', principal_type: 'user' }, scopes: [...scopes] });
const principal = (roles: readonly string[]): PrincipalRecord => ({ tenantId: 'tnt_a', principalId: 'svc_p', principalType: 'service', displayName: 'P', roles });

/** What a rule says: what it answers, or the code it refuses with. */
function verdict<Result>(work: () => Result): Result | string {
  try {
    return work();
  } catch (error) {
    return (error as { code: string }).code;
  }
}

describe('roles and scopes', () => {
  it('are known by name and alias, and by nothing that objects have by themselves', () => {
    expect([roleNamed('platform_admin'), roleNamed('tenant_admin'), roleNamed('constructor'), roleNamed('')]).toEqual(['platform_operator', 'tenant_admin', null, null]);
    expect([scopesNamed('runs:write'), scopesNamed('runs:read'), scopesNamed('toString')]).toEqual([['runs:create', 'runs:cancel', 'runs:forward'], ['runs:read'], null]);
    expect(scopesOfKey({ scopes: [], roles: ['tenant_service', 'unknown'] })).toEqual(ROLES.tenant_service.scopes);
    expect(scopesOfKey({ scopes: ['runs:read'], roles: ['tenant_admin'] })).toEqual(['runs:read']);
  });
});

describe('handing out', () => {
  it.each(NAMES.flatMap((mine) => NAMES.map((theirs) => [mine, theirs] as const)))('%s gives %s only what it holds', (mine, theirs) => {
    const auth = caller(ROLES[mine].scopes);
    const operator = auth.scopes.includes('tenants:admin');
    const given = scopesOfRoles([theirs]);
    const may = operator || given.every((scope) => auth.scopes.includes(scope) && !isPlatformScope(scope));
    const type = ROLES[theirs].principalTypes[0] as 'user' | 'service';
    expect(verdict(() => judgeRoles(auth, type, [theirs], []))).toEqual(may ? [theirs] : 'forbidden');
    expect(verdict(() => judgeKeyGrant(auth, principal([theirs]), {}))).toEqual(may ? { scopes: [], roles: [theirs] } : 'forbidden');
    expect(verdict(() => judgeHanding(auth, { scopes: [], roles: [theirs] }))).toEqual(may ? undefined : 'forbidden');
  });

  it.each(NAMES.flatMap((role) => SCOPES.map((scope) => [role, scope] as const)))('a key for %s may have %s only where the role has it', (role, scope) => {
    const has = (ROLES[role].scopes as readonly string[]).includes(scope);
    expect(verdict(() => judgeKeyGrant(caller(['tenants:admin']), principal([role]), { scopes: [scope] }))).toEqual(has ? { scopes: [scope], roles: [role] } : 'invalid_request');
  });

  it('of roles that somebody holds already is no handing out', () => {
    expect(verdict(() => judgeRoles(caller(['principals:write']), 'user', ['tenant_admin'], ['tenant_admin', 'tenant_user']))).toEqual(['tenant_admin']);
    expect(verdict(() => judgeRoles(caller(['principals:write']), 'user', ['tenant_admin'], ['tenant_user']))).toBe('forbidden');
  });

  it('to a principal without roles is refused, since such a key could do nothing', () => {
    expect(verdict(() => judgeKeyGrant(caller(['tenants:admin']), principal([]), {}))).toBe('invalid_request');
  });
});
