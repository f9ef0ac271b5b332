/**
 * The one pipeline. Every request that reaches an operation takes these steps in this order, whether it came straight
 * from node:http or through Express:
 *
 *   authenticate → tenant → scope → rate limit → validate → idempotency → handler → check the answer → write
 *
 * A step that refuses throws; `errors.ts` turns what was thrown into the answer. Handlers return data and never see
 * the response.
 */
import type { Logger } from 'pino';
import { withOrigin } from '../audit/request-origin.ts';
import type { Identity } from '../auth/identity.ts';
import { ANONYMOUS } from '../auth/identity.ts';
import { AgentOsError } from '../errors.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Tracing } from '../telemetry/tracing.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';
import type { DirectoryPort } from '../tenancy/directory.ts';
import { requireActiveTenant } from '../tenancy/tenant-gate.ts';
import { contractViolation, findAnswerFault } from './answer-check.ts';
import { readJsonBody } from './body.ts';
import { toHttpError, type HttpError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import type { AnyHandler, JsonResult, LinesResult, OperationRow, StreamResult, TextResult } from './operation-types.ts';
import { rateLimitHeaders, type RateLimiter } from './rate-limiter.ts';
import type { ExchangeReferee } from './referee.ts';
import { commonHeaders, logError, writeEmpty, writeError, writeJson, writeText, type Headers } from './reply.ts';
import { parseQuery, type RouteMatch } from './router.ts';
import type { Refusal } from './refusal.ts';
import { SSE_HEADERS, gatherForThisTick, writeEventStream, writeLines } from './sse.ts';
import type { StreamAdmission } from './stream-admission.ts';
import { validateRequest, type ValidatedRequest } from './validation.ts';

export interface PipelineOptions {
  readonly handlers: Readonly<Record<string, AnyHandler>>;
  readonly identity: Identity;
  readonly directory: DirectoryPort;
  readonly rateLimiter: RateLimiter | null;
  readonly streams: StreamAdmission;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Hold every answer to its declared status and schema. */
  readonly checkAnswers: boolean;
  readonly maxBodyBytes: number;
  /** Between two looks at whether the caller of an open stream may still read. */
  readonly rightsCheckMs: number;
  /** Told of every answer; must not throw. */
  readonly onAnswered?: (exchange: Exchange, status: number) => void;
  /** Told of every call that was refused for who made it; must not throw. */
  readonly onRefused?: (refusal: Refusal) => void;
}

export interface Pipeline {
  /** Answers the exchange; never rejects. */
  serve(match: RouteMatch, exchange: Exchange, referee: ExchangeReferee | null): Promise<void>;
}

export function createPipeline(options: PipelineOptions): Pipeline {
  return {
    async serve(match, exchange, referee) {
      exchange.operationId = match.row.operationId;
      exchange.errorShape = match.row.errorShape;
      const headers: Headers = {};
      let status: number;
      try {
        status = await answer(options, match, exchange, referee, headers);
      } catch (error) {
        status = refuse(options, match.row, exchange, referee, error, headers);
      }
      finish(options, match.row, exchange, status);
      options.onAnswered?.(exchange, status);
    },
  };
}

/** @param headers gathers headers that belong on the answer, errors included. */
async function answer(options: PipelineOptions, match: RouteMatch, exchange: Exchange, referee: ExchangeReferee | null, headers: Headers): Promise<number> {
  const { row } = match;
  const handler = options.handlers[row.handledBy];
  if (row.planned) throw new AgentOsError('not_implemented', { message: 'This release does not serve this operation yet.', details: {} });
  if (handler === undefined) throw new Error(`No handler is registered for ${row.handledBy}.`);

  const auth = await authenticate(options, row, exchange);
  requireScopes(row, auth);
  if (options.rateLimiter !== null) await limitRate(options, row, auth, headers);
  const validated = await validate(options, match, exchange, referee);
  exchange.idempotencyKey = idempotencyKey(exchange);
  const caller = withOrigin(auth, { operationId: row.operationId, correlationId: exchange.correlationId, source: exchange.remoteAddress });
  const result = await handler({ path: validated.path, query: validated.query, body: validated.body, auth: caller, context: exchange });
  const headersOfAnswer = Object.assign(commonHeaders(exchange), headers);
  if ('stream' in result || 'lines' in result) return stream(options, exchange, auth, row, result, headersOfAnswer);
  write(options, row, exchange, referee, result, headersOfAnswer);
  return result.status;
}

async function authenticate(options: PipelineOptions, row: OperationRow, exchange: Exchange): Promise<AuthContext> {
  if (row.tenancy === 'none') return ANONYMOUS;
  const identified = options.identity.authenticate(exchange.headers, row, exchange);
  const auth = identified instanceof Promise ? await identified : identified;
  exchange.auth = auth;
  // Administration may name a tenant that does not exist yet (C-56).
  if (row.tenancy === 'tenant') await requireActiveTenant(options.directory, auth);
  exchange.tenantId = auth.tenant_id;
  return auth;
}

function requireScopes(row: OperationRow, auth: AuthContext): void {
  if (row.scopes.every((scope) => auth.scopes.includes(scope))) return;
  const missing = row.scopes.filter((scope) => !auth.scopes.includes(scope));
  throw new AgentOsError('forbidden', {
    message: `This operation needs the scope ${missing.join(' and ')}; the credential holds ${auth.scopes.length === 0 ? 'none' : auth.scopes.join(' ')}.`,
    details: { required_scopes: row.scopes, missing_scopes: missing },
  });
}

async function limitRate(options: PipelineOptions, row: OperationRow, auth: AuthContext, headers: Headers): Promise<void> {
  if (options.rateLimiter === null || row.rateLimit === 'none') return;
  const verdict = await options.rateLimiter.check(auth, row);
  if (verdict === null) return;
  Object.assign(headers, rateLimitHeaders(row, verdict));
  if (verdict.allowed) return;
  throw new AgentOsError('rate_limited', {
    message: `Too many ${row.rateLimit} calls: the limit is ${verdict.limit} in ${verdict.windowSeconds} s. Ask again in ${Math.ceil(verdict.resetSeconds)} s.`,
    details: { tenant_id: auth.tenant_id, limit: verdict.limit, window: verdict.windowSeconds === 1 ? 'second' : `${verdict.windowSeconds}s` },
    retryAfterSeconds: verdict.resetSeconds,
  });
}

async function validate(options: PipelineOptions, match: RouteMatch, exchange: Exchange, referee: ExchangeReferee | null): Promise<ValidatedRequest> {
  const { row } = match;
  const query = parseQuery(match.search);
  const body = row.body === null ? undefined : await readJsonBody(exchange.request, row.body, options.maxBodyBytes, exchange.bodyCheck);
  const request = { path: match.path, query, headers: exchange.headers, body };
  if (referee === null) return validateRequest(row, request);
  return referee.compareRequest(body, () => validateRequest(row, request));
}

function idempotencyKey(exchange: Exchange): string | null {
  const header = exchange.headers['idempotency-key'];
  if (header === undefined) return null;
  if (typeof header === 'string' && header.length >= 1 && header.length <= 256) return header;
  throw new AgentOsError('invalid_request', {
    message: 'Idempotency-Key must have 1 to 256 characters.',
    details: { errors: [{ path: '/headers/idempotency-key', message: 'must have 1 to 256 characters' }] },
  });
}

function write(options: PipelineOptions, row: OperationRow, exchange: Exchange, referee: ExchangeReferee | null, result: JsonResult | TextResult, headers: Headers): void {
  if ('text' in result) {
    writeText(exchange.response, result.status, result.text, result.contentType, headers);
    return;
  }
  if (result.headers !== undefined) for (const [name, value] of Object.entries(result.headers)) headers[name.toLowerCase()] = value;
  // 204 is an answer without a body, whatever stands in its place.
  const body = result.status === 204 ? undefined : complete(row, exchange, result.body);
  if (options.checkAnswers) {
    const fault = findAnswerFault(row, result.status, body);
    if (fault !== null) throw contractViolation(row, fault);
  }
  if (body === undefined) writeEmpty(exchange.response, result.status, headers);
  else if (referee === null) writeJson(exchange, result.status, body, headers);
  else referee.sendJson(result.status, headers, body);
}

/** Every JSON object says which correlation and, where a tenant is served, which tenant it belongs to (C-37, C-38). */
function complete(row: OperationRow, exchange: Exchange, body: unknown): unknown {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return body;
  const present = body as { correlation_id?: unknown; tenant_id?: unknown };
  const needsTenant = row.tenancy === 'tenant' && present.tenant_id === undefined;
  if (present.correlation_id !== undefined && !needsTenant) return body;
  const completed: Record<string, unknown> = { ...body };
  if (needsTenant) completed.tenant_id = exchange.tenantId;
  if (present.correlation_id === undefined) completed.correlation_id = exchange.correlationId;
  return completed;
}

async function stream(options: PipelineOptions, exchange: Exchange, auth: AuthContext, row: OperationRow, result: StreamResult | LinesResult, headers: Headers): Promise<number> {
  const leave = enterStream(options, exchange, auth);
  const { response } = exchange;
  exchange.streamed = true;
  exchange.endsByItself = 'lines' in result || result.endsByItself === true;
  const rights = watchRights(options, row, exchange);
  options.metrics.openStreams.inc();
  try {
    gatherForThisTick(response);
    response.writeHead(result.status, { ...headers, ...('lines' in result ? { 'content-type': result.contentType } : SSE_HEADERS), ...result.headers });
    response.flushHeaders();
    const until = { signal: exchange.departure };
    const end = await ('lines' in result ? writeLines(response, result.lines, until) : writeEventStream(response, result.stream, until));
    if (end === 'stalled') exchange.log.warn('A stream reader took nothing for too long and was cut off; it may resume from its last id.');
    return result.status;
  } finally {
    clearInterval(rights);
    options.metrics.openStreams.dec();
    leave();
  }
}

/** A stream that finds no room is never pulled, so whoever works for it hears so by the signal. @throws AgentOsError quota_exceeded. */
function enterStream(options: PipelineOptions, exchange: Exchange, auth: AuthContext): () => void {
  try {
    return options.streams.enter(auth.tenant_id);
  } catch (error) {
    exchange.abort('there is no room for another stream');
    throw error;
  }
}

/** A stream outlives the moment its caller was let in, so the question is asked again while it is open. */
function watchRights(options: PipelineOptions, row: OperationRow, exchange: Exchange): NodeJS.Timeout {
  const check = async (): Promise<void> => {
    try {
      const auth = await (options.identity.recheck?.(exchange) ?? options.identity.authenticate(exchange.headers, row, exchange));
      if (row.tenancy === 'tenant') await requireActiveTenant(options.directory, auth);
      requireScopes(row, auth);
    } catch (error) {
      if (error instanceof AgentOsError && error.code !== 'dependency_unavailable') exchange.abort('the right to read was withdrawn');
    }
  };
  return setInterval(() => void check(), options.rightsCheckMs).unref();
}

/** Turned away for who asked: without or with too weak a credential, or with one of another tenant than the one it names. */
const isRefusal = ({ status, body }: HttpError): boolean => status === 401 || status === 403 || body.error.code === 'tenant_mismatch';

/** Answers an error; an error that the contract does not declare for this operation is our fault in its turn. */
function refuse(options: PipelineOptions, row: OperationRow, exchange: Exchange, referee: ExchangeReferee | null, thrown: unknown, headers: Headers): number {
  const error = toHttpError(thrown, exchange.correlationId, exchange.tenantId, row.errorShape);
  options.metrics.observeRefusal({ code: error.body.error.code, reason: error.body.error.details['reason'], tenantId: row.tenancy === 'tenant' ? exchange.tenantId : null });
  if (options.onRefused !== undefined && isRefusal(error)) options.onRefused({ status: error.status, error: error.body.error, row, auth: exchange.auth, exchange });
  if (options.checkAnswers && error.status !== 500 && !exchange.response.headersSent) {
    const fault = findAnswerFault(row, error.status, error.body);
    if (fault !== null) {
      logError(exchange, error);
      return writeError(exchange, contractViolation(row, fault), headers).status;
    }
    if (referee !== null) {
      try {
        logError(exchange, error);
        referee.sendJson(error.status, { ...commonHeaders(exchange), ...headers, ...error.headers }, error.body);
        return error.status;
      } catch (disagreement) {
        return writeError(exchange, disagreement, headers).status;
      }
    }
  }
  return writeError(exchange, thrown, headers).status;
}

function finish(options: PipelineOptions, row: OperationRow, exchange: Exchange, status: number): void {
  const durationMs = performance.now() - exchange.startedAt;
  options.metrics.observeHttp({ operation: row.operationId, method: row.method, status, durationSeconds: exchange.streamed ? null : durationMs / 1000, tenantId: row.tenancy === 'tenant' ? exchange.tenantId : null });
  if (options.metrics.tracing !== null && row.tenancy !== 'none') trace(options.metrics.tracing, row, exchange, status, durationMs);
  if (row.tenancy !== 'none' && options.log.isLevelEnabled('debug')) exchange.log.debug({ status, duration_ms: Math.round(durationMs * 100) / 100 }, 'Request served.');
}

/** Names as OpenTelemetry's conventions for HTTP have them. */
function trace(tracing: Tracing, row: OperationRow, exchange: Exchange, status: number, durationMs: number): void {
  const { traceId, spanId, parentSpanId, sampled } = exchange.trace;
  tracing.record({
    name: row.operationId, kind: 'server', traceId, spanId, parentSpanId, sampled, durationMs, failed: status >= 500,
    attributes: {
      'http.request.method': row.method, 'http.response.status_code': status, 'http.route': row.path,
      'agentos.correlation_id': exchange.correlationId, ...(exchange.tenantId === null ? {} : { 'agentos.tenant_id': exchange.tenantId }),
    },
  });
}
