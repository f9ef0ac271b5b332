/**
 * Agent Orchestrator, wired from adapters that somebody else has chosen: `compose.ts` for the running service, tests
 * for theirs. A process is an API, a worker, or both; a worker alone serves health, readiness and metrics.
 */
import type { Logger } from 'pino';
import { operations } from '../../generated/handlers/agent-orchestrator.ts';
import type { Identity } from '../platform/auth/identity.ts';
import { SERVICE_VERSION, openapiPathOf } from '../platform/build-info.ts';
import { createHealth, type ReadinessCheck } from '../platform/http/health.ts';
import type { RateLimiter } from '../platform/http/rate-limiter.ts';
import { createServer, type ServerLimits, type ServiceServer } from '../platform/http/server.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import type { QuotaDefaults } from '../platform/tenancy/quotas.ts';
import type { PeerInformation } from './adapters/peer-information.ts';
import { createHandlers } from './api/index.ts';
import type { ModelPort } from './ports/model.ts';
import type { ToolPort } from './ports/tool.ts';
import { systemClock } from './runtime/retry.ts';
import { createRuns } from './runtime/runs.ts';
import { Worker, type WorkerOptions } from './runtime/worker.ts';
import type { Stores } from './stores.ts';
import { observeQueue, workerMetrics } from './telemetry.ts';
import { toolEntitlement } from './tenancy/quotas.ts';

export type Role = 'api' | 'worker' | 'all';

export interface OrchestratorParts {
  readonly role: Role;
  readonly stores: Stores;
  readonly model: ModelPort;
  readonly tools: ToolPort;
  readonly peers: PeerInformation;
  readonly identity: Identity;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly rateLimiter?: RateLimiter | null;
  readonly checks: Readonly<Record<string, ReadinessCheck>>;
  readonly metricsIdentity?: Identity | null;
  readonly quotaDefaults: QuotaDefaults;
  readonly implicitAgents: boolean;
  readonly idempotencyKeyRequired: boolean;
  readonly idempotencyTtlHours: number;
  readonly worker: Partial<WorkerOptions>;
  readonly contractCheck: boolean;
  readonly limits?: Partial<ServerLimits>;
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
  const worker = role === 'api' ? null : createWorker(parts);
  const health = createHealth({
    service: 'agent-orchestrator',
    version: SERVICE_VERSION,
    metrics,
    metricsIdentity: parts.metricsIdentity ?? null,
    checks: parts.checks,
  });
  const runs = createRuns({
    ...stores,
    quotaDefaults: parts.quotaDefaults,
    implicitAgents: parts.implicitAgents,
    idempotencyKeyRequired: parts.idempotencyKeyRequired,
    idempotencyTtlHours: parts.idempotencyTtlHours,
    abandon: (tenantId, runId) => worker?.abandon(tenantId, runId),
  });
  observeQueue(metrics, stores.queue);
  const server = createServer({
    service: 'agent-orchestrator',
    operations: role === 'worker' ? operations.filter((row) => row.tenancy === 'none') : operations,
    handlers: createHandlers({ ...stores, runs, peers: parts.peers, health }),
    identity: parts.identity,
    directory: stores.directory,
    health,
    log,
    metrics,
    rateLimiter: parts.rateLimiter ?? null,
    contractCheck: parts.contractCheck && role !== 'worker',
    openapiPath: openapiPathOf('agent-orchestrator'),
    ...(parts.limits === undefined ? {} : { limits: parts.limits }),
  });
  worker?.start();
  return {
    server,
    worker,
    async close(drainMs = DRAIN_MS) {
      await Promise.all([server.close(), worker?.stop(drainMs)]);
    },
  };
}

function createWorker({ stores, model, tools, log, metrics, worker }: OrchestratorParts): Worker {
  const { runState, events, directory, queue } = stores;
  const executor = {
    runState,
    events,
    model,
    tools,
    entitlement: async (work: { readonly auth: Parameters<typeof directory.getTenant>[0]; readonly tenantId: string }) => toolEntitlement(await directory.getTenant(work.auth, work.tenantId)),
    clock: systemClock,
    log,
  };
  return new Worker(queue, executor, worker, workerMetrics(metrics));
}
