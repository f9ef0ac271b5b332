/**
 * This gateway twice, on a durable Postgres each time.
 *
 *   off  no credential (demo), a rule set without rules, no budget, warnings only in the log. The ledger and the decision
 *        trace cannot be switched off: they are written here as well.
 *   on   prod mode with an API key; rules on personal data of every kind in both directions, terms, models and tokens; a
 *        budget of the tenant and of the caller in tokens and dollars; ledger, decision trace, and a log line a call.
 *
 * Both know two backends with a fallback from one to the other, as Portkey's configuration does.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { QuotaConfig } from '../../../generated/types/index.ts';
import { AUDIT_SCHEMA, auditMigrations } from '../../../services/platform/audit/audit-migrations.ts';
import { migrate } from '../../../services/platform/db/migrate.ts';
import { createDatabase } from '../../../services/platform/db/pool.ts';
import { createApiKey } from '../../../services/platform/auth/api-key.ts';
import { directoryMigrations } from '../../../services/platform/tenancy/directory-migrations.ts';
import { PostgresDirectory } from '../../../services/platform/tenancy/directory-postgres.ts';
import type { AuthContext } from '../../../services/platform/tenancy/auth-context.ts';
import { MODEL_POLICY_SCHEMA, modelPolicyMigrations } from '../../../services/model-policy/adapters/migrations/index.ts';
import { PostgresPolicyRules } from '../../../services/model-policy/adapters/policy-rules-postgres.ts';
import { DEFAULT_POLICY_ID } from '../../../services/model-policy/policy/default-rules.ts';
import type { PolicyRule } from '../../../services/model-policy/ports/policy-rules.ts';
import { builtEntry, freePort, stopProcess, untilReady } from '../node-under-test.ts';
import type { Contender, Surroundings } from './contenders.ts';
import { startPinned } from './pinned-process.ts';

const TENANTS = { off: 'tnt_bench_off', on: 'tnt_bench_on' } as const;
const PRINCIPAL = 'usr_bench';
/** Never reached, so that what is measured is the counting. */
const BUDGET = { window: 'day' as const, max_tokens: 1_000_000_000_000, max_cost_usd: 1_000_000_000 };
const QUOTAS: QuotaConfig = { models: { budgets: [{ scope: 'tenant', ...BUDGET }, { scope: 'principal', ...BUDGET }] } };
const RULES: Readonly<Record<'off' | 'on', readonly PolicyRule[]>> = {
  off: [],
  on: [
    { id: 'personal-data', kind: 'pii', types: ['email', 'phone', 'card', 'iban', 'ssn', 'ip', 'secret'], action: 'redact', direction: 'both' },
    { id: 'codenames', kind: 'terms', terms: ['project nightingale', 'operation sundial', 'blue harbour'], action: 'block', direction: 'both' },
    { id: 'models', kind: 'models', allow: ['bench-model', 'bench-spare'] },
    { id: 'size', kind: 'max_tokens', max: 8_000 },
  ],
};

export async function startModelPolicy(name: 'off' | 'on', around: Surroundings): Promise<Contender> {
  if (around.postgres === null) throw new Error('This gateway needs a database.');
  const { url, pid } = around.postgres;
  const folder = mkdtempSync(path.join(tmpdir(), 'agentos-bench-gateway-'));
  const port = await freePort();
  const models = path.join(folder, 'models.yaml');
  writeFileSync(models, modelsFile(around.upstreamPort));
  const log = openSync(path.join(folder, 'log.ndjson'), 'w');
  const secret = (file: string, text: string): string => {
    writeFileSync(path.join(folder, file), text, { mode: 0o600 });
    return path.join(folder, file);
  };
  // Before the start: prod wants to know somebody.
  const headers = await seed(name, url);
  const child = startPinned([...profile(), builtEntry('model-policy', 'main.js', process.env['BENCH_ROOT']), '--port', String(port)], {
    place: 'gateway', output: log,
    environment: {
      ...process.env,
      AGENTOS_MODE: name === 'on' ? 'prod' : 'demo',
      AGENTOS_CONTRACT_CHECK: 'off', AGENTOS_LOG_LEVEL: name === 'on' ? 'info' : 'warn', AGENTOS_ENV_FILE: '/dev/null', AGENTOS_STOP_GRACE_MS: '0',
      AGENTOS_SIGNING_KEY_FILE: secret('signing-key', randomBytes(48).toString('base64url')), DATABASE_URL_FILE: secret('database-url', url), AGENTOS_MODELS_FILE: models,
      AGENTOS_TRUSTED_PROXY: 'loopback', AGENTOS_DATA_DIR: path.join(folder, 'state'), AGENTOS_JOURNAL_DIR: path.join(folder, 'journal'),
      // Counted, and never reached.
      AGENTOS_QUOTA_INVOKE_QPS: '1000000', AGENTOS_EDGE_ADDRESS_QPS: '1000000', AGENTOS_EDGE_KEY_QPS: '1000000',
    },
  });
  const stop = async (): Promise<void> => {
    await stopProcess(child);
    closeSync(log);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await untilReady(`http://127.0.0.1:${port}/readyz`, child);
    return { name, port, path: '/v1/chat/completions', headers, pids: { gateway: child.pid!, postgres: pid }, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The tenant with what applies to it, and the headers by which its caller is known. */
async function seed(name: 'off' | 'on', url: string): Promise<Record<string, string>> {
  await migrate({ url, schema: AUDIT_SCHEMA, migrations: auditMigrations });
  await migrate({ url, schema: 'directory', migrations: directoryMigrations });
  await migrate({ url, schema: MODEL_POLICY_SCHEMA, migrations: modelPolicyMigrations });
  const database = await createDatabase({ url, applicationName: 'bench-gateway', max: 2 });
  const tenantId = TENANTS[name];
  const auth: AuthContext = { tenant_id: tenantId, principal: { principal_id: PRINCIPAL, principal_type: 'user' }, scopes: [] };
  try {
    const directory = new PostgresDirectory(database.pool);
    await directory.createTenant(auth, { tenant_id: tenantId, ...(name === 'on' ? { quotas: QUOTAS } : {}) });
    await new PostgresPolicyRules(database.pool).put(auth, { policyId: DEFAULT_POLICY_ID, rules: RULES[name] });
    if (name === 'off') return { 'x-tenant-id': tenantId };
    const key = createApiKey({ tenantId, principalId: PRINCIPAL, principalType: 'user', scopes: ['models:invoke'], roles: [] });
    await directory.putPrincipal(auth, { tenantId, principalId: PRINCIPAL, principalType: 'user', displayName: 'Bench', roles: [] });
    await directory.putApiKey(auth, key.record);
    return { authorization: `Bearer ${key.secret}` };
  } finally {
    await database.close();
  }
}

function modelsFile(upstreamPort: number): string {
  const backend = { kind: 'openai_compatible', base_url: `http://127.0.0.1:${upstreamPort}/v1` };
  const model = { backend_model: 'bench-model', context_tokens: 128_000, price: { input_usd_per_mtok: 1, output_usd_per_mtok: 2 } };
  return JSON.stringify({
    backends: { first: backend, second: backend },
    models: [{ id: 'bench-model', backend: 'first', ...model }, { id: 'bench-spare', backend: 'second', ...model }],
    routing: { fallback: { 'bench-model': ['bench-spare'] } },
  });
}

function profile(): string[] {
  return process.env['BENCH_PROFILE_DIR'] ? ['--cpu-prof', `--cpu-prof-dir=${process.env['BENCH_PROFILE_DIR']}`] : [];
}
