/** Federation, wired from adapters that somebody else has chosen: `compose.ts` for the running service, tests for theirs. */
import type { Logger } from 'pino';
import { operations } from '../../generated/handlers/federation.ts';
import type { Identity } from '../platform/auth/identity.ts';
import { openapiPathOf, SERVICE_VERSION } from '../platform/build-info.ts';
import { createHealth, type ReadinessCheck } from '../platform/http/health.ts';
import { createServer, type HttpParts, type ServerLimits, type ServiceServer } from '../platform/http/server.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import type { DirectoryPort } from '../platform/tenancy/directory.ts';
import type { NodeModelsSource } from './adapters/model-policy-models.ts';
import { createHandlers } from './api/index.ts';
import type { NodeLimits } from './peers/capabilities.ts';
import type { NodeIdentity } from './peers/identity.ts';

export interface FederationParts {
  readonly node: NodeIdentity;
  readonly nodeLimits: NodeLimits;
  readonly models: NodeModelsSource;
  readonly directory: DirectoryPort;
  readonly identity: Identity;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Beside Model Policy. */
  readonly checks: Readonly<Record<string, ReadinessCheck>>;
  readonly metricsIdentity?: Identity | null;
  readonly contractCheck: boolean;
  readonly limits?: Partial<ServerLimits>;
  readonly http?: HttpParts;
}

export function createFederation(parts: FederationParts): ServiceServer {
  const { node, models, directory, identity, metrics, log } = parts;
  const health = createHealth({
    service: 'federation', version: SERVICE_VERSION, metrics, log, metricsIdentity: parts.metricsIdentity ?? null, identity,
    checks: { ...parts.checks, 'model-policy': (signal) => models.ping(signal) },
  });
  return createServer({
    service: 'federation', operations, handlers: createHandlers({ node, limits: parts.nodeLimits, models, health }),
    identity, directory, health, log, metrics,
    contractCheck: parts.contractCheck, openapiPath: openapiPathOf('federation'),
    ...parts.http,
    ...(parts.limits === undefined ? {} : { limits: parts.limits }),
  });
}
