/** What production refuses (PRS 8.1, 10; C-48, C-80). */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApiKey } from '../../services/platform/auth/api-key.ts';
import { createDatabase } from '../../services/platform/db/pool.ts';
import { PostgresDirectory } from '../../services/platform/tenancy/directory-postgres.ts';
import { SEED_AUTH } from '../../services/agent-orchestrator/seed.ts';
import { call, untilEnded, type Answer } from '../harness/client.ts';
import { testDatabase } from '../harness/database.ts';
import { nodeMigrations } from '../harness/migrations.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import type { ServiceName } from '../harness/prism.ts';
import { verifies } from './verifies.ts';

let node: TestNode;
let secret: string;
beforeAll(async () => {
  node = await startNode({ mode: 'prod' });
  const key = createApiKey({ tenantId: 'tnt_demo', principalId: 'svc_suite', principalType: 'service', scopes: ['runs:create', 'runs:read', 'agents:read'], roles: [], expiresAt: null });
  secret = key.secret;
  const database = await createDatabase({ url: node.database.url, applicationName: 'suite', max: 1 });
  await new PostgresDirectory(database.pool).putApiKey(SEED_AUTH, key.record);
  await database.close();
});
afterAll(() => node?.close());

const ask = (path: string, options: Parameters<typeof call>[2] = {}): Promise<Answer> =>
  call(node.urls['agent-orchestrator'], path, { tenant: null, ...options, headers: { 'x-api-key': secret, ...options.headers } });

describe('prod', () => {
  it('knows nobody by headers', verifies(['SEC-01', 'PRS-10.1-06'], async () => {
    const answer = await call(node.urls['agent-orchestrator'], '/v1/runs', { headers: { 'x-scopes': 'runs:read' } });
    expect([answer.status, answer.body.error.code]).toEqual([401, 'unauthorized']);
  }));

  it('runs registered agents only, under a key', verifies(['PRS-4.3-04'], async () => {
    const unknown = await ask('/v1/agents/my-agent/runs', { body: { input: 'hello', idempotency_key: 'idem_1' } });
    expect([unknown.status, unknown.body.error.code]).toEqual([404, 'not_found']);
    const keyless = await ask('/v1/agents/agt_sample_echo_v1/runs', { body: { input: 'hello' } });
    expect([keyless.status, keyless.body.error.code]).toEqual([400, 'invalid_request']);
    const made = await ask('/v1/agents/agt_sample_echo_v1/runs', { body: { input: 'hello', idempotency_key: 'idem_2' } });
    expect(made.status, JSON.stringify(made.body)).toBe(201);
    expect((await untilEnded(node.urls['agent-orchestrator'], made.body.run.run_id as string, { tenant: null, headers: { 'x-api-key': secret } })).status).toBe('completed');
  }));

  it('shows metrics to nobody without a credential', verifies(['PRS-10-07'], async () => {
    for (const base of Object.values(node.urls)) expect((await call(base, '/metrics', { tenant: null })).status).toBe(401);
  }));
});

/** What a service says and answers when its process is started with exactly this environment. */
async function start(service: ServiceName, env: Readonly<Record<string, string>>): Promise<{ readonly code: number | null; readonly output: string }> {
  const child = spawn(process.execPath, ['--import', 'tsx', `services/${service}/main.ts`, '--port', '0'], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)), env: { PATH: process.env['PATH'] ?? '', AGENTOS_ENV_FILE: '/dev/null', ...env }, stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => { output += chunk.toString(); });
  const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
  const [code] = (await once(child, 'exit')) as [number | null];
  clearTimeout(timer);
  return { code, output };
}

describe('a service in prod', () => {
  const folder = mkdtempSync(join(tmpdir(), 'agentos-prod-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const file = (name: string, text: string, mode = 0o600): string => {
    writeFileSync(join(folder, name), text, { mode });
    chmodSync(join(folder, name), mode);
    return join(folder, name);
  };
  /** Safe but for its database, which is not there: whoever gets past the settings ends with another code than 3. */
  const safe: Readonly<Record<string, string>> = {
    AGENTOS_MODE: 'prod', AGENTOS_DATA_DIR: folder, AGENTOS_TRUSTED_PROXY: 'loopback', AGENTOS_JWT_ISSUER: 'https://issuer.test', AGENTOS_JWT_JWKS_URI: 'https://issuer.test/keys',
    AGENTOS_SIGNING_KEY_FILE: file('signing-key', 'k'.repeat(48)), DATABASE_URL_FILE: file('database-url', 'postgres://agentos:canary-pw@127.0.0.1:1/agentos'),
  };
  const unsafe: ReadonlyArray<readonly [what: string, variable: string, env: Readonly<Record<string, string>>, service?: ServiceName]> = [
    ['a default tenant', 'AGENTOS_DEFAULT_TENANT', { AGENTOS_DEFAULT_TENANT: 'tnt_demo' }],
    ['identity by headers', 'AGENTOS_ALLOW_DEV_HEADERS', { AGENTOS_ALLOW_DEV_HEADERS: 'on' }],
    ['implicit agents', 'AGENTOS_IMPLICIT_AGENTS', { AGENTOS_IMPLICIT_AGENTS: 'on' }, 'agent-orchestrator'],
    ['open metrics', 'AGENTOS_METRICS_REQUIRE_AUTH', { AGENTOS_METRICS_REQUIRE_AUTH: 'off' }],
    ['a store in memory', 'AGENTOS_STORE', { AGENTOS_STORE: 'memory' }, 'agent-orchestrator'],
    ['no signing key', 'AGENTOS_SIGNING_KEY', { AGENTOS_SIGNING_KEY_FILE: '' }],
    ['nowhere to sign the audit log', 'AGENTOS_DATA_DIR', { AGENTOS_DATA_DIR: '' }, 'agent-orchestrator'],
    ['a short signing key', 'AGENTOS_SIGNING_KEY', { AGENTOS_SIGNING_KEY_FILE: file('short', 'short') }],
    ['its signing key as plain text', 'AGENTOS_SIGNING_KEY', { AGENTOS_SIGNING_KEY: 'canary-'.repeat(8) }],
    ['a database password as plain text', 'DATABASE_URL', { DATABASE_URL: 'postgres://agentos:canary-pw@127.0.0.1:1/agentos' }],
    ['a provider key as plain text', 'OPENAI_API_KEY', { OPENAI_API_KEY: 'sk-canary-1' }, 'model-policy'],
    ['a secret file that the group may read', 'AGENTOS_SIGNING_KEY_FILE', { AGENTOS_SIGNING_KEY_FILE: file('for-the-group', 'k'.repeat(48), 0o640) }],
    ['a secret file that everybody may read', 'AGENTOS_SIGNING_KEY_FILE', { AGENTOS_SIGNING_KEY_FILE: file('for-everybody', 'k'.repeat(48), 0o604) }],
    ['neither TLS nor a proxy', 'AGENTOS_TLS_CERT_FILE', { AGENTOS_TRUSTED_PROXY: '' }],
    ['half of TLS', 'AGENTOS_TLS_KEY_FILE', { AGENTOS_TLS_CERT_FILE: file('tls.crt', 'x') }],
    ['a proxy that is everybody', 'AGENTOS_TRUSTED_PROXY', { AGENTOS_TRUSTED_PROXY: '0.0.0.0/0' }],
    ['keys of the issuer over plain HTTP', 'AGENTOS_JWT_JWKS_URI', { AGENTOS_JWT_JWKS_URI: 'http://issuer.test/keys' }],
    ['Vault over plain HTTP', 'VAULT_ADDR', { VAULT_ADDR: 'http://vault.internal:8200' }],
    ['peers without certificates', 'AGENTOS_PEERS_FILE', { AGENTOS_PEERS_FILE: file('peers.json', JSON.stringify({ peers: [{ stack_id: 'stk_b', endpoints: { 'agent-orchestrator_base_url': 'https://b.test', 'model-policy_base_url': 'https://b.test' } }] })) }],
  ];

  it.concurrent.for(unsafe)('with %s ends with exit code 3 and names %s', { timeout: 90_000 }, verifies(['PRS-10-06', 'PRS-8.1-08', 'PRS-10.2-02'], async ([, variable, env, service]: (typeof unsafe)[number]) => {
    const { code, output } = await start(service ?? 'federation', { ...safe, ...env });
    expect(code, output).toBe(3);
    expect(output).toMatch(new RegExp(`${variable}\\b`));
    expect(output, 'one setting is unsafe, one is named').not.toContain('unsafe settings');
    expect(output).not.toContain('canary');
  }));

  it.concurrent.each(['agent-orchestrator', 'model-policy', 'federation'] as const)('names everything at once, with what to set instead: %s', verifies(['PRS-10-06', 'PRS-8.1-08'], async (service: ServiceName) => {
    const { code, output } = await start(service, { AGENTOS_MODE: 'prod', AGENTOS_DATA_DIR: folder, AGENTOS_DEFAULT_TENANT: 'tnt_demo', AGENTOS_ALLOW_DEV_HEADERS: 'on', AGENTOS_IMPLICIT_AGENTS: 'on', AGENTOS_METRICS_REQUIRE_AUTH: 'off', OPENAI_API_KEY: 'sk-canary-1', DATABASE_URL: 'postgres://u:canary@127.0.0.1:1/x' });
    expect(code).toBe(3);
    const { msg } = JSON.parse(output.trim().split('\n').at(-1)!) as { msg: string };
    expect(msg).toMatch(/^prod refuses 9 unsafe settings:\n/);
    const named = msg.split('\n').slice(1).map((line) => line.trim().split(' ')[0]);
    expect(named).toEqual(['AGENTOS_DEFAULT_TENANT', 'AGENTOS_ALLOW_DEV_HEADERS', 'AGENTOS_IMPLICIT_AGENTS', 'AGENTOS_METRICS_REQUIRE_AUTH', 'AGENTOS_SIGNING_KEY', 'DATABASE_URL', 'OPENAI_API_KEY', 'AGENTOS_JWT_ISSUER', 'AGENTOS_TLS_CERT_FILE']);
    for (const line of msg.split('\n').slice(1)) expect(line).toMatch(/(Set|Unset|Write|Put) .+$/);
    expect(msg).not.toContain('canary');
  }), 90_000);

  it.concurrent('that refers to a secret manager which is away ends with exit code 4 and says so', async () => {
    const { code, output } = await start('model-policy', { ...safe, DATABASE_URL_FILE: '', DATABASE_URL: 'vault://secret/agentos#url', VAULT_ADDR: 'http://127.0.0.1:1', VAULT_TOKEN_FILE: file('vault-token', 'hvs.canary') });
    expect(code, output).toBe(4);
    expect(output).toMatch(/DATABASE_URL \(vault: vault:\/\/secret\/agentos#url\) could not be read.+Bring Vault back/);
    expect(output).not.toContain('canary');
  }, 90_000);

  it.concurrent('with safe settings gets as far as its database', async () => {
    const { code, output } = await start('federation', safe);
    expect(code, output).toBe(1);
    expect(output).not.toMatch(/unsafe|canary/);
  }, 90_000);

  it.concurrent('without an issuer asks the directory, and refuses to start when nobody has a key', verifies(['PRS-10-06'], async () => {
    const database = await testDatabase({ migrations: nodeMigrations });
    try {
      const { code, output } = await start('federation', { ...safe, AGENTOS_JWT_ISSUER: '', AGENTOS_JWT_JWKS_URI: '', DATABASE_URL_FILE: file('real-database-url', database.url) });
      expect(code, output).toBe(3);
      expect(output).toMatch(/prod refuses an unsafe setting:.+AGENTOS_JWT_ISSUER is not set/);
    } finally {
      await database.drop();
    }
  }), 90_000);
});
