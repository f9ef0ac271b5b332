/** Issuers of a running node: several of them, each for its tenants; their keys rotate, and they go away and come back. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, untilEnded, type Answer } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { TokenIssuer } from '../harness/token-issuer.ts';
import { verifies } from './verifies.ts';

const COOLDOWN_MS = 300;
const MAX_AGE_MS = 900;
let folder: string;
let file: string;
let acme: TokenIssuer;
let shared: TokenIssuer;
let node: TestNode;
const ao = (): string => node.urls['agent-orchestrator'];

const ISSUERS = (): readonly object[] => [
  { issuer: acme.url, audience: 'agentos', tenants: ['tnt_acme'], role_map: { 'acme-admins': ['tenant_admin'] } },
  { issuer: shared.url, audience: 'agentos', jwks_uri: shared.jwksUri, tenants: ['tnt_demo', 'tnt_beta'], tenant_claim: 'org.id', scope_claim: 'permissions', role_claim: 'realm_access.roles' },
];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'agentos-issuers-'));
  file = join(folder, 'issuers.yaml');
  [acme, shared] = await Promise.all([new TokenIssuer('RS256').start(), new TokenIssuer().start()]);
  writeFileSync(file, JSON.stringify({ issuers: ISSUERS() }));
  // Prod without a key in its directory: a real issuer is identity enough.
  node = await startNode({
    mode: 'prod',
    env: { AGENTOS_OIDC_ISSUERS_FILE: file, AGENTOS_JWKS_COOLDOWN_SECONDS: String(COOLDOWN_MS / 1_000), AGENTOS_JWKS_MAX_AGE_SECONDS: String(MAX_AGE_MS / 1_000) },
  });
  await node.database.asSuperuser((client) => client.query("INSERT INTO directory.tenants (tenant_id, name, plan_tier, status) VALUES ('tnt_acme', 'Acme', 'standard', 'active'), ('tnt_beta', 'Beta', 'standard', 'active')"));
  for (const tenant of ['tnt_acme', 'tnt_beta']) await node.agent(tenant, { agentId: 'agt_suite' });
});
afterAll(async () => {
  await node?.close();
  await Promise.all([acme?.close(), shared?.close()]);
  rmSync(folder, { recursive: true, force: true });
});

const as = (token: string, path = '/v1/runs', options: Parameters<typeof call>[2] = {}, base = ao()): Promise<Answer> =>
  call(base, path, { tenant: null, ...options, headers: { authorization: `Bearer ${token}`, ...options.headers } });
const status = async (token: string): Promise<number> => (await as(token)).status;
const ofAcme = (claims: Record<string, unknown> = {}, more: Parameters<TokenIssuer['token']>[1] = {}): Promise<string> => acme.token({ tenant_id: undefined, scope: 'runs:read', ...claims }, more);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('issuers of a file', () => {
  it('let their users in, each for its own tenants, under the claims that each has', verifies(['PRS-10.1-06', 'PRS-15.1-01'], async () => {
    const own = await as(await ofAcme());
    expect([own.status, own.body.tenant_id]).toEqual([200, 'tnt_acme']);
    expect(await status(await ofAcme({ tenant_id: 'tnt_demo' }))).toBe(401);
    for (const tenant of ['tnt_demo', 'tnt_beta']) {
      const answer = await as(await shared.token({ tenant_id: undefined, scope: undefined, org: { id: tenant }, permissions: ['runs:read'] }));
      expect([answer.status, answer.body.tenant_id]).toEqual([200, tenant]);
    }
    expect(await status(await shared.token({ org: { id: 'tnt_acme' }, permissions: ['runs:read'] }))).toBe(401);
  }));

  it('give roles, and these their scopes, in their own words', verifies(['PRS-10.1-07', 'PRS-10.1-01', 'PRS-10.1-02'], async () => {
    const admin = await ofAcme({ scope: 'openid email', groups: ['acme-admins', 'acme-all'] });
    const body = { agent_id: 'agt_made', name: 'Made', model_ref: 'tier:balanced' };
    expect((await as(admin, '/v1/agents', { body })).status).toBe(201);
    const user = await shared.token({ scope: undefined, org: { id: 'tnt_beta' }, realm_access: { roles: ['tenant_user', 'offline_access'] } });
    expect((await as(user, '/v1/agents')).status).toBe(200);
    expect((await as(user, '/v1/agents', { body: { ...body, agent_id: 'agt_made' } })).status).toBe(403);
  }));

  it('carry a run to its end, through every service', verifies(['PRS-10.1-06', 'PRS-15.1-02'], async () => {
    const token = await ofAcme({ scope: 'runs:create runs:read models:invoke' });
    const made = await as(token, '/v1/agents/agt_suite/runs', { body: { input: 'hello', idempotency_key: 'idem_1' } });
    expect(made.status, JSON.stringify(made.body)).toBe(201);
    expect((await untilEnded(ao(), made.body.run.run_id as string, { tenant: null, headers: { authorization: `Bearer ${token}` } })).status).toBe('completed');
  }));

  it('never reach beyond one tenant unless the file says so', verifies(['PRS-10.1-04', 'SEC-01'], async () => {
    const admin = node.adminUrls['agent-orchestrator'];
    const token = await ofAcme({ scope: 'tenants:admin runs:read', roles: ['platform_operator'], groups: ['platform_operator'], principal_type: 'service' });
    expect((await as(token, '/v1/admin/tenants', {}, admin)).status).toBe(403);
    const acting = await ofAcme({ scope: 'tenants:act-as runs:read', principal_type: 'service' });
    expect((await as(acting, '/v1/runs', { headers: { 'x-tenant-id': 'tnt_demo' } })).status).toBe(400);
  }));

  it('come and go with the file, without a restart', async () => {
    const late = await new TokenIssuer().start();
    try {
      const token = await late.token({ tenant_id: 'tnt_beta' });
      expect(await status(token)).toBe(401);
      writeFileSync(file, JSON.stringify({ issuers: [...ISSUERS(), { issuer: late.url, audience: 'agentos', tenants: ['tnt_beta'] }] }));
      await expect.poll(() => status(token), { timeout: 10_000 }).toBe(200);
      writeFileSync(file, JSON.stringify({ issuers: ISSUERS() }));
      await expect.poll(() => status(token), { timeout: 10_000 }).toBe(401);
      expect(await status(await ofAcme())).toBe(200);
    } finally {
      await late.close();
    }
  });
});

describe('keys that rotate', () => {
  it('are accepted after a cooldown, and the old ones refused, tokens that were served before too', verifies(['PRS-15.4-03'], async () => {
    const before = await ofAcme();
    expect(await status(before)).toBe(200);
    const next = await acme.newKey('second');
    acme.published = [...acme.published, next];
    const after = await ofAcme({}, { key: next });
    await expect.poll(() => status(after), { timeout: COOLDOWN_MS + 5_000, interval: 20 }).toBe(200);
    expect(await status(before), 'both are published').toBe(200);
    acme.published = [next];
    await expect.poll(() => status(before), { timeout: MAX_AGE_MS + 5_000, interval: 50 }).toBe(401);
    expect(await status(after)).toBe(200);
  }));

  it('are asked for once a cooldown, however many unknown ones a thousand tokens name', async () => {
    await pause(COOLDOWN_MS);
    const tokens = await Promise.all(Array.from({ length: 1_000 }, (_, index) => shared.token({}, { header: { kid: `unknown-${index}` } })));
    const [askedBefore, startedAt] = [shared.asked['/keys']!, performance.now()];
    for (let at = 0; at < tokens.length; at += 50) expect(new Set(await Promise.all(tokens.slice(at, at + 50).map(status)))).toEqual(new Set([401]));
    const cooldowns = Math.ceil((performance.now() - startedAt) / COOLDOWN_MS);
    // Three services look by themselves, for readiness and because keys age.
    expect(shared.asked['/keys']! - askedBefore).toBeLessThanOrEqual(cooldowns + 1);
  });
});

describe('an issuer that goes away', () => {
  it('leaves its users in, is told of by readiness and metrics, and nobody else notices', verifies(['PRS-4.2-15'], async () => {
    const known = await ofAcme();
    expect(await status(known)).toBe(200);
    acme.away = true;
    try {
      const readiness = async (): Promise<unknown> => (await call(ao(), '/readyz', { tenant: null })).body.checks.find((each: { name: string }) => each.name === 'token-issuers');
      await expect.poll(readiness, { timeout: 10_000 }).toMatchObject({ status: 'ok', detail: 'outdated' });
      await pause(MAX_AGE_MS);
      expect(await status(known)).toBe(200);
      expect(await status(await ofAcme({ n: 1 })), 'a token that nobody has seen yet').toBe(200);
      expect(await status(await shared.token({ org: { id: 'tnt_demo' }, permissions: 'runs:read' }))).toBe(200);
      const unknown = await as(await ofAcme({}, { header: { kid: 'not-seen-yet' } }));
      expect([unknown.status, unknown.body.error.code], 'nobody can say').toEqual([503, 'dependency_unavailable']);
      expect(unknown.headers.get('retry-after')).toMatch(/^\d+$/);
      const metrics = await as(known, '/metrics');
      expect(metrics.body).toContain(`agentos_jwks_failing{issuer="${acme.url}",service="agent-orchestrator"} 1`);
      expect(metrics.body).toContain(`agentos_jwks_failing{issuer="${shared.url}",service="agent-orchestrator"} 0`);
      acme.away = false;
      await expect.poll(readiness, { timeout: 10_000 }).not.toHaveProperty('detail');
    } finally {
      acme.away = false;
    }
  }));
});
