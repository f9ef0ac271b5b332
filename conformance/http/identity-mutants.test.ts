/**
 * Whether the checks of identity would notice: each promise is broken once, in a build of its own. What stands here is
 * asked of the product first, then of the mutant, which must fail it.
 */
import assert from 'node:assert/strict';
import { SignJWT, decodeProtectedHeader } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildForTest, type Replacement, type TestBuild } from '../harness/builds.ts';
import { TokenIssuer } from '../harness/token-issuer.ts';
import type * as UnderTest from '../vectors/jwt-under-test.ts';
import { verifies } from './verifies.ts';

const ENTRY = 'conformance/vectors/jwt-under-test.ts';
const AUTH_FOLDER = 'services/platform/auth';
const AUTH = { tenant_id: 'tnt_demo', principal: { principal_id: 'usr_ann', principal_type: 'user' as const }, scopes: ['runs:read'], roles: [] };
const SECRET = 'a signing key of the suite, long enough for its use';
type Build = typeof UnderTest;

let issuer: TokenIssuer;
beforeAll(async () => {
  issuer = await new TokenIssuer().start();
});
afterAll(() => issuer?.close());

function issuersOf(build: Build, claims?: object) {
  const ring = new build.KeyRing();
  ring.use({ keys: issuer.published.map((key) => key.jwk) });
  const source = { find: async (kid: string | undefined, alg: 'ES256') => ring.find(kid ?? '', alg), isFresh: () => true, state: () => null, refresh: async () => undefined, close: async () => undefined };
  const set = new build.IssuerSet([{ issuer: issuer.url, audience: 'agentos', algorithms: ['ES256'], keys: { source: source as never }, ...(claims === undefined ? {} : { claims: claims as never }) }]);
  return { ring, set };
}
const refused = async (work: () => unknown, what: string): Promise<void> => assert.rejects(async () => work(), { code: 'unauthorized' }, what);

interface Mutant {
  readonly name: string;
  readonly replacements: readonly Replacement[];
  readonly check: (build: Build) => Promise<void>;
}

const one = (file: string, find: string, replace: string): readonly Replacement[] => [{ file: `${AUTH_FOLDER}/${file}`, find, replace }];

const MUTANTS: readonly Mutant[] = [
  {
    name: 'audience of service tokens',
    replacements: one('service-token.ts', "algorithms: ['HS256'], audience, typ", "algorithms: ['HS256'], typ"),
    async check(build) {
      const key = build.serviceTokenKey(SECRET);
      const token = await build.issueServiceToken(key, { issuer: 'agent-orchestrator', audience: 'model-policy', auth: AUTH });
      assert.deepEqual(await build.createServiceTokenVerifier(key, 'model-policy').verify(token), AUTH);
      await refused(() => build.createServiceTokenVerifier(key, 'agent-orchestrator').verify(token), 'a token for another service was taken');
    },
  },
  {
    name: 'name of service tokens (jti)',
    replacements: one('service-token.ts', "'iss', 'jti', 'auth'", "'iss', 'auth'"),
    async check(build) {
      const key = build.serviceTokenKey(SECRET);
      const { kid } = decodeProtectedHeader(await build.issueServiceToken(key, { issuer: 'a', audience: 'items', auth: AUTH }));
      const nameless = await new SignJWT({ auth: AUTH }).setProtectedHeader({ alg: 'HS256', typ: 'agentos-service+jwt', kid: kid! }).setIssuer('agentos:a').setAudience('items').setIssuedAt().setExpirationTime('30s').sign(key);
      await refused(() => build.createServiceTokenVerifier(key, 'items').verify(nameless), 'a token without a name was taken');
    },
  },
  {
    name: 'issuer of service tokens',
    replacements: one('service-token.ts', '!payload.iss!.startsWith(SERVICE_ISSUER_PREFIX) || ', ''),
    async check(build) {
      const key = build.serviceTokenKey(SECRET);
      const { kid } = decodeProtectedHeader(await build.issueServiceToken(key, { issuer: 'a', audience: 'items', auth: AUTH }));
      const foreign = await new SignJWT({ auth: AUTH }).setProtectedHeader({ alg: 'HS256', typ: 'agentos-service+jwt', kid: kid! }).setIssuer('https://evil.test').setAudience('items').setJti('j').setIssuedAt().setExpirationTime('30s').sign(key);
      await refused(() => build.createServiceTokenVerifier(key, 'items').verify(foreign), 'a token of nobody of us was taken');
    },
  },
  {
    name: 'audience of tokens',
    replacements: one('jwt-verifier.ts', "audience: typeof issuer.audience === 'string' ? issuer.audience : [...issuer.audience], ", ''),
    async check(build) {
      await refused(async () => issuersOf(build).set.verify(await issuer.token({}, { change: (jwt) => jwt.setAudience('other') })), 'a token for another audience was taken');
    },
  },
  {
    name: 'algorithms of an issuer',
    replacements: one('jwt-verifier.ts', '(issuer.algorithms as readonly string[]).includes(head.alg)', 'true'),
    async check(build) {
      const other = await new TokenIssuer('RS256').start();
      try {
        const ring = new build.KeyRing();
        ring.use({ keys: other.published.map((key) => key.jwk) });
        const source = { find: async (kid: string | undefined, alg: 'RS256') => ring.find(kid ?? '', alg), isFresh: () => true, state: () => null, refresh: async () => undefined, close: async () => undefined };
        const set = new build.IssuerSet([{ issuer: other.url, audience: 'agentos', algorithms: ['ES256'], keys: { source: source as never } }]);
        await refused(async () => set.verify(await other.token()), 'an algorithm that was not accepted was taken');
      } finally {
        await other.close();
      }
    },
  },
  {
    name: 'tenants of an issuer',
    replacements: one('claims.ts', 'if (rules.tenants !== null && !rules.tenants.has(tenantId))', 'if (false)'),
    async check(build) {
      await refused(async () => issuersOf(build, { tenants: new Set(['tnt_a', 'tnt_b']), roleMap: null, platform: false }).set.verify(await issuer.token()), 'a tenant of somebody else was taken');
    },
  },
  {
    name: 'form of a tenant',
    replacements: one('claims.ts', "typeof value === 'string' && TENANT_ID.test(value)", 'TENANT_ID.test(String(value))'),
    async check(build) {
      await refused(async () => issuersOf(build).set.verify(await issuer.token({ tenant_id: ['tnt_demo'] })), 'a list was taken for a tenant');
    },
  },
  {
    name: 'platform kept from issuers of tenants',
    replacements: one('claims.ts', 'rules.platform || !isPlatformScope(scope)', 'true'),
    async check(build) {
      const auth = await issuersOf(build, { tenants: null, roleMap: null, platform: false }).set.verify(await issuer.token({ scope: 'tenants:admin runs:read' }));
      assert.deepEqual(auth.scopes, ['runs:read']);
    },
  },
  {
    name: 'retirement of keys',
    replacements: one('issuer-keys.ts', 'if (!kept.has(key)) key.retired = true;', ';'),
    async check(build) {
      const { ring, set } = issuersOf(build);
      const token = await issuer.token();
      await set.verify(token);
      ring.use({ keys: [(await issuer.newKey('next')).jwk] });
      await refused(() => set.verify(token), 'a token whose key is withdrawn was taken, because it was remembered');
    },
  },
  {
    name: 'keys inside tokens',
    replacements: one('token-head.ts', 'if (KEYS_OF_ITS_OWN.some((name) => header[name] !== undefined))', 'if (false)'),
    async check(build) {
      await refused(async () => issuersOf(build).set.verify(await issuer.token({}, { header: { jku: 'https://evil.test/keys' } })), 'a token that brings a key was taken');
    },
  },
  {
    name: 'revocation of API keys',
    replacements: one('api-key.ts', '&& record.revokedAt === null', ''),
    async check(build) {
      const { record, secret } = build.createApiKey({ tenantId: 'tnt_demo', principalId: 'svc', principalType: 'service', scopes: [], roles: [] });
      const own = secret.slice(-32);
      assert.equal(build.isValidApiKey(record, own, Date.now()), true);
      assert.equal(build.isValidApiKey({ ...record, revokedAt: new Date().toISOString() }, own, Date.now()), false, 'a revoked key was taken');
    },
  },
];

describe('on the product', () => {
  let build: TestBuild;
  let product: Build;
  beforeAll(async () => {
    build = await buildForTest([ENTRY]);
    product = (await import(build.entry(ENTRY))) as Build;
  });
  afterAll(() => build.remove());

  it.each(MUTANTS.map((mutant) => [mutant.name, mutant] as const))('%s', verifies(['SEC-01'], async (_name: string, { check }: Mutant) => check(product)));
});

describe('a mutant without its', () => {
  it.each(MUTANTS.map((mutant) => [mutant.name, mutant] as const))('%s is caught', async (_name, { replacements, check }) => {
    const build = await buildForTest([ENTRY], replacements);
    try {
      const mutant = (await import(build.entry(ENTRY))) as Build;
      await expect(check(mutant), 'the check did not notice').rejects.toThrow();
    } finally {
      build.remove();
    }
  });
});
