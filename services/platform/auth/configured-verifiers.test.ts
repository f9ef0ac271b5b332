/** Issuers from variables and from the file: what is refused at the start, what a change of the file does, what is told. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { exportSPKI, generateKeyPair } from 'jose';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TokenIssuer } from '../../../conformance/harness/token-issuer.ts';
import { verifies } from '../../../conformance/http/verifies.ts';
import { ConfigError, loadConfig } from '../config/load.ts';
import type { Mode } from '../config/mode.ts';
import { createHealth } from '../http/health.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { configuredVerifiers, type ConfiguredVerifiers } from './configured-verifiers.ts';
import { ensureLocalIssuer } from './local-issuer.ts';

const silent = pino({ level: 'silent' });
const opened: ConfiguredVerifiers[] = [];
let folder: string;
let file: string;
let issuer: TokenIssuer;
beforeEach(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'agentos-issuers-'));
  file = path.join(folder, 'issuers.yaml');
  issuer = await new TokenIssuer().start();
});
afterEach(async () => {
  for (const verifiers of opened.splice(0)) await verifiers.close();
  await issuer.close();
  rmSync(folder, { recursive: true, force: true });
});

function open(env: Readonly<Record<string, string>>, mode: Mode = 'dev', metrics = createMetrics({ service: 'suite', process: false })): ConfiguredVerifiers {
  const { values } = loadConfig({ env: { AGENTOS_JWKS_COOLDOWN_SECONDS: '0.1', ...env }, envFile: null });
  const verifiers = configuredVerifiers(values, 'items', { mode, log: silent, metrics });
  opened.push(verifiers);
  return verifiers;
}
const ofFile = (issuers: unknown, mode?: Mode): ConfiguredVerifiers => {
  writeFileSync(file, JSON.stringify({ issuers }));
  return open({ AGENTOS_OIDC_ISSUERS_FILE: file }, mode);
};
const verified = async (verifiers: ConfiguredVerifiers, token: string): Promise<string> => verifiers.jwt!.verify(token).then((auth) => auth.tenant_id, (error: { code: string }) => error.code);

describe('issuers of the file', () => {
  it('speak for their tenants and for no others, each with its own keys', verifies(['PRS-10.1-06', 'PRS-15.1-01'], async () => {
    const other = await new TokenIssuer().start();
    try {
      const verifiers = ofFile([{ issuer: issuer.url, audience: 'agentos', tenants: ['tnt_demo', 'tnt_a'] }, { issuer: other.url, audience: ['x', 'agentos'], tenants: ['tnt_b'] }]);
      expect(await verified(verifiers, await issuer.token())).toBe('tnt_demo');
      expect(await verified(verifiers, await other.token({ tenant_id: undefined })), 'of one tenant, which it need not name').toBe('tnt_b');
      expect(await verified(verifiers, await issuer.token({ tenant_id: 'tnt_b' }))).toBe('unauthorized');
      expect(await verified(verifiers, await other.token({ tenant_id: 'tnt_demo' }))).toBe('unauthorized');
      expect(await verified(verifiers, await issuer.token({}, { key: { ...other.published[0]!, kid: 'first' } })), 'signed by the other').toBe('unauthorized');
    } finally {
      await other.close();
    }
  }));

  it('give nothing beyond one tenant unless the file says so', async () => {
    const token = await issuer.token({ scope: 'runs:read tenants:admin tenants:act-as', roles: ['platform_operator', 'tenant_user'] });
    expect(await ofFile([{ issuer: issuer.url, audience: 'agentos' }]).jwt!.verify(token)).toMatchObject({ scopes: ['runs:read'], roles: ['tenant_user'] });
    expect(await ofFile([{ issuer: issuer.url, audience: 'agentos', platform: true }]).jwt!.verify(token)).toMatchObject({ scopes: ['runs:read', 'tenants:admin', 'tenants:act-as'], roles: ['platform_operator', 'tenant_user'] });
  });

  it('change with the file, at once for tokens that were verified before; a file that cannot be used changes nothing', async () => {
    const verifiers = ofFile([{ issuer: issuer.url, audience: 'agentos', tenants: ['tnt_demo'] }]);
    const token = await issuer.token();
    expect(await verified(verifiers, token)).toBe('tnt_demo');
    writeFileSync(file, 'issuers: [{issuer: nowhere');
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(await verified(verifiers, token)).toBe('tnt_demo');
    writeFileSync(file, JSON.stringify({ issuers: [{ issuer: issuer.url, audience: 'agentos', tenants: ['tnt_other'] }] }));
    await expect.poll(() => verified(verifiers, token), { timeout: 10_000 }).toBe('unauthorized');
    expect(await verified(verifiers, await issuer.token({ tenant_id: 'tnt_other' }))).toBe('tnt_other');
    expect(issuer.asked['/keys'], 'what the change leaves alone is not asked again').toBe(1);
  });

  it('may have their keys in a file beside it', async () => {
    writeFileSync(path.join(folder, 'keys.json'), JSON.stringify({ keys: issuer.published.map((key) => key.jwk) }));
    const verifiers = ofFile([{ issuer: issuer.url, audience: 'agentos', jwks_file: 'keys.json' }]);
    expect(await verified(verifiers, await issuer.token())).toBe('tnt_demo');
    expect(issuer.asked).toEqual({});
    const next = await issuer.newKey('second');
    writeFileSync(path.join(folder, 'keys.json'), JSON.stringify({ keys: [next.jwk] }));
    await expect.poll(async () => verified(verifiers, await issuer.token({}, { key: next })), { timeout: 10_000 }).toBe('tnt_demo');
    expect(await verified(verifiers, await issuer.token())).toBe('unauthorized');
  });

  it.each<[string, unknown, RegExp]>([
    ['a misspelt member', [{ issuer: 'https://a.test', audience: 'x', jwks_url: 'https://a.test/keys' }], /jwks_url is not a known member; did you mean jwks_uri/],
    ['no audience', [{ issuer: 'https://a.test' }], /audience/],
    ['a symmetric algorithm', [{ issuer: 'https://a.test', audience: 'x', algorithms: ['HS256'] }], /algorithms/],
    ['an issuer twice', [{ issuer: 'https://a.test', audience: 'x' }, { issuer: 'https://a.test', audience: 'y' }], /stands here twice/],
    ['two places for keys', [{ issuer: 'https://a.test', audience: 'x', jwks_uri: 'https://a.test/keys', discovery: true }], /give one of the three/],
    ['no place for keys', [{ issuer: 'https://a.test', audience: 'x', discovery: false }], /has no keys/],
    ['a key file that there is not', [{ issuer: 'https://a.test', audience: 'x', jwks_file: 'none.json' }], /none\.json, cannot be used/],
    ['the name of the local issuer', [{ issuer: 'urn:agentos:local-issuer', audience: 'x' }], /issuer/],
    ['nobody', [], /issuers/],
  ])('are refused with %s', (_, issuers, why) => {
    expect(() => ofFile(issuers)).toThrow(why);
    expect(() => ofFile(issuers)).toThrow(ConfigError);
  });

  it('are refused without a file', () => {
    expect(() => open({ AGENTOS_OIDC_ISSUERS_FILE: path.join(folder, 'absent') })).toThrow(/AGENTOS_OIDC_ISSUERS_FILE names .*absent, which cannot be used/);
  });
});

describe('the issuer of the variables', () => {
  it('is found by its discovery document, by its JWKS, or has one key', async () => {
    const pair = await generateKeyPair('ES256', { extractable: true });
    expect(await verified(open({ AGENTOS_JWT_ISSUER: issuer.url }), await issuer.token())).toBe('tnt_demo');
    expect(await verified(open({ AGENTOS_JWT_ISSUER: issuer.url, AGENTOS_JWT_JWKS_URI: issuer.jwksUri }), await issuer.token())).toBe('tnt_demo');
    const one = open({ AGENTOS_JWT_ISSUER: issuer.url, AGENTOS_JWT_PUBLIC_KEY: await exportSPKI(pair.publicKey) });
    expect(await verified(one, await issuer.token({}, { key: { ...issuer.published[0]!, privateKey: pair.privateKey } }))).toBe('tnt_demo');
    expect(await verified(one, await issuer.token())).toBe('unauthorized');
    expect(one.checks, 'nothing of it can be away').toEqual({});
  });

  it.each<[Record<string, string>, RegExp]>([
    [{ AGENTOS_JWT_JWKS_URI: 'https://a.test/keys' }, /AGENTOS_JWT_ISSUER is not set/],
    [{ AGENTOS_JWT_ISSUER: 'acme' }, /no address to find its keys at/],
    [{ AGENTOS_JWT_ISSUER: 'https://a.test', AGENTOS_JWT_JWKS_URI: 'https://a.test/keys', AGENTOS_JWT_PUBLIC_KEY: 'x' }, /not both/],
    [{ AGENTOS_JWT_ISSUER: 'https://a.test', AGENTOS_JWT_ALGORITHMS: 'HS256' }, /AGENTOS_JWT_ALGORITHMS holds HS256/],
  ])('is refused as %j', (env, why) => {
    expect(() => open(env)).toThrow(why);
  });
});

describe('prod', () => {
  it('trusts no issuer of its own, and reads no keys over a line without TLS', verifies(['PRS-10-06'], async () => {
    const files = { keyFile: path.join(folder, 'key'), jwksFile: path.join(folder, 'jwks') };
    await ensureLocalIssuer(files);
    expect(open({ AGENTOS_LOCAL_ISSUER_FILE: files.jwksFile }).jwt, 'dev does').toBeDefined();
    expect(() => open({ AGENTOS_LOCAL_ISSUER_FILE: files.jwksFile }, 'prod')).toThrow(/prod trusts no issuer of its own/);
    expect(() => open({ AGENTOS_JWT_ISSUER: 'http://idp.test' }, 'prod')).toThrow(/without TLS/);
    expect(() => ofFile([{ issuer: 'http://idp.test', audience: 'x' }], 'prod')).toThrow(/without TLS/);
    expect(() => open({ AGENTOS_JWT_ISSUER: 'https://idp.test' }, 'prod')).not.toThrow();
  }));
});

/** Answers are remembered for a moment, so each question gets a health, and metrics, of its own. */
const askReadiness = async ({ checks }: ConfiguredVerifiers): Promise<unknown> =>
  createHealth({ service: 'suite', version: '1', checks, metrics: createMetrics({ service: 'suite', process: false }), log: silent }).readiness({} as never);

describe('an issuer that is away', () => {
  it('is told of by readiness and metrics and takes nothing out of service once its keys are known', verifies(['PRS-4.2-15'], async () => {
    const metrics = createMetrics({ service: 'suite', process: false });
    const verifiers = open({ AGENTOS_JWT_ISSUER: issuer.url, AGENTOS_JWKS_MAX_AGE_SECONDS: '0.2' }, 'dev', metrics);
    const readiness = async (): Promise<{ status: number; body: { checks: unknown } }> =>
      (await askReadiness(verifiers)) as never;
    const token = await issuer.token();
    expect(await readiness()).toMatchObject({ status: 200, body: { checks: [{ name: 'token-issuers', status: 'ok' }] } });
    expect(await verified(verifiers, token)).toBe('tnt_demo');
    issuer.away = true;
    await expect.poll(readiness, { timeout: 10_000 }).toMatchObject({ status: 200, body: { checks: [{ name: 'token-issuers', status: 'ok', detail: 'outdated' }] } });
    expect(await verified(verifiers, token)).toBe('tnt_demo');
    const text = await metrics.render();
    expect(text).toContain(`agentos_jwks_failing{issuer="${issuer.url}",service="suite"} 1`);
    expect(text).toContain(`agentos_jwks_keys{issuer="${issuer.url}",service="suite"} 1`);
    issuer.away = false;
    await expect.poll(async () => JSON.stringify((await readiness()).body), { timeout: 10_000 }).not.toContain('outdated');
  }));

  it('from the start makes the node not ready, until it is there', async () => {
    issuer.away = true;
    const metrics = createMetrics({ service: 'suite', process: false });
    const verifiers = open({ AGENTOS_JWT_ISSUER: issuer.url }, 'dev', metrics);
    const readiness = (): Promise<unknown> => askReadiness(verifiers);
    expect(await readiness()).toMatchObject({ status: 503, body: { checks: [{ name: 'token-issuers', status: 'unavailable', detail: 'unreachable' }] } });
    expect(await verified(verifiers, await issuer.token())).toBe('dependency_unavailable');
    issuer.away = false;
    await expect.poll(readiness, { timeout: 10_000 }).toMatchObject({ status: 200 });
  });
});
