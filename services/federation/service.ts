/** Federation, wired from adapters that somebody else has chosen: `compose.ts` for the running service, tests for theirs. */
import type { Logger } from 'pino';
import { operations } from '../../generated/handlers/federation.ts';
import type { Identity } from '../platform/auth/identity.ts';
import { openapiPathOf, SERVICE_VERSION } from '../platform/build-info.ts';
import { createHealth, type ReadinessCheck } from '../platform/http/health.ts';
import { createServer, type HttpParts, type ServerLimits, type ServerOptions, type ServiceServer } from '../platform/http/server.ts';
import type { TlsSource } from '../platform/http/tls-source.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import type { DirectoryPort } from '../platform/tenancy/directory.ts';
import { createHandlers, type ApiParts } from './api/index.ts';

export interface FederationParts extends Omit<ApiParts, 'health'> {
  /** Of this node; readiness asks it. */
  readonly models: { ping(signal: AbortSignal): Promise<void> };
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
  /** Null and absent: other nodes are not served. */
  readonly peers?: { readonly identity: Identity; readonly tls: TlsSource } | null;
}

export interface FederationServer extends ServiceServer {
  /** The listener for other nodes; it is to be told where to listen, and is closed with the other one. */
  readonly peers: ServiceServer | null;
}

/** What other nodes may ask for. Everything else is for this node's own callers, and does not exist there. */
const FOR_PEERS: ReadonlySet<string> = new Set(['forwardRun', 'getFederatedRun', 'cancelFederatedRun', 'streamFederatedRunEvents', 'ingestFederatedEvents', 'getPeerInfo', 'getPeerCapabilities', 'federationHealth']);

export function createFederation(parts: FederationParts): FederationServer {
  const { node, own, forwarding, runs, openRunEvents, ingest, models, directory, identity, metrics, log } = parts;
  const health = createHealth({
    service: 'federation', version: SERVICE_VERSION, metrics, log, metricsIdentity: parts.metricsIdentity ?? null, identity,
    checks: { ...parts.checks, 'model-policy': (signal) => models.ping(signal) },
  });
  const handlers = createHandlers({ node, own, forwarding, runs, openRunEvents, ingest, health });
  const common = {
    service: 'federation', handlers, directory, health, log, metrics,
    contractCheck: parts.contractCheck, openapiPath: openapiPathOf('federation'),
    ...(parts.limits === undefined ? {} : { limits: parts.limits }),
  };
  const callers = createServer({ ...common, operations, identity, ...parts.http });
  const peers = parts.peers == null ? null : createPeersServer(common, parts.peers, parts.http);
  const closeCallers = callers.close;
  return Object.assign(callers, {
    peers,
    close: async () => {
      await Promise.all([closeCallers(), peers?.close()]);
    },
  });
}

/**
 * The listener for other nodes. Whoever gets through its handshake has a certificate of the authority, so addresses are
 * not counted: many tenants come from one, and none may use up what is there for the others.
 */
function createPeersServer(common: Omit<ServerOptions, 'operations' | 'identity'>, { identity, tls }: NonNullable<FederationParts['peers']>, http: HttpParts | undefined): ServiceServer {
  const server = createServer({
    ...common, identity, tls,
    operations: operations.filter((row) => FOR_PEERS.has(row.handledBy)),
    ...(http?.onRefused === undefined ? {} : { onRefused: http.onRefused }),
  });
  let { ca } = tls.current();
  tls.subscribe((next) => {
    if (next.ca === ca) return;
    ({ ca } = next);
    // Connections outlive their handshake. An authority that is trusted no more must not live on in those that it opened; others come back at once.
    server.server.closeAllConnections();
  });
  return server;
}
