import { createHmac, createPrivateKey, generateKeyPairSync, X509Certificate, type KeyObject } from 'node:crypto';
import { CompactEncrypt, exportJWK, SignJWT, type JWTPayload } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { createAuthority, issueCertificate, stackCertificate, type CertificateAndKey } from '../../../conformance/harness/certificate.ts';
import { verifies } from '../../../conformance/http/verifies.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { algorithmsOf, createPeerAssertions, digestOf, thumbprintOf } from './assertions.ts';
import { stackIdIn, stackUri } from './stack-uri.ts';
import { peerCertificate, requireCurrent, verifyAssertion, type PeerCertificate, type PresentedAssertion, type VerifierRules } from './verify.ts';
import { viaOf, withVia } from './via.ts';

const AUTH: AuthContext = { tenant_id: 'tnt_a', principal: { principal_id: 'usr_a', principal_type: 'user' }, scopes: ['runs:create', 'runs:read'], roles: ['tenant_user'], policy_context: { region: 'eu', consent_tags: ['none'] } };
const TARGET = '/v1/federation/runs:forward?x=1';
const URL_ = `https://b.test:50084${TARGET}`;
const BODY = Buffer.from('{"forward":{}}');

let authority: CertificateAndKey;
let pair: CertificateAndKey;
let stranger: CertificateAndKey;
let peer: PeerCertificate;
const rules: VerifierRules = { ownStackId: 'stk_b', ownHosts: new Set(['b.test:50084']), isPeer: (id) => id === 'stk_a', authorityOf: () => null, authorities: () => [] };

beforeAll(async () => {
  authority = await createAuthority('of a test');
  pair = await stackCertificate(authority, 'stk_a');
  stranger = await stackCertificate(authority, 'stk_a');
  peer = peerCertificate(new X509Certificate(pair.cert));
});

const present = (token: string, other: Partial<PresentedAssertion> = {}): PresentedAssertion => ({ token, peer, method: 'POST', target: TARGET, host: 'elsewhere.test', ...other });
const issue = (request: Partial<Parameters<ReturnType<typeof createPeerAssertions>['issue']>[0]> = {}): Promise<string> =>
  createPeerAssertions('stk_a', pair).issue({ audience: 'stk_b', auth: AUTH, method: 'POST', url: URL_, body: BODY, ...request });

interface Forged {
  readonly header?: Readonly<Record<string, unknown>>;
  readonly claims?: JWTPayload;
  readonly key?: KeyObject;
}

/** A good assertion with these members in place of its own; undefined takes one away. */
function forge({ header = {}, claims = {}, key = createPrivateKey(pair.key) }: Forged = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const payload = { iss: 'stk_a', aud: 'stk_b', sub: 'usr_a', iat: now, exp: now + 60, jti: newId('jti'), htm: 'POST', htu: URL_, digest: digestOf(BODY), auth: AUTH, via: ['stk_a'], ...claims };
  return new SignJWT(payload as JWTPayload).setProtectedHeader({ alg: 'ES256', typ: 'agentos-peer+jwt', 'x5t#S256': peer.thumbprint, ...header } as never).sign(key);
}

async function refusal(token: string, other: Partial<PresentedAssertion> = {}, changed: Partial<VerifierRules> = {}): Promise<AgentOsError> {
  const error = await verifyAssertion(present(token, other), { ...rules, ...changed }).then(() => null, (thrown: unknown) => thrown);
  expect(error, 'it was believed').toBeInstanceOf(AgentOsError);
  return error as AgentOsError;
}

async function isUntrusted(token: string, evidence: RegExp, other?: Partial<PresentedAssertion>, changed?: Partial<VerifierRules>): Promise<void> {
  const error = await refusal(token, other, changed);
  expect(error).toMatchObject({ code: 'unauthorized', details: { reason: 'peer_untrusted' } });
  expect(String(error.cause)).toMatch(evidence);
  expect(error.message, 'evidence is for the log').not.toMatch(evidence);
}

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const now = (): number => Math.floor(Date.now() / 1000);

describe('an assertion', () => {
  it('carries the caller, the body and the way it came', verifies(['PRS-7.4-02', 'PRS-7.4-07'], async () => {
    const before = Date.now();
    const verified = await verifyAssertion(present(await issue({ auth: withVia(AUTH, ['stk_z']) })), rules);
    expect(verified).toMatchObject({ issuer: 'stk_a', auth: AUTH, via: ['stk_z', 'stk_a'], digest: digestOf(BODY) });
    expect(verified.expiresAtMs - before).toBeLessThanOrEqual(60_000);
    expect((await verifyAssertion(present(await issue({ body: null })), rules)).digest).toBeNull();
  }));

  it('is another one each time', async () => {
    const [one, two] = [await verifyAssertion(present(await issue()), rules), await verifyAssertion(present(await issue()), rules)];
    expect(one.jti).not.toBe(two.jti);
  });

  it('says nothing of sessions, of acting services, or of what is no member of the contract', async () => {
    const more = { ...AUTH, session: { session_id: 'ses_x', ip: '203.0.113.9' }, acting: { tenant_id: 'tnt_z', principal_id: 'svc_z', principal_type: 'service' }, peer: 'stk_q', extra: 'x' } as unknown as AuthContext;
    const token = await issue({ auth: more });
    expect(Buffer.from(token.split('.')[1]!, 'base64url').toString()).not.toMatch(/ses_x|svc_z|stk_q|extra/);
    const { auth } = await verifyAssertion(present(await forge({ claims: { auth: more } })), rules);
    expect(auth).toEqual(AUTH);
  });

  it('reaches this node by the address it is registered with or by the one in Host', async () => {
    await verifyAssertion(present(await issue()), rules);
    await verifyAssertion(present(await issue({ url: `https://10.1.2.3:50084${TARGET}` }), { host: '10.1.2.3:50084' }), rules);
    await verifyAssertion(present(await issue({ url: `https://B.Test${TARGET}` }), { host: 'b.test:443' }), rules);
    await isUntrusted(await issue({ url: `https://c.test:50084${TARGET}` }), /made for c\.test/);
  });

  it('is signed by Ed25519 and RSA keys as by P-256', async () => {
    expect(algorithmsOf(generateKeyPairSync('ed25519').publicKey)).toEqual(['EdDSA']);
    expect(algorithmsOf(generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey)).toEqual(['PS256', 'RS256']);
    expect(algorithmsOf(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey)).toEqual([]);
    expect(algorithmsOf(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey)).toEqual([]);
    expect(algorithmsOf(new X509Certificate(pair.cert).publicKey)).toEqual(['ES256']);
  });

  it('that would not fit into the headers is not made', async () => {
    await expect(issue({ auth: { ...AUTH, scopes: Array.from({ length: 250 }, (_, index) => `scope:${index}:${'x'.repeat(80)}`) } })).rejects.toMatchObject({ code: 'invalid_request', details: { reason: 'auth_context_too_large' } });
  });
});

describe('an assertion is not believed', () => {
  it.each<[string, () => Promise<string> | string, RegExp]>([
    ['without any signature (alg none)', () => `${part({ alg: 'none', typ: 'agentos-peer+jwt', 'x5t#S256': peer.thumbprint })}.${part({ iss: 'stk_a' })}.`, /ERR_J/],
    ['signed HS256 with the public key as the secret', () => {
      const input = `${part({ alg: 'HS256', typ: 'agentos-peer+jwt', 'x5t#S256': peer.thumbprint })}.${part({ iss: 'stk_a', aud: 'stk_b' })}`;
      return `${input}.${createHmac('sha256', peer.certificate.publicKey.export({ type: 'spki', format: 'pem' })).update(input).digest('base64url')}`;
    }, /ERR_JOSE_ALG_NOT_ALLOWED/],
    ['of another algorithm than that of the key', () => forge({ header: { alg: 'ES384' }, key: generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey }), /ERR_JOSE_ALG_NOT_ALLOWED/],
    ['signed by somebody else', () => forge({ key: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey }), /ERR_JWS_SIGNATURE/],
    ['signed with another certificate of the same node', () => createPeerAssertions('stk_a', stranger).issue({ audience: 'stk_b', auth: AUTH, method: 'POST', url: URL_, body: BODY }), /another certificate/],
    ['that names this certificate and is signed by another', () => forge({ key: createPrivateKey(stranger.key) }), /ERR_JWS_SIGNATURE/],
    ['of another type', () => forge({ header: { typ: 'JWT' } }), /typ/],
    ['without a type', () => forge({ header: { typ: undefined } }), /typ/],
    ['made as a token of a service', () => forge({ header: { typ: 'agentos-service+jwt' } }), /typ/],
    ['with a key of its own', async () => forge({ header: { jwk: await exportJWK(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey) } }), /header has jwk/],
    ['with an address of keys', () => forge({ header: { jku: 'https://evil.test/keys' } }), /header has jku/],
    ['with certificates of its own', () => forge({ header: { x5c: [part('x')] } }), /header has x5c/],
    ['with a key id that is a path', () => forge({ header: { kid: '../../etc/passwd' } }), /header has kid/],
    ['with a key id that is SQL', () => forge({ header: { kid: "' OR 1=1 --" } }), /header has kid/],
    ['with a critical extension', async () => `${part({ alg: 'ES256', typ: 'agentos-peer+jwt', 'x5t#S256': peer.thumbprint, crit: ['x'], x: 1 })}.${(await forge()).split('.').slice(1).join('.')}`, /header has crit/],
    ['without the thumbprint', () => forge({ header: { 'x5t#S256': undefined } }), /another certificate/],
    ['with changed claims', async () => {
      const [head, , signature] = (await forge()).split('.');
      return `${head}.${part({ iss: 'stk_a', aud: 'stk_b', auth: { ...AUTH, tenant_id: 'tnt_z' } })}.${signature}`;
    }, /ERR_JWS_SIGNATURE/],
    ['with a changed signature', async () => (await forge()).replace(/.{4}$/, 'AAAA'), /ERR_JWS_SIGNATURE/],
    ['of 100 KB', async () => forge({ claims: { padding: 'x'.repeat(100_000) } }), /too long/],
    ['that is encrypted', async () => new CompactEncrypt(Buffer.from('{}')).setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM' }).encrypt(peer.certificate.publicKey), /header has enc|header has epk/],
    ['that is no token', () => 'aos_live_x', /cannot be read|ERR_J/],
    ['of another issuer than the certificate', () => forge({ claims: { iss: 'stk_c', via: ['stk_c'] } }), /"iss"/],
    ['for another node', () => forge({ claims: { aud: 'stk_c' } }), /"aud"/],
    ['for several nodes', () => forge({ claims: { aud: ['stk_c', 'stk_b'] } }), /not one stack id/],
    ['for nobody', () => forge({ claims: { aud: undefined } }), /aud/],
    ['that has expired', () => forge({ claims: { iat: now() - 90, exp: now() - 30 } }), /ERR_JWT_EXPIRED/],
    ['that lives for longer than a minute', () => forge({ claims: { exp: now() + 61 } }), /lives for 61 s/],
    ['that lives for long and was made long ago', () => forge({ claims: { iat: now() - 3_600, exp: now() + 30 } }), /ERR_JWT_EXPIRED|too far/],
    ['that was made in the future', () => forge({ claims: { iat: now() + 30, exp: now() + 60 } }), /iat/],
    ['that is not valid yet', () => forge({ claims: { nbf: now() + 30 } }), /nbf/],
    ['that ends before it begins', () => forge({ claims: { iat: now(), exp: now() } }), /lives for 0 s/],
    ['without an expiry', () => forge({ claims: { exp: undefined } }), /exp/],
    ['without a time', () => forge({ claims: { iat: undefined } }), /iat/],
    ['without an id', () => forge({ claims: { jti: undefined } }), /jti/],
    ['with an id that is a list', () => forge({ claims: { jti: ['jti_abcdefgh'] as never } }), /jti/],
    ['for another method', () => forge({ claims: { htm: 'GET' } }), /made for GET/],
    ['for another path', () => forge({ claims: { htu: 'https://b.test:50084/v1/federation/peer' } }), /another path/],
    ['for another query', () => forge({ claims: { htu: URL_.replace('x=1', 'x=2') } }), /another path/],
    ['for a request that is not encrypted', () => forge({ claims: { htu: URL_.replace('https:', 'http:') } }), /http:/],
    ['for an address with credentials', () => forge({ claims: { htu: URL_.replace('b.test', 'u:p@b.test') } }), /credentials/],
    ['for no address', () => forge({ claims: { htu: TARGET } }), /no URL/],
    ['with a digest that is none', () => forge({ claims: { digest: 'sha-256=x' } }), /digest/],
    ['without the way it came', () => forge({ claims: { via: undefined } }), /via/],
    ['with a way that ends elsewhere', () => forge({ claims: { via: ['stk_a', 'stk_c'] } }), /via/],
    ['without a caller', () => forge({ claims: { auth: undefined } }), /auth/],
    ['for a tenant that is a list', () => forge({ claims: { auth: { ...AUTH, tenant_id: ['tnt_a'] } } }), /names no tenant/],
    ['for a tenant that is an object', () => forge({ claims: { auth: { ...AUTH, tenant_id: { toString: 'tnt_a' } } } }), /names no tenant/],
    ['for a tenant that is empty', () => forge({ claims: { auth: { ...AUTH, tenant_id: '' } } }), /names no tenant/],
    ['for two tenants with a comma', () => forge({ claims: { auth: { ...AUTH, tenant_id: 'tnt_a,tnt_b' } } }), /names no tenant/],
    ['for a principal that is a list', () => forge({ claims: { auth: { ...AUTH, principal: [AUTH.principal] } } }), /names no principal/],
    ['for another principal than its subject', () => forge({ claims: { sub: 'usr_b' } }), /sub/],
    ['with scopes that are one text', () => forge({ claims: { auth: { ...AUTH, scopes: 'runs:create' } } }), /scopes/],
    ['with a policy context that is a list', () => forge({ claims: { auth: { ...AUTH, policy_context: ['eu'] } } }), /policy_context/],
  ])('%s', async (_name, make, evidence) => {
    await isUntrusted(await make(), evidence);
  });

  it('of a node that the peers file does not name', async () => {
    await isUntrusted(await forge(), /stk_a is not in the peers file/, {}, { isPeer: () => false });
  });

  it('over a certificate that names no stack, several, or has expired', async () => {
    const nameless = peerCertificate(new X509Certificate((await issueCertificate(authority, { stackId: null, names: ['a.test'] })).cert));
    await isUntrusted(await forge({ header: { 'x5t#S256': nameless.thumbprint } }), /names no stack/, { peer: nameless });
    const expired = await stackCertificate(authority, 'stk_a', { days: -1 });
    const old = peerCertificate(new X509Certificate(expired.cert));
    await isUntrusted(await forge({ header: { 'x5t#S256': old.thumbprint }, key: createPrivateKey(expired.key) }), /valid from .+ to /, { peer: old });
    expect(() => requireCurrent(peer, Date.now() + 366 * 86_400_000)).toThrow(AgentOsError);
  });

  it('over a certificate of another authority than the one that the peer is bound to', async () => {
    const other = await createAuthority('of a test');
    const [own, others] = [new X509Certificate(authority.cert), new X509Certificate(other.cert)];
    const bound = (fingerprint: string): Partial<VerifierRules> => ({ authorityOf: () => fingerprint, authorities: () => [others, own] });
    await verifyAssertion(present(await forge()), { ...rules, ...bound(own.fingerprint256) });
    await isUntrusted(await forge(), /not of the authority/, {}, bound(others.fingerprint256));
  });

  it('when it has come back: a loop is said to be one', async () => {
    for (const via of [['stk_b', 'stk_a'], ['stk_b', 'stk_c', 'stk_a']]) {
      expect(await refusal(await forge({ claims: { via } }))).toMatchObject({ code: 'conflict', details: { reason: 'forward_loop', stack_id: 'stk_b' } });
    }
    const own = await stackCertificate(authority, 'stk_b');
    const self = peerCertificate(new X509Certificate(own.cert));
    const token = await createPeerAssertions('stk_b', own).issue({ audience: 'stk_b', auth: AUTH, method: 'POST', url: URL_, body: null });
    expect(await refusal(token, { peer: self })).toMatchObject({ code: 'conflict', details: { reason: 'forward_loop' } });
  });
});

describe('the name of a stack in a certificate', () => {
  it.each([
    ['URI:urn:agentos:stack:stk_a, DNS:a.test', 'stk_a'],
    ['DNS:a.test, IP Address:127.0.0.1', null],
    ['URI:urn:agentos:stack:stk_a, URI:urn:agentos:stack:stk_b', null],
    // How node writes a DNS name that has the list's own characters in it, so as to look like two names.
    ['DNS:"a.test, URI:urn:agentos:stack:stk_a"', null],
    ['URI:"urn:agentos:stack:stk_a, DNS:x"', null],
    ['URI:urn:agentos:stack:', null],
    ['URI:urn:agentos:stack:a b', null],
    ['DNS:urn:agentos:stack:stk_a', null],
    [undefined, null],
  ])('%s: %s', (names, stackId) => {
    expect(stackIdIn(names)).toBe(stackId);
  });

  it('is written and read alike', () => {
    expect(stackUri('stk_a')).toBe('urn:agentos:stack:stk_a');
    expect(peer.stackId).toBe('stk_a');
    expect(thumbprintOf(peer.certificate)).toMatch(/^[\w-]{43}$/);
    expect(viaOf(AUTH)).toEqual([]);
  });
});
