/**
 * A whole node in one test process: Agent Orchestrator with its worker, Model Policy and Federation, each from its own
 * compose.ts, on free ports with real sockets, over one real database. What differs from production is only that the
 * three share a process; `startProcesses` (processes.ts) is there where that matters.
 */
import { pino, type Logger } from 'pino';
import { ulid } from 'ulid';
import { loadConfig } from '../../services/platform/config/load.ts';
import type { RunningService } from '../../services/platform/http/lifecycle.ts';
import { call } from './client.ts';
import { testDatabase, type TestDatabase } from './database.ts';
import { planNode, type NodePlan, type PlanOptions } from './environment.ts';
import { freePorts } from './free-port.ts';
import { storeKeys } from './keys.ts';
import { nodeMigrations } from './migrations.ts';
import type { ServiceName } from './prism.ts';
import { putAgent, seedDatabase } from './seed.ts';
import type { AgentDefinition } from '../../services/agent-orchestrator/ports/agents.ts';

export interface TestNode {
  readonly urls: Readonly<Record<ServiceName, string>>;
  /** Where each service serves /v1/admin/: in prod a listener of its own, else its own address. */
  readonly adminUrls: Readonly<Record<ServiceName, string>>;
  readonly database: TestDatabase;
  /** Lines that the services logged as warnings or worse. */
  readonly logLines: readonly string[];
  /** Makes a tenant through the administration API and answers its id. */
  tenant(create?: Readonly<Record<string, unknown>>): Promise<string>;
  /** Gives a tenant an agent; what is left out is as in the demo agent. */
  agent(tenantId: string, definition: Partial<AgentDefinition> & Pick<AgentDefinition, 'agentId'>): Promise<void>;
  close(): Promise<void>;
}

export interface NodeOptions {
  readonly mode?: PlanOptions['mode'];
  readonly env?: Readonly<Record<string, string>>;
  /** Start only these. */
  readonly services?: readonly ServiceName[];
  /** A database to share with another node; it is not dropped at the end. */
  readonly database?: TestDatabase;
  /** Of Agent Orchestrator, Model Policy and Federation; free ones when absent. */
  readonly ports?: readonly number[];
}

type Compose = (config: ReturnType<typeof loadConfig>, log: Logger) => Promise<RunningService & { readonly url: string; readonly adminUrl?: string }>;

/** In the order of starting; stopping goes the other way round. */
const ORDER: readonly ServiceName[] = ['model-policy', 'agent-orchestrator', 'federation'];

async function composeOf(service: ServiceName): Promise<Compose> {
  return ((await import(`../../services/${service}/compose.ts`)) as { compose: Compose }).compose;
}

export async function startNode(options: NodeOptions = {}): Promise<TestNode> {
  const database = options.database ?? (await testDatabase({ migrations: nodeMigrations }));
  const running: RunningService[] = [];
  const logLines: string[] = [];
  const adminUrls: Record<ServiceName, string> = { 'agent-orchestrator': '', 'model-policy': '', federation: '' };
  const close = async (): Promise<void> => {
    for (const service of running.splice(0).reverse()) await service.close();
    if (options.database === undefined) await database.drop();
  };
  try {
    if (options.database === undefined) await seedDatabase(database.url);
    // Without an issuer, prod starts only where somebody holds a key already.
    if (options.database === undefined && options.mode === 'prod') await storeKeys(database.url, [{ principalId: 'svc_operator', scopes: ['tenants:admin'] }]);
    const plan = planNode({ databaseUrl: database.url, ports: options.ports ?? (await freePorts(3)), ...(options.mode === undefined ? {} : { mode: options.mode }), ...(options.env === undefined ? {} : { env: options.env }) });
    const config = loadConfig({ env: plan.env, envFile: null });
    for (const service of ORDER.filter((name) => options.services?.includes(name) ?? true)) {
      const log = pino({ level: plan.env['AGENTOS_LOG_LEVEL'] ?? 'warn', base: { service } }, { write: (line: string) => void logLines.push(line) });
      const started = await (await composeOf(service))(config, log);
      running.push(started);
      adminUrls[service] = started.adminUrl ?? started.url;
    }
    return { urls: plan.urls, adminUrls, database, logLines, tenant: (create) => makeTenant(plan, create), agent: (tenantId, definition) => putAgent(database.url, tenantId, definition), close };
  } catch (error) {
    await close().catch(() => {});
    throw new Error(`The test node did not start: ${(error as Error).message}${logLines.length === 0 ? '' : `\n${logLines.slice(-5).join('')}`}`, { cause: error });
  }
}

async function makeTenant(plan: NodePlan, create: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const tenantId = typeof create['tenant_id'] === 'string' ? create['tenant_id'] : `tnt_t${ulid().toLowerCase()}`;
  const answer = await call(plan.urls['agent-orchestrator'], '/v1/admin/tenants', {
    tenant: tenantId,
    headers: { 'x-scopes': 'tenants:admin' },
    body: { tenant_id: tenantId, name: 'A tenant of a test', plan_tier: 'standard', ...create },
  });
  if (answer.status !== 201) throw new Error(`The tenant could not be made: ${answer.status} ${JSON.stringify(answer.body)}`);
  return tenantId;
}
