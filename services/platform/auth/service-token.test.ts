/** Tokens between our own services: for one service, for a minute, from one of the keys that are accepted. */
import { SignJWT, decodeJwt, decodeProtectedHeader } from 'jose';
import { describe, expect, it } from 'vitest';
import { verifies } from '../../../conformance/http/verifies.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';
import { createServiceTokenIssuer, createServiceTokenVerifier, issueServiceToken, serviceTokenKey } from './service-token.ts';

const KEY = serviceTokenKey('k'.repeat(32));
const OTHER = serviceTokenKey('z'.repeat(32));
const AUTH: AuthContext = {
  tenant_id: 'tnt_demo',
  principal: { principal_id: 'svc_1', principal_type: 'service', display_name: 'One' },
  scopes: ['models:invoke'],
  roles: ['tenant_service'],
  acting: { tenant_id: 'tnt_home', principal_id: 'svc_1', principal_type: 'service' },
  policy_context: { data_classification: 'internal', region: 'eu', purpose: 'test' },
};

describe('service tokens', () => {
  it('carry the whole context, are reused for equal ones, and are verified once', verifies(['PRS-10.1-06', 'PRS-15.1-02'], async () => {
    const issuer = createServiceTokenIssuer(KEY, 'agent-orchestrator');
    const verifier = createServiceTokenVerifier(KEY, 'items');
    const first = await issuer.issue({ audience: 'items', auth: AUTH });
    expect(await issuer.issue({ audience: 'items', auth: structuredClone(AUTH) })).toBe(first);
    expect(await issuer.issue({ audience: 'items', auth: { ...AUTH, tenant_id: 'tnt_other' } })).not.toBe(first);
    expect(await issuer.issue({ audience: 'model-policy', auth: AUTH })).not.toBe(first);
    expect(verifier.recall(first)).toBeNull();
    expect(await verifier.verify(first)).toEqual(AUTH);
    expect(verifier.verify(first)).not.toBeInstanceOf(Promise);
    expect(verifier.recall(first)).toEqual(AUTH);
  }));

  it('say who made them, for whom, and which they are, and live a minute', async () => {
    const token = await issueServiceToken(KEY, { issuer: 'agent-orchestrator', audience: 'items', auth: AUTH });
    const claims = decodeJwt(token);
    expect(claims).toMatchObject({ iss: 'agentos:agent-orchestrator', aud: 'items', sub: 'svc_1', jti: expect.stringMatching(/^jti_/) });
    expect(claims.exp! - claims.iat!).toBeLessThanOrEqual(60);
    expect(decodeProtectedHeader(token).kid).toMatch(/^[0-9a-f]{16}$/);
  });

  const now = (): number => Math.floor(Date.now() / 1000);
  const kid = async (): Promise<string> => decodeProtectedHeader(await issueServiceToken(KEY, { issuer: 'a', audience: 'items', auth: AUTH })).kid!;
  /** A good one but for what `change` does to it. */
  const made = async (change: (jwt: SignJWT) => SignJWT, header: Record<string, unknown> = {}): Promise<string> =>
    change(new SignJWT({ auth: AUTH }).setProtectedHeader({ alg: 'HS256', typ: 'agentos-service+jwt', kid: await kid(), ...header }).setIssuer('agentos:a').setAudience('items').setJti('jti_1').setIssuedAt().setExpirationTime('30s')).sign(KEY);

  it('are accepted as this test makes them', async () => {
    expect(await createServiceTokenVerifier(KEY, 'items').verify(await made((jwt) => jwt))).toEqual(AUTH);
  });

  it.each<[string, () => Promise<string>]>([
    ['another audience', () => issueServiceToken(KEY, { issuer: 'a', audience: 'other', auth: AUTH })],
    ['no audience', async () => new SignJWT({ auth: AUTH }).setProtectedHeader({ alg: 'HS256', typ: 'agentos-service+jwt', kid: await kid() }).setIssuer('agentos:a').setJti('j').setIssuedAt().setExpirationTime('30s').sign(KEY)],
    ['another key', () => issueServiceToken(OTHER, { issuer: 'a', audience: 'items', auth: AUTH })],
    ['a tenant that is none', () => issueServiceToken(KEY, { issuer: 'a', audience: 'items', auth: { ...AUTH, tenant_id: 'a,b' } })],
    ['an age of five minutes', () => made((jwt) => jwt.setIssuedAt(now() - 300))],
    ['a longer life', () => made((jwt) => jwt.setExpirationTime('1h'))],
    ['an end that has come', () => made((jwt) => jwt.setIssuedAt(now() - 30).setExpirationTime(now() - 10))],
    ['an issuer that is no service', () => made((jwt) => jwt.setIssuer('https://evil'))],
    ['no name of its own (jti)', async () => new SignJWT({ auth: AUTH }).setProtectedHeader({ alg: 'HS256', typ: 'agentos-service+jwt', kid: await kid() }).setIssuer('agentos:a').setAudience('items').setIssuedAt().setExpirationTime('30s').sign(KEY)],
    ['a key that nobody has', () => made((jwt) => jwt, { kid: '0000000000000000' })],
    ['a demand', () => made((jwt) => jwt, { crit: ['b64'], b64: true })],
    ['a context that lacks its principal', async () => new SignJWT({ auth: { tenant_id: 'tnt_demo', scopes: [] } }).setProtectedHeader({ alg: 'HS256', typ: 'agentos-service+jwt', kid: await kid() }).setIssuer('agentos:a').setAudience('items').setJti('j').setIssuedAt().setExpirationTime('30s').sign(KEY)],
    ['nothing', async () => ''],
  ])('are refused for %s', async (_, make) => {
    await expect((async () => createServiceTokenVerifier(KEY, 'items').verify(await make()))()).rejects.toMatchObject({ code: 'unauthorized' });
  });

  it('outlive the replacement of their key for as long as it is accepted', async () => {
    let keys = { signing: KEY, accepted: [KEY] };
    const live = { signing: () => keys.signing, accepted: () => keys.accepted };
    const issuer = createServiceTokenIssuer(live, 'agent-orchestrator');
    const verifier = createServiceTokenVerifier(live, 'items');
    const before = await issuer.issue({ audience: 'items', auth: AUTH });
    expect(await verifier.verify(before)).toEqual(AUTH);
    keys = { signing: OTHER, accepted: [OTHER, KEY] };
    const after = await issuer.issue({ audience: 'items', auth: AUTH });
    expect(after).not.toBe(before);
    expect([await verifier.verify(before), await verifier.verify(after)]).toEqual([AUTH, AUTH]);
    keys = { signing: OTHER, accepted: [OTHER] };
    await expect((async () => verifier.verify(before))(), 'though it was verified before').rejects.toMatchObject({ code: 'unauthorized' });
    expect(await verifier.verify(after)).toEqual(AUTH);
  });

  it('need a key of 32 bytes', () => {
    expect(() => serviceTokenKey('short')).toThrow(/at least 32.*openssl rand/);
  });
});
