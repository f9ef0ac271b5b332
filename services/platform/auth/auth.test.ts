import { generateKeyPairSync } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { SignJWT, UnsecuredJWT, exportJWK, generateKeyPair, type CryptoKey, type JWK } from 'jose';
import { MemoryDirectory } from '../tenancy/directory-memory.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';
import { createApiKey, isValidApiKey, parseApiKey } from './api-key.ts';
import { createIdentity, type Identity, type IdentityOptions } from './identity.ts';
import { createJwtVerifier } from './jwt-verifier.ts';
import { createServiceTokenVerifier, issueServiceToken, serviceTokenKey } from './service-token.ts';

const ROW = { tenancy: 'tenant' } as const;
const ISSUER = 'https://issuer.test';
const KEY = serviceTokenKey('k'.repeat(32));
const AUTH: AuthContext = {
  tenant_id: 'tnt_demo',
  principal: { principal_id: 'usr_1', principal_type: 'user', display_name: 'One' },
  scopes: ['models:invoke'],
  roles: ['tenant_user'],
  policy_context: { data_classification: 'internal', region: 'eu', purpose: 'test' },
};

let signing: CryptoKey;
let jwk: JWK;
let publicPem: string;
const directory = new MemoryDirectory();
beforeAll(async () => {
  const pair = await generateKeyPair('RS256', { extractable: true });
  signing = pair.privateKey;
  jwk = { ...(await exportJWK(pair.publicKey)), kid: 'key-1', alg: 'RS256', use: 'sig' };
  publicPem = generateKeyPairSync('rsa', { modulusLength: 2048, publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' } }).publicKey;
});

function identity(options: Partial<IdentityOptions> = {}): Identity {
  return createIdentity({
    mode: 'dev',
    directory,
    verifiers: {
      jwt: createJwtVerifier([{ issuer: ISSUER, audience: 'agentos', algorithms: ['RS256', 'ES256', 'EdDSA'], keys: { jwks: { keys: [jwk] } } }]),
      service: createServiceTokenVerifier(KEY, 'items'),
    },
    ...options,
  });
}
const ask = async (who: Identity, headers: Record<string, string>): Promise<AuthContext> => who.authenticate(headers, ROW);
const bearer = (token: string, more: Record<string, string> = {}) => ({ authorization: `Bearer ${token}`, ...more });
type Header = Parameters<SignJWT['setProtectedHeader']>[0];
function token(claims: Record<string, unknown> = {}, change: (jwt: SignJWT) => SignJWT = (jwt) => jwt, header: Header = { alg: 'RS256', kid: 'key-1' }): Promise<string> {
  const jwt = new SignJWT({ tenant_id: 'tnt_demo', scope: 'runs:read', ...claims }).setProtectedHeader(header).setIssuer(ISSUER).setAudience('agentos').setSubject('usr_1').setIssuedAt().setExpirationTime('5m');
  return change(jwt).sign(signing);
}

describe('demo mode', () => {
  const demo = createIdentity({ mode: 'demo', directory, defaultTenant: 'tnt_default' });

  it('takes the headers for an identity', async () => {
    expect(await ask(demo, { 'x-tenant-id': 'tnt_demo', 'x-principal-id': 'usr_9', 'x-scopes': 'runs:write,tenants:admin' })).toMatchObject({
      tenant_id: 'tnt_demo', principal: { principal_id: 'usr_9', principal_type: 'user' }, scopes: ['runs:write', 'runs:create', 'runs:cancel', 'runs:forward', 'tenants:admin'],
    });
  });

  it('gives every tenant scope and no platform scope when none is named, and knows a default tenant', async () => {
    const auth = await ask(demo, {});
    expect(auth.tenant_id).toBe('tnt_default');
    expect(auth.scopes).toContain('runs:create');
    expect(auth.scopes).not.toContain('tenants:admin');
  });

  it.each(['opaque-token', 'eyJhbGciOiJub25lIn0.e30.', 'a.b.c'])('ignores a bearer that says nothing to it: %s', async (opaque) => {
    expect(await ask(demo, bearer(opaque, { 'x-tenant-id': 'tnt_demo' }))).toMatchObject({ tenant_id: 'tnt_demo' });
  });

  it('still refuses a key that claims to be ours and is not', async () => {
    await expect(ask(demo, bearer('aos_live_wrong', { 'x-tenant-id': 'tnt_demo' }))).rejects.toMatchObject({ code: 'unauthorized' });
  });

  it('takes no assertion of a peer for one, nor ignores it beside headers or a key', async () => {
    const { secret } = createApiKey({ tenantId: 'tnt_demo', principalId: 'svc_a', principalType: 'service', scopes: ['runs:read'], roles: [] });
    for (const typ of ['agentos-peer+jwt', 'AgentOS-Peer+JWT', 'application/agentos-peer+jwt']) {
      const assertion = await token({}, (jwt) => jwt, { alg: 'RS256', typ });
      for (const who of [demo, identity()]) {
        await expect(ask(who, bearer(assertion, { 'x-tenant-id': 'tnt_demo' }))).rejects.toMatchObject({ code: 'unauthorized', details: { reason: 'wrong_listener' } });
        await expect(ask(who, bearer(assertion, { 'x-api-key': secret }))).rejects.toMatchObject({ code: 'unauthorized', details: { reason: 'two_credentials' } });
      }
    }
  });

  it('carries the whole context of a service token', async () => {
    const service = createIdentity({ mode: 'demo', directory, verifiers: { service: createServiceTokenVerifier(KEY, 'items') } });
    expect(await ask(service, bearer(await issueServiceToken(KEY, { issuer: 'caller', audience: 'items', auth: AUTH })))).toEqual(AUTH);
  });

  it('is refused in prod, in parts too', () => {
    expect(() => createIdentity({ mode: 'prod', directory, allowHeaderIdentity: true })).toThrow(/refused in prod/);
    expect(() => createIdentity({ mode: 'prod', directory, defaultTenant: 'tnt_demo' })).toThrow(/refused in prod/);
  });
});

describe('API keys', () => {
  const make = async (change: Parameters<typeof createApiKey>[0] | object = {}) => {
    const key = createApiKey({ tenantId: 'tnt_demo', principalId: 'svc_orders', principalType: 'service', scopes: ['runs:create'], roles: ['tenant_service'], ...change });
    await directory.putApiKey(AUTH, key.record);
    return key;
  };

  it('are known again by their own secret alone, and no longer than their record allows', () => {
    const { record, secret } = createApiKey({ tenantId: 'tnt_demo', principalId: 'svc_orders', principalType: 'service', scopes: [], roles: [] });
    const own = parseApiKey(secret)!.secret;
    for (let round = 0; round < 2; round += 1) {
      expect(isValidApiKey(record, own, Date.now())).toBe(true);
      for (const other of [`${own.slice(0, -1)}${own.endsWith('A') ? 'B' : 'A'}`, own.slice(1), `${own}A`, '']) expect(isValidApiKey(record, other, Date.now())).toBe(false);
    }
    const ended = { ...record, expiresAt: new Date(Date.now() + 1_000).toISOString() };
    expect([isValidApiKey(ended, own, Date.now()), isValidApiKey(ended, own, Date.now() + 2_000)]).toEqual([true, false]);
    expect(isValidApiKey({ ...record, revokedAt: new Date().toISOString() }, own, Date.now())).toBe(false);
  });

  it('are accepted as X-API-Key and as bearer', async () => {
    const { secret } = await make();
    const expected = { tenant_id: 'tnt_demo', principal: { principal_id: 'svc_orders', principal_type: 'service' }, scopes: ['runs:create'], roles: ['tenant_service'] };
    expect(await ask(identity(), { 'x-api-key': secret })).toEqual(expected);
    expect(await ask(identity(), bearer(secret))).toEqual(expected);
    expect(await ask(createIdentity({ mode: 'demo', directory }), bearer(secret))).toEqual(expected);
  });

  it('are stored as a hash only', async () => {
    const { secret, record } = await make();
    expect(JSON.stringify(record)).not.toContain(secret.split('_').at(-1));
    expect(record.secretHash).toMatch(/^[0-9a-f]{64}$/);
  });

  it('are refused when wrong, expired, revoked, or of another key', async () => {
    const good = await make();
    const other = await make();
    const expired = await make({ expiresAt: '2020-01-01T00:00:00Z' });
    const revoked = await make();
    await directory.putApiKey(AUTH, { ...revoked.record, revokedAt: new Date().toISOString() });
    const crossed = good.secret.slice(0, 36) + other.secret.slice(36);
    for (const secret of [`${good.secret.slice(0, -1)}!`, good.secret.slice(0, -2), expired.secret, revoked.secret, crossed, 'aos_live_', "aos_live_' OR 1=1"]) {
      await expect(ask(identity(), { 'x-api-key': secret })).rejects.toMatchObject({ code: 'unauthorized' });
    }
  });

  it('bind the tenant: another in the header is a mismatch', async () => {
    const { secret } = await make();
    await expect(ask(identity(), { 'x-api-key': secret, 'x-tenant-id': 'tnt_other' })).rejects.toMatchObject({
      code: 'tenant_mismatch', details: { credential_tenant_id: 'tnt_demo', header_tenant_id: 'tnt_other' },
    });
    expect(await ask(identity(), { 'x-api-key': secret, 'x-tenant-id': 'tnt_demo' })).toMatchObject({ tenant_id: 'tnt_demo' });
  });

  it('of a service with the delegation scope may name the tenant, and says who acts', async () => {
    await directory.createTenant(AUTH, { tenant_id: 'tnt_demo', name: 'Home', plan_tier: 'standard' });
    const { secret } = await make({ scopes: ['runs:create', 'tenants:act-as'] });
    expect(await ask(identity(), { 'x-api-key': secret, 'x-tenant-id': 'tnt_other' })).toMatchObject({
      tenant_id: 'tnt_other', principal: { principal_id: 'svc_orders' }, acting: { tenant_id: 'tnt_demo', principal_id: 'svc_orders', principal_type: 'service' },
    });
    expect(await ask(identity(), { 'x-api-key': secret, 'x-tenant-id': 'tnt_demo' })).not.toHaveProperty('acting');
    const user = await make({ principalType: 'user', scopes: ['tenants:act-as'] });
    await expect(ask(identity(), { 'x-api-key': user.secret, 'x-tenant-id': 'tnt_other' })).rejects.toMatchObject({ code: 'tenant_mismatch' });
    const plain = await make();
    await expect(ask(identity(), { 'x-api-key': plain.secret, 'x-tenant-id': 'tnt_other' })).rejects.toMatchObject({ code: 'tenant_mismatch' });
  });

  it('of a tenant that is suspended act for nobody', async () => {
    await directory.createTenant(AUTH, { tenant_id: 'tnt_idle', name: 'Idle', plan_tier: 'standard', status: 'suspended' });
    const { secret } = await make({ tenantId: 'tnt_idle', scopes: ['tenants:act-as'] });
    await expect(ask(identity(), { 'x-api-key': secret, 'x-tenant-id': 'tnt_demo' })).rejects.toMatchObject({ code: 'forbidden', details: { reason: 'tenant_suspended' } });
  });

  it('and a token at once are refused', async () => {
    const { secret } = await make();
    await expect(ask(identity(), bearer(await token(), { 'x-api-key': secret }))).rejects.toMatchObject({ code: 'unauthorized' });
    await expect(ask(identity({ mode: 'demo' }), bearer(await token(), { 'x-api-key': secret })), 'in demo too').rejects.toMatchObject({ code: 'unauthorized' });
    expect(await ask(createIdentity({ mode: 'demo', directory }), bearer('sk-anything', { 'x-api-key': secret })), 'what says nothing is no second one').toMatchObject({ principal: { principal_id: 'svc_orders' } });
  });
});

describe('tokens of an issuer', () => {
  it.each([
    [{ scope: 'runs:read runs:create' }, ['runs:read', 'runs:create']],
    [{ scope: undefined, scopes: ['runs:read'] }, ['runs:read']],
    [{ scope: undefined, scp: 'events:read' }, ['events:read', 'runs:read']],
    [{ scope: undefined }, []],
  ])('carry scopes as %j', async (claims, scopes) => {
    expect(await ask(identity(), bearer(await token(claims)))).toMatchObject({ tenant_id: 'tnt_demo', principal: { principal_id: 'usr_1', principal_type: 'user' }, scopes });
  });

  it('may use the other claim names, and an array for the audience', async () => {
    expect(await ask(identity(), bearer(await token({ tenant_id: undefined, tid: 'tnt_t', principal_id: 'svc_9', subject_type: 'service' }, (jwt) => jwt.setAudience(['other', 'agentos']))))).toMatchObject({
      tenant_id: 'tnt_t', principal: { principal_id: 'svc_9', principal_type: 'service' },
    });
  });

  const cases: ReadonlyArray<readonly [string, () => Promise<string> | string]> = [
    ['alg none', () => new UnsecuredJWT({ tenant_id: 'tnt_demo' }).setIssuer(ISSUER).setAudience('agentos').setSubject('usr_1').setExpirationTime('5m').encode()],
    ['HS256 with the public key', () => new SignJWT({ tenant_id: 'tnt_demo' }).setProtectedHeader({ alg: 'HS256', kid: 'key-1' }).setIssuer(ISSUER).setAudience('agentos').setSubject('u').setExpirationTime('5m').sign(new TextEncoder().encode(JSON.stringify(jwk)))],
    ['expired', () => token({}, (jwt) => jwt.setExpirationTime('-1m'))],
    ['not yet valid', () => token({}, (jwt) => jwt.setNotBefore('5m'))],
    ['for another audience', () => token({}, (jwt) => jwt.setAudience('other'))],
    ['of another issuer', () => token({}, (jwt) => jwt.setIssuer('https://evil.test'))],
    ['without expiry', () => new SignJWT({ tenant_id: 'tnt_demo' }).setProtectedHeader({ alg: 'RS256', kid: 'key-1' }).setIssuer(ISSUER).setAudience('agentos').setSubject('u').sign(signing)],
    ['without a tenant', () => token({ tenant_id: undefined })],
    ['with an array for a tenant', () => token({ tenant_id: ['tnt_demo'] })],
    ['with an object for a tenant', () => token({ tenant_id: { toString: 'tnt_demo' } })],
    ['with an empty tenant', () => token({ tenant_id: '' })],
    ['with two tenants in one text', () => token({ tenant_id: 'tnt_a,tnt_b' })],
    ['with two tenant claims', () => token({ tenant_id: 'tnt_a', tid: 'tnt_b' })],
    ['without a kid', () => token({}, undefined, { alg: 'RS256' })],
    ['with a path for a kid', () => token({}, undefined, { alg: 'RS256', kid: '../../etc/passwd' })],
    ['with SQL for a kid', () => token({}, undefined, { alg: 'RS256', kid: "' OR 1=1" })],
    ['with an unknown kid', () => token({}, undefined, { alg: 'RS256', kid: 'key-2' })],
    ['with a key of its own', async () => {
      const own = await generateKeyPair('RS256', { extractable: true });
      return new SignJWT({ tenant_id: 'tnt_demo' }).setProtectedHeader({ alg: 'RS256', kid: 'key-1', jwk: (await exportJWK(own.publicKey)) as never, jku: 'https://evil.test/jwks' }).setIssuer(ISSUER).setAudience('agentos').setSubject('u').setExpirationTime('5m').sign(own.privateKey);
    }],
    ['with a critical header', () => token({}, undefined, { alg: 'RS256', kid: 'key-1', crit: ['b64'], b64: true })],
    ['tampered with', async () => { const [head, , signature] = (await token()).split('.'); return `${head}.${Buffer.from(JSON.stringify({ iss: ISSUER, aud: 'agentos', sub: 'u', tenant_id: 'tnt_other', exp: 9999999999 })).toString('base64url')}.${signature}`; }],
    ['of 100 KB', () => token({ padding: 'x'.repeat(100_000) })],
    ['encrypted', () => 'a.b.c.d.e'],
    ['made of nothing', () => '..'],
  ];
  it('are told which claim does not fit', async () => {
    await expect(ask(identity(), bearer(await token({}, (jwt) => jwt.setAudience('other'))))).rejects.toMatchObject({ message: expect.stringContaining('its claim aud is not what is accepted') as string });
    await expect(ask(identity(), bearer(await token({}, (jwt) => jwt.setNotBefore('5m'))))).rejects.toMatchObject({ message: expect.stringContaining('its claim nbf') as string });
  });

  it.each(cases)('are refused: %s', async (_, make) => {
    await expect(ask(identity(), bearer(await make()))).rejects.toMatchObject({ code: 'unauthorized' });
  });

  it('are refused in other places and schemes', async () => {
    const good = await token();
    await expect(ask(identity(), { authorization: `Basic ${good}` })).rejects.toMatchObject({ code: 'unauthorized' });
    await expect(ask(identity(), { authorization: `Bearer ${good}, Bearer ${good}` })).rejects.toMatchObject({ code: 'unauthorized' });
    await expect(ask(identity(), { 'x-tenant-id': 'tnt_demo', 'x-scopes': 'runs:read', 'x-principal-id': 'usr_1' })).rejects.toMatchObject({ code: 'unauthorized' });
  });

  it('never take scopes or principal from headers', async () => {
    expect(await ask(identity(), bearer(await token(), { 'x-scopes': 'tenants:admin', 'x-principal-id': 'usr_root' }))).toMatchObject({ principal: { principal_id: 'usr_1' }, scopes: ['runs:read'] });
  });

  it('are accepted by one public key, and refused when it did not sign them or is of another kind', async () => {
    const signer = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const withKey = (publicKeyPem: string) => identity({ verifiers: { jwt: createJwtVerifier([{ issuer: ISSUER, audience: 'agentos', algorithms: ['RS256', 'ES256'], keys: { publicKeyPem } }]) } });
    const own = withKey(signer.publicKey.export({ type: 'spki', format: 'pem' }).toString());
    const signed = await new SignJWT({ tenant_id: 'tnt_demo' }).setProtectedHeader({ alg: 'ES256' }).setIssuer(ISSUER).setAudience('agentos').setSubject('usr_1').setExpirationTime('5m').sign(signer.privateKey);
    expect(await ask(own, bearer(signed))).toMatchObject({ tenant_id: 'tnt_demo' });
    await expect(ask(own, bearer(await token()))).rejects.toMatchObject({ code: 'unauthorized' });
    await expect(ask(withKey(publicPem), bearer(await token()))).rejects.toMatchObject({ code: 'unauthorized' });
  });
});
