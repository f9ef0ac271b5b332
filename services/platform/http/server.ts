/**
 * The listener of a service: node:http, with Express as the router of everything that is not hot.
 *
 * Each request is matched once by our own router. An operation marked hot goes straight into the pipeline; every other
 * goes through Express, which routes it again by the contract's path and calls the same pipeline. With the contract
 * check on, all of them go through Express, where the referee stands. Whatever goes wrong on any of these ways — in
 * the HTTP parser, in routing, in a handler — is answered by the error model as JSON.
 */
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerOptions as NodeServerOptions, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Identity } from '../auth/identity.ts';
import { Roster } from '../roster.ts';
import type { DirectoryPort } from '../tenancy/directory.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { createEdge, OPEN_EDGE, type Edge, type EdgeOptions } from './edge/edge.ts';
import { answerConnect, answerParserError } from './edge/malformed.ts';
import { createExpressApp } from './express-app.ts';
import { Exchange } from './exchange.ts';
import { MAX_BODY_BYTES } from './body.ts';
import type { Health } from './health.ts';
import { createPipeline, type Pipeline } from './operation.ts';
import type { AnyHandler, ErrorShape, OperationRow } from './operation-types.ts';
import type { RateLimiter } from './rate-limiter.ts';
import type { Refusal } from './refusal.ts';
import { writeError } from './reply.ts';
import { createRouter, type RouteMatch, type Router } from './router.ts';
import { createStreamAdmission } from './stream-admission.ts';
import type { TlsSource } from './tls-source.ts';

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
  /** Whose word on addresses is believed, which pages may read, how fast one may call; nothing of it when absent. */
  readonly edge?: EdgeOptions;
  /** Serve HTTPS; null and absent: HTTP. */
  readonly tls?: TlsSource | null;
  /** Serve what is under /v1/admin/ by `listenAdmin` alone. */
  readonly separateAdmin?: boolean;
  /** Told of every call that was refused for who made it; must not throw. */
  readonly onRefused?: (refusal: Refusal) => void;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Let the referee judge every exchange; needs `openapiPath`. */
  readonly contractCheck?: boolean;
  /** `generated/openapi/<service>.json`. */
  readonly openapiPath?: string;
  /** Hold answers to their schemas by our own validators; on with `contractCheck`. */
  readonly checkAnswers?: boolean;
}

/** What a service's compose decides about its listeners and hands through. */
export type HttpParts = Pick<ServerOptions, 'edge' | 'tls' | 'separateAdmin' | 'onRefused'>;

export interface ServiceServer {
  /** Resolves with the URL once the socket listens. Port 0 picks a free one. */
  listen(port: number, host?: string): Promise<string>;
  /** Likewise for administration, which then stands beside health, readiness and metrics alone; needs `separateAdmin`. */
  listenAdmin(port: number, host?: string): Promise<string>;
  /** Not ready, grace, no more connections, streams ended, requests under way finished. Idempotent. */
  close(): Promise<void>;
  readonly url: string;
  readonly address: AddressInfo | null;
  readonly server: Server;
}

const ADMINISTRATION = '/v1/admin/';

export function createServer(options: ServerOptions): ServiceServer {
  const limits: ServerLimits = { ...DEFAULT_LIMITS, ...options.limits };
  requireHandlers(options);
  const state: ServerState = { stopping: false, listeners: new Roster() };
  const edge = createEdge(options.edge ?? OPEN_EDGE);
  const pipeline = pipelineOf(options, limits, edge);
  const open = (belongs: (row: OperationRow) => boolean): Server => openListener(options, limits, edge, requestListener({ ...options, operations: options.operations.filter(belongs) }, pipeline, edge, state));
  const ofAdministration = (row: OperationRow): boolean => row.path.startsWith(ADMINISTRATION);
  const server = open((row) => options.separateAdmin !== true || !ofAdministration(row));
  const admin = options.separateAdmin === true ? open((row) => row.tenancy === 'none' || ofAdministration(row)) : null;
  const forgetTls = options.tls?.subscribe((next) => {
    for (const each of [server, admin]) (each as HttpsServer | null)?.setSecureContext(next);
  });

  let closing: Promise<void> | null = null;
  const close = async (): Promise<void> => {
    options.health.beginStopping();
    forgetTls?.();
    const listening = [server, admin].filter((each) => each?.listening === true) as Server[];
    if (listening.length > 0) await stop(listening, limits, state);
  };
  return {
    server,
    get address() {
      return server.address() as AddressInfo | null;
    },
    get url() {
      return urlOf(server, options.tls);
    },
    listen: (port, host) => listen(server, port, host, options.tls),
    listenAdmin(port, host) {
      if (admin === null) throw new Error('listenAdmin needs the option separateAdmin.');
      return listen(admin, port, host, options.tls);
    },
    close: () => (closing ??= close()),
  };
}

function openListener(options: ServerOptions, limits: ServerLimits, edge: Edge, onRequest: RequestListener): Server {
  const parsing: NodeServerOptions = { maxHeaderSize: limits.maxHeaderBytes, requireHostHeader: false, connectionsCheckingInterval: Math.min(1_000, limits.headersTimeoutMs) };
  const server = options.tls ? createHttpsServer({ ...parsing, ...options.tls.current(), handshakeTimeout: limits.headersTimeoutMs }, onRequest) : createHttpServer(parsing, onRequest);
  server.headersTimeout = limits.headersTimeoutMs;
  server.requestTimeout = limits.requestTimeoutMs;
  server.keepAliveTimeout = limits.keepAliveTimeoutMs;
  server.maxConnections = limits.maxConnections;
  server.on('connection', (socket) => edge.connected(socket));
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => answerParserError(error, socket));
  // Without a handshake there is nobody to tell: an answer would wait for one, and the connection with it, for ever.
  server.on('tlsClientError', (_error: Error, socket: Duplex) => socket.destroy());
  server.on('connect', (_request, socket) => answerConnect(socket));
  server.on('checkExpectation', onRequest);
  return server;
}

function listen(server: Server, port: number, host = '127.0.0.1', tls: TlsSource | null | undefined): Promise<string> {
  return new Promise<string>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve(urlOf(server, tls));
    });
  });
}

interface ServerState {
  stopping: boolean;
  /** Exchanges in which somebody wants to hear that the server stops. */
  readonly listeners: Roster<Exchange>;
}

type RequestListener = (request: IncomingMessage, response: ServerResponse) => void;

function pipelineOf(options: ServerOptions, limits: ServerLimits, edge: Edge): Pipeline {
  return createPipeline({
    handlers: options.handlers,
    identity: options.identity,
    directory: options.directory,
    rateLimiter: options.rateLimiter ?? null,
    streams: createStreamAdmission({ total: limits.maxStreams, perTenant: limits.maxStreamsPerTenant }),
    metrics: options.metrics,
    log: options.log,
    checkAnswers: options.checkAnswers ?? options.contractCheck ?? false,
    maxBodyBytes: limits.maxBodyBytes,
    rightsCheckMs: limits.rightsCheckMs,
    onAnswered: edge.left,
    ...(options.onRefused === undefined ? {} : { onRefused: options.onRefused }),
  });
}

function requestListener(options: ServerOptions, pipeline: Pipeline, edge: Edge, state: ServerState): RequestListener {
  const contractCheck = options.contractCheck ?? false;
  const router = createRouter(options.operations);
  const app = createExpressApp({ operations: options.operations, pipeline, log: options.log, openapiPath: contractCheck ? requirePath(options) : null });

  const onSignal = (exchange: Exchange): (() => void) => state.listeners.add(exchange);

  return (request, response) => {
    const exchange = new Exchange(request, response, options.log, onSignal);
    if (state.stopping) response.setHeader('connection', 'close');
    let match: RouteMatch;
    try {
      if (edge.enter(exchange)) return;
      match = router.match(request.method ?? 'GET', request.url ?? '/');
    } catch (error) {
      exchange.errorShape = shapeAt(router, request);
      const { status } = writeError(exchange, error);
      options.metrics.observeHttp({ operation: 'unmatched', method: request.method ?? '', status, durationSeconds: (performance.now() - exchange.startedAt) / 1000 });
      edge.left(exchange, status);
      return;
    }
    if (match.row.hot && !contractCheck) void pipeline.serve(match, exchange, null);
    else app(match, exchange);
  };
}

/** What was refused before it was matched may still be on a path whose errors have a shape of their own. */
function shapeAt(router: Router, request: IncomingMessage): ErrorShape {
  try {
    // An identifier that cannot be one says nothing about which path it stands in.
    const pathname = (request.url ?? '/').split('?')[0]!.split('/').map((segment) => (segment.includes('%') || segment.length > 256 ? 'x' : segment));
    return router.match(request.method ?? 'GET', pathname.join('/')).row.errorShape;
  } catch {
    return 'agentos';
  }
}

/** Grace, no more connections, streams ended, requests under way finished or, after their time, cut off. */
async function stop(servers: readonly Server[], limits: ServerLimits, state: ServerState): Promise<void> {
  if (limits.stopGraceMs > 0) await sleep(limits.stopGraceMs);
  state.stopping = true;
  const closed = Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
  const endWhatWaits = (): void => {
    for (const exchange of state.listeners) if (exchange.response.headersSent && !exchange.endsByItself) exchange.abort('the server stops');
    servers.forEach((server) => server.closeIdleConnections());
  };
  // A connection that falls idle after this moment is closed by its answer's `connection: close`; sweeping catches
  // those whose answer had been begun before, and the streams that a reader, told to come back, opened on one of them.
  endWhatWaits();
  const sweep = setInterval(endWhatWaits, 50);
  const deadline = setTimeout(() => {
    for (const exchange of state.listeners) exchange.abort('the server stops');
    for (const server of servers) server.closeAllConnections();
  }, limits.drainMs);
  await closed;
  clearInterval(sweep);
  clearTimeout(deadline);
}

function urlOf(server: Server, tls: TlsSource | null | undefined): string {
  const address = server.address() as AddressInfo | null;
  if (address === null) throw new Error('The server does not listen.');
  const host = address.address === '::' || address.address === '0.0.0.0' ? '127.0.0.1' : address.address;
  return `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${address.port}`;
}

function requireHandlers(options: ServerOptions): void {
  const missing = options.operations.filter((row) => !row.planned && options.handlers[row.handledBy] === undefined).map((row) => row.operationId);
  if (missing.length > 0) throw new Error(`${options.service} has no handler for ${missing.join(', ')}.`);
}

function requirePath(options: ServerOptions): string {
  if (options.openapiPath === undefined) throw new Error('The contract check needs openapiPath: generated/openapi/<service>.json.');
  return options.openapiPath;
}
