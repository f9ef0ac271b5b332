/** The environment of a test node: what `agentos up` would set, with ports, keys and database of its own. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServiceName } from './prism.ts';

export interface NodePlan {
  readonly ports: Readonly<Record<ServiceName, number>>;
  readonly urls: Readonly<Record<ServiceName, string>>;
  readonly env: Readonly<Record<string, string>>;
}

export interface PlanOptions {
  readonly databaseUrl: string;
  readonly ports: readonly number[];
  /** `demo` when absent. */
  readonly mode?: 'demo' | 'dev' | 'prod';
  /** On top of, and in place of, what the plan says. */
  readonly env?: Readonly<Record<string, string>>;
}

export function planNode(options: PlanOptions): NodePlan {
  const [agentOrchestrator, modelPolicy, federation] = options.ports as [number, number, number];
  const ports = { 'agent-orchestrator': agentOrchestrator, 'model-policy': modelPolicy, federation };
  const urls = {
    'agent-orchestrator': `http://127.0.0.1:${agentOrchestrator}`,
    'model-policy': `http://127.0.0.1:${modelPolicy}`,
    federation: `http://127.0.0.1:${federation}`,
  };
  const mode = options.mode ?? 'demo';
  return {
    ports,
    urls,
    env: {
      AGENTOS_MODE: mode,
      ...secretsOf(mode, { DATABASE_URL: options.databaseUrl, AGENTOS_SIGNING_KEY: options.env?.['AGENTOS_SIGNING_KEY'] ?? randomBytes(48).toString('base64') }),
      AGENTOS_HOST: '127.0.0.1',
      AGENTOS_AGENT_ORCHESTRATOR_PORT: String(ports['agent-orchestrator']),
      AGENTOS_MODEL_POLICY_PORT: String(ports['model-policy']),
      AGENTOS_FEDERATION_PORT: String(ports.federation),
      AGENTOS_AGENT_ORCHESTRATOR_URL: urls['agent-orchestrator'],
      AGENTOS_MODEL_POLICY_URL: urls['model-policy'],
      AGENTOS_FEDERATION_URL: urls.federation,
      AGENTOS_STOP_GRACE_MS: '0',
      AGENTOS_LOG_LEVEL: 'warn',
      // One folder for all, where processes that are killed leave something. Databases that are clones of one template have
      // the same ledger there, and leave each other's journals alone.
      AGENTOS_JOURNAL_DIR: join(tmpdir(), 'agentos-test-journals'),
      // Scenarios make hundreds of calls a second as one tenant; tests of quotas set quotas of their own.
      AGENTOS_QUOTA_RUN_CREATE_QPS: '10000',
      AGENTOS_QUOTA_RUN_CREATE_BURST: '10000',
      AGENTOS_QUOTA_CONCURRENT_RUNS: '10000',
      AGENTOS_QUOTA_INVOKE_QPS: '10000',
      // Two services have such a listener, each on a free port; which one is asked of them (TestNode.adminUrls).
      ...(mode === 'prod' ? { AGENTOS_ADMIN_PORT: '0', AGENTOS_TRUSTED_PROXY: 'loopback' } : { AGENTOS_DEFAULT_TENANT: 'tnt_demo' }),
      ...(mode === 'prod' ? Object.fromEntries(Object.entries(options.env ?? {}).filter(([name]) => name !== 'AGENTOS_SIGNING_KEY')) : options.env),
    },
  };
}

/** prod takes no secret from the environment itself: each stands in a file that its owner alone can read. And it signs its audit log. */
function secretsOf(mode: string, secrets: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  if (mode !== 'prod') return secrets;
  const folder = mkdtempSync(join(tmpdir(), 'agentos-node-secrets-'));
  const files = Object.entries(secrets).map(([name, value]): [string, string] => {
    const file = join(folder, name);
    writeFileSync(file, value, { mode: 0o600 });
    return [`${name}_FILE`, file];
  });
  return { ...Object.fromEntries(files), AGENTOS_DATA_DIR: join(folder, 'state') };
}
