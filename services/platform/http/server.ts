/**
 * The listener of a service: node:http, with Express as the router of everything that is not hot.
 *
 * Each request is matched once by our own router. An operation marked hot goes straight into the pipeline; every other
 * goes through Express, which routes it again by the contract's path and calls the same pipeline. With the contract
 * check on, all of them go through Express, where the referee stands. Whatever goes wrong on any of these ways — in
 * the HTTP parser, in routing, in a handler — is answered by the error model as JSON.
 */
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Identity } from '../auth/identity.ts';
import type { DirectoryPort } from '../tenancy/directory.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { createExpressApp } from './express-app.ts';
import { answerParserError, refuseAtTheEdge } from './edge.ts';
import { Exchange } from './exchange.ts';
import { MAX_BODY_BYTES } from './body.ts';
import type { Health } from './health.ts';
import { createPipeline } from './operation.ts';
import type { AnyHandler, ErrorShape, OperationRow } from './operation-types.ts';
import type { RateLimiter } from './rate-limiter.ts';
import { writeError } from './reply.ts';
import { createRouter, type RouteMatch, type Router } from './router.ts';
import { createStreamAdmission } from './stream-admission.ts';

export interface ServerLimits {
  readonly maxBodyBytes: number;
  readonly maxHeaderBytes: number;
  readonly maxConnections: number;
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  readonly maxStreams: number;
  readonly maxStreamsPerTenant: number;
  /** How long a right to read that was withdrawn may still be used by a stream that is open. */
  readonly rightsCheckMs: number;
  /** Between "not ready" and "not accepting", for load balancers to notice. 0 in tests. */
  readonly stopGraceMs: number;
  /** For requests under way to end, after the grace. */
  readonly drainMs: number;
}

export const DEFAULT_LIMITS: ServerLimits = {
  maxBodyBytes: MAX_BODY_BYTES,
  maxHeaderBytes: 16_384,
  maxConnections: 10_000,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  keepAliveTimeoutMs: 65_000,
  maxStreams: 10_000,
  maxStreamsPerTenant: 2_000,
  rightsCheckMs: 60_000,
  stopGraceMs: 2_000,
  drainMs: 20_000,
};

export interface ServerOptions {
  /** e.g. `agent-orchestrator`. */
  readonly service: string;
  /** The generated table. */
  readonly operations: readonly OperationRow[];
  /** By operationId. Every operation that is neither planned nor an alias needs one. */
  readonly handlers: Readonly<Record<string, AnyHandler>>;
  readonly identity: Identity;
  readonly directory: DirectoryPort;
  readonly health: Pick<Health, 'beginStopping'>;
  readonly rateLimiter?: RateLimiter | null;
  readonly limits?: Partial<ServerLimits>;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Let the referee judge every exchange; needs `openapiPath`. */
  readonly contractCheck?: boolean;
  /** `generated/openapi/<service>.json`. */
  readonly openapiPath?: string;
  /** Hold answers to their schemas by our own validators; on with `contractCheck`. */
  readonly checkAnswers?: boolean;
}

export interface ServiceServer {
  /** Resolves with the URL once the socket listens. Port 0 picks a free one. */
  listen(port: number, host?: string): Promise<string>;
  /** Not ready, grace, no more connections, streams ended, requests under way finished. Idempotent. */
  close(): Promise<void>;
  readonly url: string;
  readonly address: AddressInfo | null;
  readonly server: Server;
}

export function createServer(options: ServerOptions): ServiceServer {
  const limits: ServerLimits = { ...DEFAULT_LIMITS, ...options.limits };
  requireHandlers(options);
  const state: ServerState = { stopping: false, listeners: new Set() };
  const onRequest = requestListener(options, limits, state);
  const server = createHttpServer({ maxHeaderSize: limits.maxHeaderBytes, requireHostHeader: false, connectionsCheckingInterval: Math.min(1_000, limits.headersTimeoutMs) }, onRequest);
  server.headersTimeout = limits.headersTimeoutMs;
  server.requestTimeout = limits.requestTimeoutMs;
  server.keepAliveTimeout = limits.keepAliveTimeoutMs;
  server.maxConnections = limits.maxConnections;
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => answerParserError(error, socket));
  server.on('checkExpectation', onRequest);

  let closing: Promise<void> | null = null;
  const close = async (): Promise<void> => {
    options.health.beginStopping();
    if (server.listening) await stop(server, limits, state);
  };
  return {
    server,
    get address() {
      return server.address() as AddressInfo | null;
    },
    get url() {
      return urlOf(server);
    },
    listen: (port, host = '127.0.0.1') =>
      new Promise<string>((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, host, () => {
          server.off('error', reject);
          resolve(urlOf(server));
        });
      }),
    close: () => (closing ??= close()),
  };
}

interface ServerState {
  stopping: boolean;
  /** Exchanges in which somebody wants to hear that the server stops. */
  readonly listeners: Set<Exchange>;
}

function requestListener(options: ServerOptions, limits: ServerLimits, state: ServerState): (request: IncomingMessage, response: ServerResponse) => void {
  const contractCheck = options.contractCheck ?? false;
  const pipeline = createPipeline({
    handlers: options.handlers,
    identity: options.identity,
    directory: options.directory,
    rateLimiter: options.rateLimiter ?? null,
    streams: createStreamAdmission({ total: limits.maxStreams, perTenant: limits.maxStreamsPerTenant }),
    metrics: options.metrics,
    log: options.log,
    checkAnswers: options.checkAnswers ?? contractCheck,
    maxBodyBytes: limits.maxBodyBytes,
    rightsCheckMs: limits.rightsCheckMs,
  });
  const router = createRouter(options.operations);
  const app = createExpressApp({ operations: options.operations, pipeline, log: options.log, openapiPath: contractCheck ? requirePath(options) : null });

  return (request, response) => {
    const exchange = new Exchange(request, response, options.log, (listener) => {
      state.listeners.add(listener);
      response.once('close', () => state.listeners.delete(listener));
    });
    if (state.stopping) response.setHeader('connection', 'close');
    let match: RouteMatch;
    try {
      refuseAtTheEdge(request);
      match = router.match(request.method ?? 'GET', request.url ?? '/');
    } catch (error) {
      exchange.errorShape = shapeAt(router, request);
      const { status } = writeError(exchange, error);
      options.metrics.observeHttp({ operation: 'unmatched', method: request.method ?? '', status, durationSeconds: (performance.now() - exchange.startedAt) / 1000 });
      return;
    }
    if (match.row.hot && !contractCheck) void pipeline.serve(match, exchange, null);
    else app(match, exchange);
  };
}

/** What was refused before it was matched may still be on a path whose errors have a shape of their own. */
function shapeAt(router: Router, request: IncomingMessage): ErrorShape {
  try {
    return router.match(request.method ?? 'GET', request.url ?? '/').row.errorShape;
  } catch {
    return 'agentos';
  }
}

/** Grace, no more connections, streams ended, requests under way finished or, after their time, cut off. */
async function stop(server: Server, limits: ServerLimits, state: ServerState): Promise<void> {
  if (limits.stopGraceMs > 0) await sleep(limits.stopGraceMs);
  state.stopping = true;
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const exchange of state.listeners) if (exchange.response.headersSent && !exchange.endsByItself) exchange.abort('the server stops');
  // A connection that falls idle after this moment is closed by its answer's `connection: close`; sweeping catches
  // those whose answer had been begun before.
  server.closeIdleConnections();
  const sweep = setInterval(() => server.closeIdleConnections(), 50);
  const deadline = setTimeout(() => {
    for (const exchange of state.listeners) exchange.abort('the server stops');
    server.closeAllConnections();
  }, limits.drainMs);
  await closed;
  clearInterval(sweep);
  clearTimeout(deadline);
}

function urlOf(server: Server): string {
  const address = server.address() as AddressInfo | null;
  if (address === null) throw new Error('The server does not listen.');
  const host = address.address === '::' || address.address === '0.0.0.0' ? '127.0.0.1' : address.address;
  return `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`;
}

function requireHandlers(options: ServerOptions): void {
  const missing = options.operations.filter((row) => !row.planned && options.handlers[row.handledBy] === undefined).map((row) => row.operationId);
  if (missing.length > 0) throw new Error(`${options.service} has no handler for ${missing.join(', ')}.`);
}

function requirePath(options: ServerOptions): string {
  if (options.openapiPath === undefined) throw new Error('The contract check needs openapiPath: generated/openapi/<service>.json.');
  return options.openapiPath;
}
