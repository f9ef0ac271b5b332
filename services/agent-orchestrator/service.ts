/**
 * Agent Orchestrator, wired from adapters that somebody else has chosen: `compose.ts` for the running service, tests
 * for theirs. A process is an API, a worker, or both; a worker alone serves health, readiness and metrics.
 */
import type { Logger } from 'pino';
import { operations } from '../../generated/handlers/agent-orchestrator.ts';
import type { Identity } from '../platform/auth/identity.ts';
import { SERVICE_VERSION, openapiPathOf } from '../platform/build-info.ts';
import { createHealth, type ReadinessCheck } from '../platform/http/health.ts';
import { EgressClient } from '../platform/egress/egress-client.ts';
import { EgressPolicy } from '../platform/egress/egress-policy.ts';
import type { RateLimiter } from '../platform/http/rate-limiter.ts';
import { createSecretBox, type KeyMaterial } from '../platform/secrets/secret-box.ts';
import { createServer, type HttpParts, type ServerLimits, type ServiceServer } from '../platform/http/server.ts';
import { requireContract } from '../platform/port.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import { createKeys } from '../platform/tenancy/keys.ts';
import { createRepeatableSecrets } from '../platform/tenancy/repeatable-secrets.ts';
import { createPrincipals } from '../platform/tenancy/principals.ts';
import type { QuotaDefaults } from '../platform/tenancy/quotas.ts';
import { TenantPurger } from '../platform/tenancy/tenant-purge.ts';
import { createTenants } from '../platform/tenancy/tenants.ts';
import type { PeerInformation } from './adapters/peer-information.ts';
import { createHandlers } from './api/index.ts';
import { createMemory } from './memory/memory.ts';
import { MemorySweeper } from './memory/sweeper.ts';
import type { ModelPort } from './ports/model.ts';
import { openTools, type NodeTools } from './open-tools.ts';
import type { ToolPort } from './ports/tool.ts';
import type { RunWork } from './ports/run-state.ts';
import { cancelChildren } from './runtime/cancel-runs.ts';
import { Retention, type RetentionOptions } from './runtime/retention.ts';
import type { EndedRunObserver } from './runtime/executor.ts';
import { systemClock } from './runtime/retry.ts';
import { createAgents } from './runtime/agents.ts';
import { createRuns } from './runtime/runs.ts';
import { Worker, type WorkerOptions } from './runtime/worker.ts';
import type { Stores } from './stores.ts';
import { callSpans, endedRuns, observeQueue, retentionMetrics, stepMetrics, webhookMetrics, workerMetrics } from './telemetry.ts';
import { toolEntitlement } from './tenancy/quotas.ts';
import { deliverThrough } from './webhooks/attempt.ts';
import { DEFAULT_DISPATCHER_OPTIONS, WebhookDispatcher, type DispatcherOptions } from './webhooks/dispatcher.ts';
import { createSubscriptions } from './webhooks/subscriptions.ts';

export type Role = 'api' | 'worker' | 'all';

export interface OrchestratorParts {
  readonly role: Role;
  readonly stores: Stores;
  readonly model: ModelPort;
  readonly tools: ToolPort;
  /** How tenants see and change their tools; absent: with the tools that every node has. */
  readonly nodeTools?: Pick<NodeTools, 'catalog' | 'mcpServers'>;
  readonly peers: PeerInformation;
  readonly identity: Identity;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly rateLimiter?: RateLimiter | null;
  readonly checks: Readonly<Record<string, ReadinessCheck>>;
  readonly metricsIdentity?: Identity | null;
  readonly quotaDefaults: QuotaDefaults;
  /** The model_ref that memory asks for vectors; `tier:balanced` when absent. */
  readonly embeddingModelRef?: string;
  readonly implicitAgents: boolean;
  readonly idempotencyKeyRequired: boolean;
  readonly idempotencyTtlHours: number;
  readonly worker: Partial<WorkerOptions>;
  /** For so long a Model Policy that is away costs runs none of their attempts; 0 when absent. */
  readonly modelOutageGraceMs?: number;
  readonly retention?: Partial<RetentionOptions>;
  /** Hours in which a deleted tenant can be restored; 168 when absent. */
  readonly tenantDeletionGraceHours?: number;
  /** What secrets of keys derive from, so that each replica answers a repeat alike. Left out: each for itself. */
  readonly sealing?: KeyMaterial;
  /** The way out for webhooks; absent: to public addresses alone. */
  readonly egress?: EgressClient;
  readonly webhookDelivery?: Partial<DispatcherOptions>;
  readonly contractCheck: boolean;
  readonly limits?: Partial<ServerLimits>;
  readonly http?: HttpParts;
}

export interface Orchestrator {
  readonly server: ServiceServer;
  readonly worker: Worker | null;
  /** Not ready, no more claims; requests and runs under way get `drainMs`; leases are given back. */
  close(drainMs?: number): Promise<void>;
}

/** Long enough for a run that is nearly done, short enough to stay under a supervisor's patience. */
const DRAIN_MS = 3_000;

export function createOrchestrator(parts: OrchestratorParts): Orchestrator {
  const { role, stores, metrics, log } = parts;
  requireContracts(parts);
  const onEnded = endedRuns(metrics, log);
  const worker = role === 'api' ? null : createWorker(parts, onEnded);
  const health = createHealth({
    service: 'agent-orchestrator',
    version: SERVICE_VERSION,
    metrics,
    log,
    metricsIdentity: parts.metricsIdentity ?? null,
    identity: parts.identity,
    checks: parts.checks,
  });
  const runs = createRuns({
    ...stores,
    quotaDefaults: parts.quotaDefaults,
    implicitAgents: parts.implicitAgents,
    idempotencyKeyRequired: parts.idempotencyKeyRequired,
    idempotencyTtlHours: parts.idempotencyTtlHours,
    ...(worker === null ? {} : { seats: worker }),
    abandon: (tenantId, runId) => worker?.abandon(tenantId, runId),
    onEnded,
  });
  observeQueue(metrics, stores.queue);
  const egress = parts.egress ?? new EgressClient({ policy: new EgressPolicy() });
  const subscriptions = createSubscriptions({ webhooks: stores.webhooks, egress, timeoutMs: parts.webhookDelivery?.timeoutMs ?? DEFAULT_DISPATCHER_OPTIONS.timeoutMs });
  const dispatcher = role === 'api' ? null : new WebhookDispatcher({
    webhooks: stores.webhooks, deliver: deliverThrough(egress), log, onSettled: webhookMetrics(metrics),
    isServed: async (tenantId) => (await stores.directory.getTenant(null, tenantId))?.status === 'active',
  }, parts.webhookDelivery);
  const memories = createMemory({ ...stores, model: parts.model, quotaDefaults: parts.quotaDefaults, ...(parts.embeddingModelRef === undefined ? {} : { embeddingModelRef: parts.embeddingModelRef }) });
  const sweeper = role === 'api' ? null : new MemorySweeper(stores.memory, log);
  const { catalog, mcpServers } = parts.nodeTools ?? openTools({ registry: stores.toolRegistry, memory: memories, directory: stores.directory, egress, secrets: createSecretBox(undefined), log });
  const server = createServer({
    service: 'agent-orchestrator',
    operations: role === 'worker' ? operations.filter((row) => row.tenancy === 'none') : operations,
    handlers: createHandlers({ ...stores, ...administration(parts), runs, agentRules: createAgents(stores), subscriptions, memories, catalog, mcpServers, peers: parts.peers, health }),
    identity: parts.identity,
    directory: stores.directory,
    health,
    log,
    metrics,
    rateLimiter: parts.rateLimiter ?? null,
    contractCheck: parts.contractCheck && role !== 'worker',
    openapiPath: openapiPathOf('agent-orchestrator'),
    ...parts.http,
    ...(parts.limits === undefined ? {} : { limits: parts.limits }),
  });
  const retention = role === 'api' ? null : new Retention({ runState: stores.runState, clock: systemClock, log, onDeleted: retentionMetrics(metrics) }, parts.retention);
  const purger = role === 'api' ? null : new TenantPurger(stores.tenantPurge, log);
  worker?.start();
  retention?.start();
  dispatcher?.start();
  sweeper?.start();
  purger?.start();
  return {
    server,
    worker,
    async close(drainMs = DRAIN_MS) {
      await Promise.all([server.close(), worker?.stop(drainMs), dispatcher?.stop(drainMs), sweeper?.stop(), purger?.stop(), retention?.stop()]);
      if (parts.egress === undefined) await egress.close();
    },
  };
}

/** The week in which a deletion can be thought over. */
const DELETION_GRACE_HOURS = 168;

function administration({ stores: { directory }, quotaDefaults, sealing, tenantDeletionGraceHours: graceHours = DELETION_GRACE_HOURS }: OrchestratorParts) {
  return { tenants: createTenants(directory, { graceHours, quotaDefaults }), principals: createPrincipals(directory), keys: createKeys(directory, createRepeatableSecrets(sealing)) };
}

/** Before anything starts: a port that speaks another version fails here and not in somebody's run. */
function requireContracts({ stores, model, tools }: OrchestratorParts): void {
  const { runState, queue, events, agents, memory, directory, webhooks, audit } = stores;
  const ports = { 'run-state': runState, queue, events, agents, memory, directory, webhooks, audit, model, tool: tools };
  for (const [port, adapter] of Object.entries(ports)) requireContract(port, adapter.capabilities());
}

function createWorker({ stores, model, tools, log, metrics, worker, modelOutageGraceMs }: OrchestratorParts, onEnded: EndedRunObserver): Worker {
  const { runState, events, directory, queue } = stores;
  const executor = {
    runState,
    events,
    model,
    tools,
    cancelChildren: (work: RunWork) => cancelChildren({ ...stores, onEnded, abandon: (tenantId, runId) => created.abandon(tenantId, runId) }, work.auth, work.runId),
    entitlement: async (work: { readonly auth: Parameters<typeof directory.getTenant>[0]; readonly tenantId: string }) => toolEntitlement(await directory.getTenant(work.auth, work.tenantId)),
    clock: systemClock,
    modelOutageGraceMs,
    log,
    onEnded,
    onStep: stepMetrics(metrics),
    ...(metrics.tracing === null ? {} : { onCall: callSpans(metrics.tracing) }),
  };
  const created = new Worker(queue, executor, worker, workerMetrics(metrics));
  return created;
}
