/** The catalogue of credentials (vectors/jwt.ts) against every service of a running node, in each of the three modes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureLocalIssuer, issueLocalToken } from '../../services/platform/auth/local-issuer.ts';
import { validators } from '../../generated/validators/schemas.js';
import { storeKeys } from '../harness/keys.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import type { ServiceName } from '../harness/prism.ts';
import { send } from '../harness/raw-http.ts';
import { TokenIssuer } from '../harness/token-issuer.ts';
import { credentials, scopeless, type Credential, type CredentialKit, type Mode } from '../vectors/jwt.ts';
import { verifies } from './verifies.ts';

/** One read a service; the first two ask for a scope, the last for none. */
const READS: ReadonlyArray<readonly [ServiceName, string]> = [['agent-orchestrator', '/v1/runs'], ['model-policy', '/v1/policies'], ['federation', '/v1/federation/peer']];
const SIGNING_KEY = 'a signing key of the suite, long enough for its use';
const PAST = '2020-01-01T00:00:00Z';

let folder: string;
let issuer: TokenIssuer;
let stranger: TokenIssuer;
let localFiles: { keyFile: string; jwksFile: string };
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'agentos-identity-'));
  localFiles = { keyFile: join(folder, 'key'), jwksFile: join(folder, 'jwks.json') };
  [issuer, stranger] = await Promise.all([new TokenIssuer().start(), new TokenIssuer().start(), ensureLocalIssuer(localFiles)]);
});
afterAll(async () => {
  await Promise.all([issuer?.close(), stranger?.close()]);
  rmSync(folder, { recursive: true, force: true });
});

describe.each<Mode>(['demo', 'dev', 'prod'])('in %s', (mode) => {
  let node: TestNode;
  let kit: CredentialKit;
  beforeAll(async () => {
    node = await startNode({
      mode,
      env: { AGENTOS_JWT_ISSUER: issuer.url, AGENTOS_SIGNING_KEY: SIGNING_KEY, ...(mode === 'prod' ? {} : { AGENTOS_LOCAL_ISSUER_FILE: localFiles.jwksFile }) },
    });
    const grant = { principalId: 'svc_suite', scopes: ['runs:read', 'policies:read'] };
    const [good, expired, revoked] = await storeKeys(node.database.url, [grant, { ...grant, expiresAt: PAST }, { ...grant, revokedAt: PAST }]);
    const { token: localToken } = await issueLocalToken(localFiles.keyFile, { audience: 'agentos', tenantId: 'tnt_demo', principalId: 'usr_local', principalType: 'user', scopes: [], roles: ['tenant_user'], lifetimeSeconds: 300 });
    await node.database.asSuperuser((client) => client.query("INSERT INTO directory.tenants (tenant_id, name, plan_tier, status) VALUES ('tnt_idle', 'Idle', 'standard', 'suspended')"));
    kit = { issuer, stranger, signingKey: SIGNING_KEY, localToken, keys: { good: good!, expired: expired!, revoked: revoked! }, suspended: 'tnt_idle', absent: 'tnt_absent' };
  });
  afterAll(() => node?.close());

  async function check(credential: Credential, reads: typeof READS): Promise<void> {
    const [status, code] = Array.isArray(credential.expected) ? credential.expected : (credential.expected as Readonly<Record<Mode, readonly [number, string | null]>>)[mode];
    for (const [service, path] of reads) {
      const query = (await credential.query?.(kit)) ?? '';
      const answer = await send(node.urls[service], { method: 'GET', path: `${path}${query}`, headers: await credential.headers(kit, service) });
      const body = JSON.parse(answer.body) as { error?: { code: string }; correlation_id: unknown };
      expect([answer.status, body.error?.code ?? null], `${service}: ${answer.body.slice(0, 300)}`).toEqual([status, code]);
      if (code === null) continue;
      expect(validators.ErrorResponse(structuredClone(body)), answer.body).toBe(true);
      expect(body.correlation_id).toEqual(expect.any(String));
      expect(answer.body).not.toMatch(/\n\s+at |node_modules|JOSE|ERR_J|\bSELECT\b|aos_live_[0-9A-Z]{26}_|eyJ/);
      if (status === 401) expect(answer.headers['www-authenticate']).toMatch(/Bearer/);
    }
  }

  it.each(credentials.map((each) => [each.name, each] as const))('%s', verifies(['SEC-01', 'PRS-4.3-01', 'PRS-4.3-12', 'PRS-4.3-13', 'PRS-10.1-06'], async (_name: string, credential: Credential) => check(credential, READS)));

  it.each(scopeless.map((each) => [each.name, each] as const))('%s', verifies(['PRS-10.1-01', 'PRS-10.1-07'], async (_name: string, credential: Credential) => check(credential, READS.slice(0, 2))));

  it('nobody was asked for keys but the issuers that are configured', () => {
    expect(stranger.asked).toEqual({});
  });

  it('no token and no key stands in the logs', () => {
    const logged = node.logLines.join('');
    for (const secret of [kit.localToken, kit.keys.good.slice(-32), SIGNING_KEY]) expect(logged).not.toContain(secret);
    expect(logged).not.toMatch(/eyJ[A-Za-z0-9_-]{20,}\./);
  });
});
