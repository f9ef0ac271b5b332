/** Checks of who is let in, each on the small service of the pipeline's own tests; see mutant-checks.ts. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { exportSPKI, SignJWT } from 'jose';
import type { BuildUnderTest, Check } from './mutant-checks.ts';

const KEY = new TextEncoder().encode('a signing key of a mutant, which is long enough');
const AUTH = { tenant_id: 'tnt_demo', principal: { principal_id: 'usr_a', principal_type: 'user' as const }, scopes: ['runs:read'], roles: [] };

interface Under {
  readonly build: BuildUnderTest;
  readonly url: string;
  /** Stores a key of a tenant and answers its secret. */
  key(key?: { readonly tenantId?: string; readonly scopes?: readonly string[]; readonly expiresAt?: string; readonly revokedAt?: string }): Promise<string>;
  ask(path: string, headers: Readonly<Record<string, string>>): Promise<{ readonly status: number; readonly body: Readonly<Record<string, unknown>> }>;
}

async function withService(build: BuildUnderTest, options: Parameters<BuildUnderTest['startItemService']>[0], work: (under: Under) => Promise<void>): Promise<void> {
  const service = await build.startItemService({ makeIdentity: (directory) => build.createIdentity({ mode: 'dev', directory }), ...options });
  try {
    await work({
      build,
      url: service.url,
      async key({ tenantId = 'tnt_demo', scopes = ['runs:read'], expiresAt, revokedAt } = {}) {
        const made = build.createApiKey({ tenantId, principalId: 'svc_a', principalType: 'service', scopes: [...scopes], roles: [], expiresAt: expiresAt ?? null });
        await service.directory.putApiKey(null as never, { ...made.record, revokedAt: revokedAt ?? null });
        return made.secret;
      },
      async ask(path, headers) {
        const answer = await fetch(`${service.url}${path}`, { headers });
        return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
      },
    });
  } finally {
    await service.server.close();
  }
}

const past = (): string => new Date(Date.now() - 60_000).toISOString();

export const IDENTITY_CHECKS = {
  'a token for one service opens no other': async (build) => {
    const token = await build.issueServiceToken(KEY, { issuer: 'agent-orchestrator', audience: 'federation', auth: AUTH });
    await assert.rejects(async () => build.createServiceTokenVerifier(KEY, 'model-policy').verify(token), 'a token that was made for Federation opened Model Policy');
    assert.equal((await build.createServiceTokenVerifier(KEY, 'federation').verify(token)).tenant_id, 'tnt_demo');
  },

  "a token for somebody else's audience opens nothing": async (build) => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const issuer = 'https://issuer.test';
    const token = (audience: string): Promise<string> => new SignJWT({ tenant_id: 'tnt_demo', scope: 'runs:read' }).setProtectedHeader({ alg: 'ES256', kid: 'k' }).setIssuer(issuer).setAudience(audience).setSubject('usr_a').setIssuedAt().setExpirationTime('5m').sign(privateKey);
    const verifier = build.createJwtVerifier([{ issuer, audience: 'agentos', algorithms: ['ES256'], keys: { publicKeyPem: await exportSPKI(publicKey) } }]);
    assert.equal((await verifier.verify(await token('agentos'))).tenant_id, 'tnt_demo');
    await assert.rejects(async () => verifier.verify(await token('another-product')), 'a token for another product opened this one');
  },

  'a header may not name another tenant than the credential': (build) =>
    withService(build, {}, async ({ key, ask }) => {
      const secret = await key();
      assert.equal((await ask('/v1/items', { 'x-api-key': secret })).status, 200);
      const { status } = await ask('/v1/items', { 'x-api-key': secret, 'x-tenant-id': 'tnt_other' });
      assert.equal(status, 400, 'a key of one tenant acted for another because a header said so');
    }),

  'a scope that a credential lacks is missed': (build) =>
    withService(build, {}, async ({ key, ask }) => {
      assert.equal((await ask('/v1/items', { 'x-api-key': await key({ scopes: ['agents:read'] }) })).status, 403, 'a key without the scope was let in');
    }),

  'a suspended tenant is not served': (build) =>
    withService(build, {}, async ({ key, ask }) => {
      assert.equal((await ask('/v1/items', { 'x-api-key': await key({ tenantId: 'tnt_asleep' }) })).status, 403, 'a suspended tenant was served');
    }),

  'a spent key opens nothing': (build) =>
    withService(build, {}, async ({ key, ask }) => {
      for (const spent of [{ expiresAt: past() }, { revokedAt: past() }]) assert.equal((await ask('/v1/items', { 'x-api-key': await key(spent) })).status, 401, `a key was let in: ${Object.keys(spent).join()}`);
    }),

  'what a client writes of its own address counts for nothing': async (build) => {
    const { clientAddress } = build.parseTrustedProxies(['loopback']);
    assert.equal(clientAddress('127.0.0.1', '192.0.2.1, 203.0.113.7'), '203.0.113.7', 'an address that the client itself had written was believed');
  },

  'guessing at credentials is brought to a stop': (build) => {
    const limits = build.createEdgeLimits({ perAddress: null, perKey: null, refusals: { perSecond: 0.01, burst: 3 }, maxKeys: 100 });
    return withService(build, { edge: { ...build.OPEN_EDGE, limits, proxies: build.parseTrustedProxies(['loopback']) } }, async ({ ask }) => {
      const statuses = [];
      for (let guess = 0; guess < 5; guess += 1) statuses.push((await ask('/v1/items', { 'x-api-key': `aos_live_guess_${guess}`, 'x-forwarded-for': '203.0.113.7' })).status);
      assert.deepEqual(statuses, [401, 401, 401, 429, 429], 'guesses were answered without end');
    });
  },

  'administration is not where everybody is': (build) =>
    withService(build, { separateAdmin: true }, async ({ key, ask }) => {
      assert.equal((await ask('/v1/admin/items', { 'x-api-key': await key({ scopes: ['tenants:admin'] }) })).status, 404, 'the public listener served administration');
    }),
} satisfies Readonly<Record<string, Check>>;
