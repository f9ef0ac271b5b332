/** The environment of a test node: what `agentos up` would set, with ports, keys and database of its own. */
import { randomBytes } from 'node:crypto';
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
      DATABASE_URL: options.databaseUrl,
      AGENTOS_HOST: '127.0.0.1',
      AGENTOS_AGENT_ORCHESTRATOR_PORT: String(ports['agent-orchestrator']),
      AGENTOS_MODEL_POLICY_PORT: String(ports['model-policy']),
      AGENTOS_FEDERATION_PORT: String(ports.federation),
      AGENTOS_AGENT_ORCHESTRATOR_URL: urls['agent-orchestrator'],
      AGENTOS_MODEL_POLICY_URL: urls['model-policy'],
      AGENTOS_FEDERATION_URL: urls.federation,
      AGENTOS_SIGNING_KEY: randomBytes(48).toString('base64'),
      AGENTOS_STOP_GRACE_MS: '0',
      AGENTOS_LOG_LEVEL: 'warn',
      // Scenarios make hundreds of calls a second as one tenant; tests of quotas set quotas of their own.
      AGENTOS_QUOTA_RUN_CREATE_QPS: '10000',
      AGENTOS_QUOTA_RUN_CREATE_BURST: '10000',
      AGENTOS_QUOTA_CONCURRENT_RUNS: '10000',
      AGENTOS_QUOTA_INVOKE_QPS: '10000',
      ...(mode === 'prod' ? {} : { AGENTOS_DEFAULT_TENANT: 'tnt_demo' }),
      ...options.env,
    },
  };
}
