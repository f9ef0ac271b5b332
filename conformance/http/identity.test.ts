/** Who may call, outside demo mode: API keys, tokens of an issuer, and nothing else (PRS 4.3, 10.1; C-32, C-56, C-61). */
import { exportSPKI, generateKeyPair, SignJWT, type CryptoKey } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApiKey } from '../../services/platform/auth/api-key.ts';
import { createDatabase } from '../../services/platform/db/pool.ts';
import { PostgresDirectory } from '../../services/platform/tenancy/directory-postgres.ts';
import { SEED_AUTH } from '../../services/agent-orchestrator/seed.ts';
import { call, untilEnded, type Answer } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { verifies } from './verifies.ts';

const ISSUER = 'https://issuer.test';
let node: TestNode;
let key: string;
let privateKey: CryptoKey;
let otherKey: CryptoKey;
const ao = (): string => node.urls['agent-orchestrator'];

beforeAll(async () => {
  const pair = await generateKeyPair('ES256', { extractable: true });
  privateKey = pair.privateKey;
  otherKey = (await generateKeyPair('ES256')).privateKey;
  node = await startNode({
    mode: 'dev',
    env: { AGENTOS_JWT_ISSUER: ISSUER, AGENTOS_JWT_AUDIENCE: 'agentos', AGENTOS_JWT_PUBLIC_KEY: await exportSPKI(pair.publicKey), AGENTOS_METRICS_REQUIRE_AUTH: 'on' },
  });
  key = await storeKey(['runs:create', 'runs:read']);
});
afterAll(() => node?.close());

async function storeKey(scopes: readonly string[], expiresAt: string | null = null): Promise<string> {
  const made = createApiKey({ tenantId: 'tnt_demo', principalId: 'svc_suite', principalType: 'service', scopes: [...scopes], roles: [], expiresAt });
  const database = await createDatabase({ url: node.database.url, applicationName: 'suite', max: 1 });
  try {
    await new PostgresDirectory(database.pool).putApiKey(SEED_AUTH, made.record);
  } finally {
    await database.close();
  }
  return made.secret;
}

const as = (credential: Record<string, string>, path = '/v1/runs', options: Parameters<typeof call>[2] = {}): Promise<Answer> => call(ao(), path, { tenant: null, ...options, headers: { ...credential, ...options.headers } });
const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

async function token(claims: Record<string, unknown>, signer: CryptoKey = privateKey, change: (jwt: SignJWT) => SignJWT = (jwt) => jwt): Promise<string> {
  const jwt = new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: 'suite' }).setIssuer(ISSUER).setAudience('agentos').setIssuedAt().setExpirationTime('5m').setSubject('usr_ann');
  return change(jwt).sign(signer);
}

describe('without a credential', () => {
  it('headers that name a tenant, a principal and scopes are nothing', verifies(['SEC-01', 'PRS-4.3-01', 'PRS-3.1-04'], async () => {
    const answer = await as({ 'x-tenant-id': 'tnt_demo', 'x-principal-id': 'usr_platform_admin', 'x-scopes': 'tenants:admin runs:read' });
    expect([answer.status, answer.body.error.code]).toEqual([401, 'unauthorized']);
    expect(answer.headers.get('www-authenticate')).toMatch(/Bearer/);
    expect((await as({ 'x-tenant-id': 'tnt_demo', 'x-scopes': 'tenants:admin' }, '/v1/admin/tenants')).status).toBe(401);
  }));

  it('health is open and metrics are not, where configuration says so', verifies(['PRS-10-07', 'PRS-4.2-15'], async () => {
    expect((await as({}, '/healthz')).status).toBe(200);
    expect((await as({}, '/metrics')).status).toBe(401);
    expect((await as({ 'x-api-key': key }, '/metrics')).status).toBe(200);
  }));
});

describe('an API key', () => {
  it('names tenant, principal and scopes, in either header', verifies(['PRS-4.3-13', 'PRS-15.4-03'], async () => {
    for (const credential of [{ 'x-api-key': key }, bearer(key)]) {
      const answer = await as(credential, '/v1/agents/agt_sample_echo_v1/runs', { body: { input: 'hello' } });
      expect(answer.status, JSON.stringify(answer.body)).toBe(201);
      expect(answer.body.run.tenant_id).toBe('tnt_demo');
      expect((await untilEnded(ao(), answer.body.run.run_id as string, { tenant: null, headers: credential })).status, 'the service token between the services works').toBe('completed');
    }
    expect((await as({ 'x-api-key': key }, '/v1/agents')).status, 'a scope it does not have').toBe(403);
  }));

  it('that is wrong, expired or cut is refused', async () => {
    const expired = await storeKey(['runs:read'], new Date(Date.now() - 1_000).toISOString());
    const changed = `${key.slice(0, -2)}${key.endsWith('AA') ? 'BB' : 'AA'}`;
    for (const wrong of [expired, changed, key.slice(0, -4), 'aos_live_', 'aos_live_x_y']) {
      const answer = await as({ 'x-api-key': wrong });
      expect([answer.status, answer.body.error.code], wrong).toEqual([401, 'unauthorized']);
      expect(JSON.stringify(answer.body)).not.toContain(wrong.slice(-12));
    }
  });

  it('acts for its own tenant only', async () => {
    const answer = await as({ 'x-api-key': key, 'x-tenant-id': 'tnt_other' });
    expect([answer.status, answer.body.error.code]).toEqual([400, 'tenant_mismatch']);
  });
});

describe('a token', () => {
  it('names the tenant as tenant_id or tid and scopes in each of three ways', verifies(['PRS-4.3-12', 'RM-03'], async () => {
    const claims: Record<string, unknown>[] = [
      { tenant_id: 'tnt_demo', scope: 'runs:read' },
      { tid: 'tnt_demo', scopes: ['runs:read'] },
      { tid: 'tnt_demo', scp: ['runs:read'], principal_id: 'usr_bob' },
    ];
    for (const each of claims) expect((await as(bearer(await token(each)))).status, JSON.stringify(each)).toBe(200);
    expect((await as(bearer(await token({ tid: 'tnt_demo', scope: 'runs:create' })))).status).toBe(403);
  }));

  const good = { tenant_id: 'tnt_demo', scope: 'runs:read' };
  const wrong: ReadonlyArray<readonly [string, () => Promise<string>]> = [
    ['signed by somebody else', () => token(good, otherKey)],
    ['expired', () => token(good, privateKey, (jwt) => jwt.setExpirationTime(Math.floor(Date.now() / 1000) - 600))],
    ['not valid yet', () => token(good, privateKey, (jwt) => jwt.setNotBefore(Math.floor(Date.now() / 1000) + 600))],
    ['of another issuer', () => token(good, privateKey, (jwt) => jwt.setIssuer('https://else.test'))],
    ['for another audience', () => token(good, privateKey, (jwt) => jwt.setAudience('else'))],
    ['without a tenant', () => token({ scope: 'runs:read' })],
    ['with a tenant that is an array', () => token({ ...good, tenant_id: ['tnt_demo'] })],
    ['with an empty tenant', () => token({ ...good, tenant_id: '' })],
    ['changed', async () => { const [head, , tail] = (await token(good)).split('.'); return `${head}.${Buffer.from(JSON.stringify({ ...good, tenant_id: 'tnt_other' })).toString('base64url')}.${tail}`; }],
    ['without a signature (alg none)', async () => `${Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')}.${Buffer.from(JSON.stringify({ ...good, iss: ISSUER, aud: 'agentos', exp: 9_999_999_999 })).toString('base64url')}.`],
    ['of 12 KB', async () => `${'e'.repeat(12_000)}.e.e`],
  ];
  it.each(wrong)('%s is refused', verifies(['SEC-01', 'PRS-4.3-12'], async (_name: string, make: () => Promise<string>) => {
    const answer = await as(bearer(await make()));
    expect([answer.status, answer.body.error?.code]).toEqual([401, 'unauthorized']);
  }));

  it('in the query counts for nothing', async () => {
    expect((await as({}, `/v1/runs?access_token=${await token(good)}`)).status).toBeGreaterThanOrEqual(400);
  });

  it('beside a key is refused: two credentials', async () => {
    expect((await as({ 'x-api-key': key, ...bearer(await token(good)) })).status).toBe(401);
  });
});
