/**
 * The catalogue of credentials: each with the status and the code that a service answers, in every mode. What demo takes
 * for an identity by headers is 200 there, because demo serves its own machine alone and ignores a bearer that says
 * nothing to it; what claims to be a token of a configured issuer, a key or a service token is refused in demo as well.
 */
import { CompactSign, SignJWT, UnsecuredJWT, exportJWK, exportSPKI, generateKeyPair, type CryptoKey } from 'jose';
import { issueServiceToken, serviceTokenKey } from '../../services/platform/auth/service-token.ts';
import type { ServiceName } from '../harness/prism.ts';
import type { IssuerKeyPair, TokenIssuer } from '../harness/token-issuer.ts';

export type Expected = readonly [status: number, code: string | null];
export type Mode = 'demo' | 'dev' | 'prod';
export type HeaderList = ReadonlyArray<readonly [string, string]>;

/** What the vectors are made with. */
export interface CredentialKit {
  readonly issuer: TokenIssuer;
  /** Another issuer, that nobody has configured. */
  readonly stranger: TokenIssuer;
  readonly signingKey: string;
  /** A token of a local issuer. */
  readonly localToken: string;
  /** API keys. */
  readonly keys: Readonly<Record<'good' | 'expired' | 'revoked', string>>;
  /** Tenants that are suspended, and that there are not. */
  readonly suspended: string;
  readonly absent: string;
}

export interface Credential {
  readonly name: string;
  headers(kit: CredentialKit, service: ServiceName): Promise<HeaderList>;
  /** After the path. */
  readonly query?: (kit: CredentialKit) => Promise<string>;
  readonly expected: Expected | Readonly<Record<Mode, Expected>>;
}

const REFUSED: Expected = [401, 'unauthorized'];
const SERVED: Expected = [200, null];
/** Nothing that demo would have to judge, so its headers count. */
const IGNORED_IN_DEMO: Readonly<Record<Mode, Expected>> = { demo: SERVED, dev: REFUSED, prod: REFUSED };

const bearer = (token: string): HeaderList => [['Authorization', `Bearer ${token}`]];
/** By headers alone, which in demo is identity enough. */
const NAMED: HeaderList = [['X-Tenant-Id', 'tnt_demo']];
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const claims = { tenant_id: 'tnt_demo', scope: 'runs:read policies:read' };

/** A token that is right in everything but what is said. */
function token(name: string, change: Parameters<TokenIssuer['token']>[1] & { readonly claims?: Readonly<Record<string, unknown>> }, expected: Credential['expected'] = REFUSED): Credential {
  return { name, expected, headers: async ({ issuer }) => bearer(await issuer.token({ ...claims, ...change.claims }, change)) };
}
const made = (name: string, make: (kit: CredentialKit, service: ServiceName) => Promise<string> | string, expected: Credential['expected'] = REFUSED): Credential => ({
  name, expected, headers: async (kit, service) => bearer(await make(kit, service)),
});

/** Signs with whatever key, header and all. */
const forged = (issuer: TokenIssuer, header: { alg: string; [member: string]: unknown }, key: CryptoKey | Uint8Array): Promise<string> =>
  new SignJWT(claims).setProtectedHeader(header).setIssuer(issuer.url).setAudience('agentos').setSubject('usr_ann').setIssuedAt().setExpirationTime('5m').sign(key);

/** Claims that no library would write, signed as they are. */
const odd = ({ issuer }: CredentialKit, change: Readonly<Record<string, unknown>>): Promise<string> =>
  new CompactSign(new TextEncoder().encode(JSON.stringify({ ...claims, iss: issuer.url, aud: 'agentos', sub: 'usr_ann', exp: Math.floor(Date.now() / 1000) + 300, ...change })))
    .setProtectedHeader({ alg: 'ES256', kid: 'first' }).sign(issuer.published[0]!.privateKey);

async function ownKey(kid: string): Promise<IssuerKeyPair> {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  return { kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: 'ES256' } };
}

const good: readonly Credential[] = [
  token('a token', {}, SERVED),
  token('a token whose tenant is in tid, and whose scopes are a list', { claims: { tenant_id: undefined, tid: 'tnt_demo', scope: undefined, scp: ['runs:read', 'policies:read'] } }, SERVED),
  token('a token with a role in place of scopes', { claims: { scope: undefined, roles: ['tenant_user'] } }, SERVED),
  token('a token for several audiences', { change: (jwt) => jwt.setAudience(['other', 'agentos']) }, SERVED),
  token('a token whose issuer is ten seconds ahead', { change: (jwt) => jwt.setNotBefore(Math.floor(Date.now() / 1000) + 10) }, SERVED),
  { name: 'a token and the same tenant in the header', expected: SERVED, headers: async ({ issuer }) => [...bearer(await issuer.token(claims)), ...NAMED] },
  { name: 'an API key', expected: SERVED, headers: async ({ keys }) => [['X-API-Key', keys.good]] },
  made('an API key as bearer', ({ keys }) => keys.good, SERVED),
  made('a token of the local issuer', ({ localToken }) => localToken, { demo: SERVED, dev: SERVED, prod: REFUSED }),
];

const signatures: readonly Credential[] = [
  made('alg none', ({ issuer }) => new UnsecuredJWT(claims).setIssuer(issuer.url).setAudience('agentos').setSubject('usr_ann').setExpirationTime('5m').encode()),
  made('alg none, spelt otherwise', async ({ issuer }) => `${part({ alg: 'nOnE', kid: 'first' })}.${(await issuer.token(claims)).split('.')[1]}.`),
  made('HS256 with the public key', async ({ issuer }) => forged(issuer, { alg: 'HS256', kid: 'first' }, new TextEncoder().encode(JSON.stringify(issuer.published[0]!.jwk)))),
  made('HS256 with the public key as PEM', async ({ issuer }) => {
    const { publicKey } = await generateKeyPair('ES256', { extractable: true });
    return forged(issuer, { alg: 'HS256', kid: 'first' }, new TextEncoder().encode(await exportSPKI(publicKey)));
  }),
  made('HS256 with an empty key', async ({ issuer }) => forged(issuer, { alg: 'HS256', kid: 'first' }, new Uint8Array(32))),
  made('signed by somebody else under the same key id', async ({ issuer }) => issuer.token(claims, { key: await ownKey('first') })),
  made('a signature for another algorithm', async ({ issuer }) => (await issuer.token(claims)).replace(/^[^.]+/, part({ alg: 'RS256', kid: 'first' }))),
  made('changed claims', async ({ issuer }) => (await issuer.token(claims)).replace(/\.[^.]+\./, `.${part({ ...claims, iss: issuer.url, aud: 'agentos', sub: 'usr_root', exp: 9_999_999_999 })}.`)),
  made('a changed signature', async ({ issuer }) => (await issuer.token(claims)).replace(/.$/, (last) => (last === 'A' ? 'Q' : 'A')).replace(/\.(.)([^.]*)$/, (_, first: string, rest: string) => `.${first === 'A' ? 'B' : 'A'}${rest}`)),
  made('no signature', async ({ issuer }) => (await issuer.token(claims)).replace(/[^.]+$/, '')),
  made('a signature of zeros', async ({ issuer }) => (await issuer.token(claims)).replace(/[^.]+$/, Buffer.alloc(64).toString('base64url'))),
];

const keyIds: readonly Credential[] = [
  token('no key id', { header: { kid: undefined } }),
  token('an unknown key id', { header: { kid: 'other' } }),
  token('a path as key id', { header: { kid: '../../../../dev/null' } }),
  token('SQL as key id', { header: { kid: "x' UNION SELECT 'key" } }),
  token('a shell command as key id', { header: { kid: '$(id)' } }),
  token('a key id that is a list', { header: { kid: ['first'] } }),
  token('a key id that is empty', { header: { kid: '' } }),
  token('a key id of a prototype', { header: { kid: '__proto__' } }),
  ...(['jwk', 'x5c'] as const).map((member): Credential => made(`a key of its own (${member})`, async ({ issuer }) => {
    const own = await ownKey('first');
    return forged(issuer, { alg: 'ES256', kid: 'first', [member]: member === 'jwk' ? own.jwk : [Buffer.from('cert').toString('base64')] }, own.privateKey);
  })),
  ...(['jku', 'x5u'] as const).map((member): Credential => made(`the address of a key of its own (${member})`, async ({ issuer, stranger }) =>
    forged(issuer, { alg: 'ES256', kid: 'first', [member]: stranger.jwksUri }, stranger.published[0]!.privateKey))),
  token('the address of a key beside a good signature', { header: { jku: 'https://evil.test/keys' } }),
  made('a critical extension', async ({ issuer }) => {
    const [, body, signature] = (await issuer.token(claims)).split('.');
    return `${part({ alg: 'ES256', kid: 'first', crit: ['exp'], exp: 1 })}.${body}.${signature}`;
  }),
  token('an unencoded payload (b64)', { header: { crit: ['b64'], b64: true } }),
  token('a token made for logging out', { header: { typ: 'logout+jwt' } }),
];

const times: readonly Credential[] = [
  token('expired', { change: (jwt) => jwt.setExpirationTime(Math.floor(Date.now() / 1000) - 600) }),
  token('not valid yet', { change: (jwt) => jwt.setNotBefore(Math.floor(Date.now() / 1000) + 600) }),
  made('no expiry', ({ issuer }) => new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: 'first' }).setIssuer(issuer.url).setAudience('agentos').setSubject('usr_ann').sign(issuer.published[0]!.privateKey)),
  made('an expiry that is a text', (kit) => odd(kit, { exp: 'tomorrow' })),
  made('an expiry that is null', (kit) => odd(kit, { exp: null })),
  made('an expiry below zero', (kit) => odd(kit, { exp: -1 })),
  made('a beginning that is a text', (kit) => odd(kit, { nbf: 'now' })),
];

const parties: readonly Credential[] = [
  token('another audience', { change: (jwt) => jwt.setAudience('other') }),
  made('no audience', ({ issuer }) => new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: 'first' }).setIssuer(issuer.url).setSubject('usr_ann').setExpirationTime('5m').sign(issuer.published[0]!.privateKey)),
  token('another issuer', { change: (jwt) => jwt.setIssuer('https://evil.test') }),
  token('an issuer that only begins as ours does', { change: (jwt) => jwt.setIssuer('http://127.0.0.1') }),
  made('an audience that is an object', (kit) => odd(kit, { aud: { agentos: true } })),
  made('an issuer that is a list', (kit) => odd(kit, { iss: [kit.issuer.url] })),
  made('the token of an issuer that nobody configured', ({ stranger }) => stranger.token(claims)),
  made('the token of another issuer in our name', ({ issuer, stranger }) => stranger.token(claims, { change: (jwt) => jwt.setIssuer(issuer.url) })),
  made('no issuer', ({ issuer }) => new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: 'first' }).setAudience('agentos').setSubject('usr_ann').setExpirationTime('5m').sign(issuer.published[0]!.privateKey)),
];

const subjects: readonly Credential[] = [
  token('no tenant', { claims: { tenant_id: undefined } }),
  ...([['a list', ['tnt_demo']], ['an object', { tenant_id: 'tnt_demo' }], ['empty', ''], ['a number', 7], ['true', true], ['null', null], ['two in one', 'tnt_demo,tnt_other'], ['a path', '../tnt_demo'], ['padded', ' tnt_demo'], ['of 300 letters', 't'.repeat(300)]] as const)
    .map(([what, tenant_id]) => token(`a tenant that is ${what}`, { claims: { tenant_id } })),
  token('two tenants', { claims: { tid: 'tnt_other' } }),
  token('a principal that is a list', { claims: { principal_id: ['usr_ann'] } }),
  token('a principal with a line break', { claims: { principal_id: 'usr_ann\nusr_root' } }),
  made('no principal', ({ issuer }) => new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: 'first' }).setIssuer(issuer.url).setAudience('agentos').setExpirationTime('5m').sign(issuer.published[0]!.privateKey)),
];

const shapes: readonly Credential[] = [
  token('a token of 100 KB', { claims: { padding: 'x'.repeat(100_000) } }, [431, 'invalid_request']),
  token('a token of 15 KB that nobody signed', { claims: { padding: 'x'.repeat(10_000) }, header: { kid: 'other' } }),
  made('an encrypted token (JWE)', () => `${part({ alg: 'RSA-OAEP', enc: 'A256GCM', kid: 'first' })}.a.b.c.d`, IGNORED_IN_DEMO),
  made('a word', () => 'opaque', IGNORED_IN_DEMO),
  made('three dots', () => 'a.b.c'),
  made('nothing between the dots', () => '..'),
  made('a header that is a list', async ({ issuer }) => (await issuer.token(claims)).replace(/^[^.]+/, part(['ES256']))),
  made('claims that are a list', async ({ issuer }) => (await issuer.token(claims)).replace(/\.[^.]+\./, `.${part([claims])}.`)),
].map((each) => (each.expected === IGNORED_IN_DEMO ? { ...each, headers: async (kit: CredentialKit, service: ServiceName) => [...(await each.headers(kit, service)), ...NAMED] } : each));

const places: readonly Credential[] = [
  { name: 'two schemes in one header', expected: IGNORED_IN_DEMO, headers: async ({ issuer }) => [...NAMED, ['Authorization', `Bearer ${await issuer.token(claims)}, Basic dXNlcjpwYXNz`]] },
  { name: 'Authorization twice', expected: REFUSED, headers: async ({ issuer }) => [...NAMED, ['Authorization', `Bearer ${await issuer.token(claims)}`], ['Authorization', `Bearer ${await issuer.token(claims)}`]] },
  { name: 'Authorization twice, the second of another scheme', expected: REFUSED, headers: async ({ issuer }) => [...NAMED, ['Authorization', `Bearer ${await issuer.token(claims)}`], ['Authorization', 'Basic dXNlcjpwYXNz']] },
  { name: 'a token in the Basic scheme', expected: IGNORED_IN_DEMO, headers: async ({ issuer }) => [...NAMED, ['Authorization', `Basic ${await issuer.token(claims)}`]] },
  { name: 'a token as API key', expected: IGNORED_IN_DEMO, headers: async ({ issuer }) => [...NAMED, ['X-API-Key', await issuer.token(claims)]] },
  { name: 'a key beside a token', expected: REFUSED, headers: async ({ issuer, keys }) => [['X-API-Key', keys.good], ...bearer(await issuer.token(claims))] },
  { name: 'a key in both places', expected: REFUSED, headers: async ({ keys }) => [['X-API-Key', keys.good], ...bearer(keys.good)] },
  { name: 'two keys', expected: REFUSED, headers: async ({ keys }) => [['X-API-Key', keys.good], ['X-API-Key', keys.good]] },
  { name: 'a token in the query', expected: IGNORED_IN_DEMO, headers: async () => NAMED, query: async ({ issuer }) => `?access_token=${await issuer.token(claims)}` },
  { name: 'a token in a cookie', expected: IGNORED_IN_DEMO, headers: async ({ issuer }) => [...NAMED, ['Cookie', `access_token=${await issuer.token(claims)}`]] },
  { name: 'nothing but headers that name tenant, principal and scopes', expected: IGNORED_IN_DEMO, headers: async () => [...NAMED, ['X-Principal-Id', 'usr_root'], ['X-Scopes', 'runs:read policies:read tenants:admin']] },
];

const apiKeys: readonly Credential[] = [
  ...(['expired', 'revoked'] as const).map((state): Credential => ({ name: `an API key that is ${state}`, expected: REFUSED, headers: async ({ keys }) => [['X-API-Key', keys[state]]] })),
  { name: 'an API key with another secret', expected: REFUSED, headers: async ({ keys }) => [['X-API-Key', keys.good.slice(0, 36) + keys.revoked.slice(36)]] },
  { name: 'an API key that is cut off', expected: REFUSED, headers: async ({ keys }) => [['X-API-Key', keys.good.slice(0, -4)]] },
  { name: 'an API key with SQL in it', expected: REFUSED, headers: async () => [['X-API-Key', "aos_live_' OR '1'='1"]] },
];

const asService = (tenant: string): Parameters<typeof issueServiceToken>[1]['auth'] => ({ tenant_id: tenant, principal: { principal_id: 'usr_ann', principal_type: 'user' }, scopes: ['runs:read', 'policies:read'], roles: [] });
const OTHERS: Readonly<Record<ServiceName, ServiceName>> = { 'agent-orchestrator': 'model-policy', 'model-policy': 'federation', federation: 'agent-orchestrator' };

const serviceTokens: readonly Credential[] = [
  made('a service token for this service', ({ signingKey }, service) => issueServiceToken(serviceTokenKey(signingKey), { issuer: 'agentos-cli', audience: service, auth: asService('tnt_demo') }), SERVED),
  made('a service token for another service', ({ signingKey }, service) => issueServiceToken(serviceTokenKey(signingKey), { issuer: 'agent-orchestrator', audience: OTHERS[service], auth: asService('tnt_demo') })),
  made('a service token that nobody of us signed', (_kit, service) => issueServiceToken(serviceTokenKey('x'.repeat(48)), { issuer: 'agent-orchestrator', audience: service, auth: asService('tnt_demo') })),
  made("a token of the issuer in the service tokens' form", ({ issuer }) => issuer.token({ ...claims, auth: asService('tnt_demo') }, { header: { typ: 'agentos-service+jwt' } })),
];

const tenants: readonly Credential[] = [
  made('a token of a tenant that is suspended', ({ issuer, suspended }) => issuer.token({ ...claims, tenant_id: suspended }), [403, 'forbidden']),
  made('a token of a tenant that there is not', ({ issuer, absent }) => issuer.token({ ...claims, tenant_id: absent }), [403, 'tenant_unknown']),
  { name: 'the token of a user, and another tenant in the header', expected: [400, 'tenant_mismatch'], headers: async ({ issuer }) => [...bearer(await issuer.token(claims)), ['X-Tenant-Id', 'tnt_other']] },
  { name: 'the token of a service without the scope for it, and another tenant in the header', expected: [400, 'tenant_mismatch'], headers: async ({ issuer }) => [...bearer(await issuer.token({ ...claims, principal_type: 'service' })), ['X-Tenant-Id', 'tnt_other']] },
  { name: 'the token of a user with the scope for it, and another tenant in the header', expected: [400, 'tenant_mismatch'], headers: async ({ issuer }) => [...bearer(await issuer.token({ ...claims, scope: 'runs:read policies:read tenants:act-as' })), ['X-Tenant-Id', 'tnt_other']] },
  { name: 'an API key, and another tenant in the header', expected: [400, 'tenant_mismatch'], headers: async ({ keys }) => [['X-API-Key', keys.good], ['X-Tenant-Id', 'tnt_other']] },
  { name: 'a token, and a header that names no tenant', expected: [400, 'invalid_request'], headers: async ({ issuer }) => [...bearer(await issuer.token(claims)), ['X-Tenant-Id', "tnt'--"]] },
  { name: 'a token, and two tenants in the header', expected: [400, 'invalid_request'], headers: async ({ issuer }) => [...bearer(await issuer.token(claims)), ...NAMED, ...NAMED] },
];

/** What reads with a scope is refused a token that lacks it; where none is asked for, it is served. */
export const scopeless: readonly Credential[] = [
  token('a token without the scope', { claims: { scope: 'memory:read' } }, [403, 'forbidden']),
  token('a token without any', { claims: { scope: '' } }, [403, 'forbidden']),
  token('a token with a role that nobody knows', { claims: { scope: undefined, roles: ['root', '__proto__'] } }, [403, 'forbidden']),
  token('a token with scopes in the form of an object', { claims: { scope: { 'runs:read': true, 'policies:read': true } } }, [403, 'forbidden']),
];

export const credentials: readonly Credential[] = [...good, ...signatures, ...keyIds, ...times, ...parties, ...subjects, ...shapes, ...places, ...apiKeys, ...serviceTokens, ...tenants];
