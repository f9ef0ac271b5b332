/** Model Policy, wired from adapters that somebody else has chosen: `compose.ts` for the running service, tests for theirs. */
import type { Logger } from 'pino';
import { operations } from '../../generated/handlers/model-policy.ts';
import type { AuditPort } from '../platform/audit/audit.ts';
import type { Identity } from '../platform/auth/identity.ts';
import { openapiPathOf, SERVICE_VERSION } from '../platform/build-info.ts';
import { createHealth, type ReadinessCheck } from '../platform/http/health.ts';
import type { RateLimiter } from '../platform/http/rate-limiter.ts';
import { createServer, type HttpParts, type ServerLimits, type ServiceServer } from '../platform/http/server.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import type { DirectoryPort } from '../platform/tenancy/directory.ts';
import { createHandlers } from './api/index.ts';
import type { Backends } from './backends.ts';
import { BackendHealth } from './engine/backend-health.ts';
import { Accounts } from './engine/accounts.ts';
import { DecisionTraces } from './engine/decision-trace.ts';
import { createEngine } from './engine/engine.ts';
import { watchBudgets } from './engine/budget-metrics.ts';
import { watchRouting } from './engine/routing-metrics.ts';
import { createMetricsObserver } from './engine/metrics-observer.ts';
import { Repeats } from './engine/repeats.ts';
import type { PolicyRulesPort } from './ports/policy-rules.ts';
import type { DecisionsPort } from './ports/decisions.ts';
import type { UsagePort } from './ports/usage.ts';
import type { Canaries } from './router/canaries.ts';
import { createRouter } from './router/router.ts';

export interface ModelPolicyParts {
  readonly backends: Backends;
  readonly directory: DirectoryPort;
  readonly rules: PolicyRulesPort;
  readonly usage: UsagePort;
  readonly decisions: DecisionsPort;
  readonly canaries: Canaries;
  readonly audit: AuditPort;
  readonly identity: Identity;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly rateLimiter?: RateLimiter | null;
  /** Beside the backends. */
  readonly checks: Readonly<Record<string, ReadinessCheck>>;
  readonly metricsIdentity?: Identity | null;
  readonly contractCheck: boolean;
  readonly limits?: Partial<ServerLimits>;
  readonly http?: HttpParts;
}

export function createModelPolicy(parts: ModelPolicyParts): ServiceServer {
  const { backends, directory, rules, usage, decisions, canaries, identity, metrics, log } = parts;
  const observer = createMetricsObserver(metrics, log);
  const router = createRouter({ backends, canaries });
  watchBudgets(metrics, { usage, directory });
  watchRouting(metrics.registry, { backends, canaries, latency: router.latency });
  const engine = createEngine({ backends, directory, rules, router, traces: new DecisionTraces(decisions, log), observer, accounts: new Accounts(usage), repeats: new Repeats(usage) });
  const backendHealth = new BackendHealth(backends, metrics.registry, log);
  const health = createHealth({
    service: 'model-policy', version: SERVICE_VERSION, metrics, log, metricsIdentity: parts.metricsIdentity ?? null, identity,
    checks: { ...parts.checks, models: () => backendHealth.requireOne() },
  });
  return createServer({
    service: 'model-policy', operations, handlers: createHandlers({ engine, rules, usage, decisions, directory, health, backends, canaries, latency: router.latency, backendHealth, recorder: { audit: parts.audit, service: 'model-policy' } }),
    identity, directory, health, log, metrics, rateLimiter: parts.rateLimiter ?? null,
    contractCheck: parts.contractCheck, openapiPath: openapiPathOf('model-policy'),
    ...parts.http,
    ...(parts.limits === undefined ? {} : { limits: parts.limits }),
  });
}
