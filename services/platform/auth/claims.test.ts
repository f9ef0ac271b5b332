/** Claims to auth context: nobody else's tenant, no scope that was not given, whatever a token says. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { verifies } from '../../../conformance/http/verifies.ts';
import { AgentOsError } from '../errors.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';
import { authFromClaims, isTenantId, OWN_CLAIMS, type ClaimRules } from './claims.ts';
import { effectiveScopes, isPlatformRole, isPlatformScope } from './effective-scopes.ts';

const OF_TWO: ClaimRules = { tenants: new Set(['tnt_a', 'tnt_b']), roleMap: null, platform: false };
const ROLE_NAMES = ['platform_operator', 'platform_admin', 'tenant_admin', 'tenant_user', 'tenant_service', 'constructor', '__proto__', 'nobody'];
const SCOPE_NAMES = ['runs:create', 'runs:read', 'runs:write', 'events:read', 'tenants:admin', 'tenants:act-as', 'audit:read-all', 'routing:admin', 'openid', 'email', '__proto__', 'x'.repeat(200)];

const anything = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null), fc.constant(undefined), fc.array(fc.string(), { maxLength: 3 }), fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 }));
const tenants = fc.oneof(fc.constantFrom('tnt_a', 'tnt_b', 'tnt_c', '', ' tnt_a', 'tnt_a\n', 'tnt_a,tnt_b', '../tnt_a'), anything);
const scopes = fc.oneof(fc.subarray(SCOPE_NAMES), fc.subarray(SCOPE_NAMES).map((list) => list.join(' ')), fc.subarray(SCOPE_NAMES).map((list) => list.join(',')), anything);
const roles = fc.oneof(fc.subarray(ROLE_NAMES), fc.constantFrom(...ROLE_NAMES), anything);
const claims = fc.record({ sub: fc.oneof(fc.constant('usr_ann'), anything), tenant_id: tenants, tid: tenants, principal_id: anything, scope: scopes, scopes, scp: scopes, roles, groups: roles, principal_type: anything, idtyp: anything }, { requiredKeys: [] });

function read(from: Record<string, unknown>, rules: ClaimRules): AuthContext | null {
  try {
    return authFromClaims(from, rules);
  } catch (error) {
    expect(error).toBeInstanceOf(AgentOsError);
    expect((error as AgentOsError).code).toBe('unauthorized');
    return null;
  }
}

describe('whatever a token claims', () => {
  it('it is refused, or is a context of a tenant its issuer speaks for, with bounded lists and nothing of the platform', verifies(['SEC-01', 'PRS-10.1-06'], () => {
    fc.assert(fc.property(claims, (each) => {
      const auth = read(each, OF_TWO);
      if (auth === null) return;
      expect(OF_TWO.tenants!.has(auth.tenant_id)).toBe(true);
      expect([each.tenant_id, each.tid]).toContain(auth.tenant_id);
      expect(['user', 'service']).toContain(auth.principal.principal_type);
      expect([each.principal_id, each.sub]).toContain(auth.principal.principal_id);
      expect(auth.scopes.filter(isPlatformScope)).toEqual([]);
      expect(auth.roles!.filter(isPlatformRole)).toEqual([]);
      expect(auth.scopes.length).toBeLessThanOrEqual(256);
      for (const name of [...auth.scopes, ...auth.roles!]) expect(typeof name === 'string' && name.length <= 128).toBe(true);
    }), { numRuns: 1_000 });
  }));

  it('a tenant that is no identifier is none', () => {
    fc.assert(fc.property(tenants, (tenant) => {
      const auth = read({ sub: 'usr_ann', tenant_id: tenant }, OWN_CLAIMS);
      expect(auth === null).toBe(!isTenantId(tenant));
    }), { numRuns: 1_000 });
  });

  it('the forms of a scope claim mean the same', () => {
    fc.assert(fc.property(fc.subarray(SCOPE_NAMES, { minLength: 1 }), (list) => {
      const as = (claim: Record<string, unknown>): readonly string[] => read({ sub: 'u', tid: 'tnt_a', ...claim }, OWN_CLAIMS)!.scopes;
      const spaced = as({ scope: list.join(' ') });
      for (const form of [{ scopes: list }, { scp: list }, { scp: list.join(' ') }, { scope: list.join(',') }]) expect(as(form)).toEqual(spaced);
    }));
  });
});

describe('an issuer', () => {
  const token = { sub: 'usr_ann', tenant_id: 'tnt_a' };

  it('of one tenant need not name it, and may keep a directory of its own in tid', () => {
    const rules: ClaimRules = { ...OF_TWO, tenants: new Set(['tnt_a']) };
    expect(read({ sub: 'u' }, rules)?.tenant_id).toBe('tnt_a');
    expect(read({ sub: 'u', tid: '72f988bf-86f1-41af-91ab-2d7cd011db47' }, rules)?.tenant_id).toBe('tnt_a');
    expect(read({ sub: 'u', tenant_id: 'tnt_b' }, rules)).toBeNull();
    expect(read({ sub: 'u', tenant_id: '' }, rules)).toBeNull();
    expect(read({ sub: 'u', tenant_id: ['tnt_a'] }, rules)).toBeNull();
  });

  it('may use claims by other names, with dots in them or leading inwards', () => {
    const rules: ClaimRules = { tenants: null, tenantClaim: 'https://example.com/tenant', principalClaim: 'azp', scopeClaim: 'permissions', roleClaim: 'realm_access.roles', roleMap: null, platform: false };
    const auth = read({ sub: 'ignored', tenant_id: 'tnt_b', azp: 'svc_1', 'https://example.com/tenant': 'tnt_a', permissions: ['runs:read'], scope: 'runs:create', realm_access: { roles: ['tenant_user', 7] }, roles: ['tenant_admin'] }, rules);
    expect(auth).toMatchObject({ tenant_id: 'tnt_a', principal: { principal_id: 'svc_1' }, scopes: ['runs:read'], roles: ['tenant_user'] });
    expect(read({ sub: 'u', azp: 'svc_1', tenant_id: 'tnt_a' }, rules), 'not the claims that were not named').toBeNull();
    expect(read({ sub: 'u', azp: 'svc_1', 'https://example.com/tenant': 'tnt_a', constructor: { name: 1 } }, { ...rules, roleClaim: 'constructor.name' })?.roles).toEqual([]);
  });

  it('has its roles and groups translated, and no others', () => {
    const rules: ClaimRules = { tenants: null, roleMap: new Map([['admins', ['tenant_admin']], ['root', ['platform_operator']]]), platform: false };
    expect(read({ ...token, roles: ['tenant_admin'], groups: ['admins', 'root', '__proto__'] }, rules)).toMatchObject({ roles: ['tenant_admin'] });
    expect(read({ ...token, roles: 'admins' }, rules)?.scopes).toContain('principals:write');
    expect(read({ ...token, groups: ['root'] }, { ...rules, platform: true })?.scopes).toContain('tenants:admin');
  });

  it("marks programs in ways of its own", () => {
    for (const mark of [{ idtyp: 'app' }, { gty: 'client-credentials' }, { principal_type: 'service' }, { subject_type: 'api_key' }]) expect(read({ ...token, ...mark }, OWN_CLAIMS)?.principal.principal_type).toBe('service');
    expect(read({ ...token, idtyp: 'app', principal_type: 'user' }, OWN_CLAIMS)?.principal.principal_type).toBe('user');
  });
});

describe('scopes of a credential', () => {
  it('are its own; without any, those of its roles together', verifies(['PRS-10.1-07'], () => {
    expect(effectiveScopes(['runs:read'], ['tenant_admin'])).toEqual(['runs:read']);
    expect(effectiveScopes([], ['tenant_user'])).toContain('runs:create');
    expect(effectiveScopes([], ['tenant_user'])).not.toContain('agents:write');
    expect(effectiveScopes([], ['tenant_service', 'tenant_user'])).toEqual(expect.arrayContaining(['runs:forward', 'decisions:read']));
    expect(effectiveScopes([], ['platform_admin'])).toEqual(effectiveScopes([], ['platform_operator']));
    expect(effectiveScopes([], ['platform_operator'])).not.toContain('runs:read');
    expect(effectiveScopes([], ['nobody', 'constructor', '__proto__'])).toEqual([]);
  }));

  it('are not what OpenID Connect asks of its issuer', () => {
    expect(read({ sub: 'u', tid: 'tnt_a', scope: 'openid profile email', roles: ['tenant_user'] }, OWN_CLAIMS)?.scopes).toContain('runs:create');
    expect(read({ sub: 'u', tid: 'tnt_a', scope: 'openid runs:read', roles: ['tenant_user'] }, OWN_CLAIMS)?.scopes).toEqual(['runs:read']);
  });
});
