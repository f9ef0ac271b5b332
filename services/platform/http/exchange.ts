/**
 * One request and what is known of it before and while it is served. What few handlers use (a logger of its own, an
 * abort signal) is made only when asked for.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { Departure, type DepartureSignal } from '../departure.ts';
import { newId } from '../ids.ts';
import { continueTrace, formatTraceparent, type TraceContext } from '../telemetry/trace-context.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';
import type { BodyCheck } from './body.ts';
import type { EdgeCaller } from './edge/limits.ts';
import type { ErrorShape, RequestContext } from './operation-types.ts';

/** What may be echoed into a header and a log line. */
const ECHOABLE = /^[\x21-\x7e]{1,256}$/;

export class Exchange implements RequestContext {
  readonly requestId: string;
  /** `X-Correlation-Id`, else `X-Request-Id`, else a new one (C-39). */
  readonly correlationId: string;
  readonly trace: TraceContext;
  readonly traceparent: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Path and query as they came; routing writes them anew. */
  readonly target: string;
  readonly startedAt = performance.now();
  /** Set once the tenant is known to be registered. */
  tenantId: string | null = null;
  idempotencyKey: string | null = null;
  operationId = 'unknown';
  /** How the operation's errors look. */
  errorShape: ErrorShape = 'agentos';
  /** The client's address as far as it can be believed; '' until the edge has looked. */
  clientAddress = '';
  /** The client's own connection is encrypted. */
  secure = false;
  /** Headers that the edge puts on the answer, whatever it will be. */
  edgeHeaders: Readonly<Record<string, string>> | null = null;
  /** As whom the edge counts the sender; null where it does not count. */
  caller: EdgeCaller | null = null;
  /** Set once a credential was found to hold, whether or not it suffices. */
  auth: AuthContext | null = null;
  /** Set where the credential vouches for the body. */
  bodyCheck: BodyCheck | null = null;
  /** Set when the answer is a stream. */
  streamed = false;
  /** Set when that stream ends by itself, soon, so that a stopping server lets it. */
  endsByItself = false;
  readonly #serviceLog: Logger;
  readonly #onSignal: (exchange: Exchange) => (() => void) | null;
  #log: Logger | null = null;
  #departure: Departure | null = null;
  #signal: AbortSignal | null = null;

  /** @param onSignal told when somebody wants to hear about abortion, so that a stopping server knows whom to tell; what it answers is called when the response is closed. */
  constructor(request: IncomingMessage, response: ServerResponse, log: Logger, onSignal: (exchange: Exchange) => (() => void) | null = () => null) {
    this.request = request;
    this.response = response;
    this.target = request.url ?? '/';
    this.#serviceLog = log;
    this.#onSignal = onSignal;
    const requestId = echoable(request.headers['x-request-id']);
    this.requestId = requestId ?? newId('req');
    this.correlationId = echoable(request.headers['x-correlation-id']) ?? requestId ?? newId('corr');
    this.trace = continueTrace(request.headers.traceparent as string | undefined);
    this.traceparent = formatTraceparent(this.trace);
  }

  get headers(): IncomingMessage['headers'] {
    return this.request.headers;
  }

  get remoteAddress(): string | null {
    return this.clientAddress || (this.request.socket.remoteAddress ?? null);
  }

  get authenticated(): boolean {
    return this.auth !== null;
  }

  get log(): Logger {
    this.#log ??= this.#serviceLog.child({
      correlation_id: this.correlationId,
      request_id: this.requestId,
      trace_id: this.trace.traceId,
      operation: this.operationId,
      ...(this.tenantId === null ? {} : { tenant_id: this.tenantId }),
    });
    return this.#log;
  }

  get departure(): DepartureSignal {
    if (this.#departure === null) {
      this.#departure = new Departure();
      const forget = this.#onSignal(this);
      this.response.on('close', () => {
        forget?.();
        if (!this.response.writableFinished) this.abort('the client went away');
      });
      if (this.response.destroyed) this.abort('the client went away');
    }
    return this.#departure;
  }

  get signal(): AbortSignal {
    if (this.#signal === null) {
      const controller = new AbortController();
      const { departure } = this;
      if (departure.aborted) controller.abort(departure.reason);
      else departure.addEventListener('abort', () => controller.abort(departure.reason));
      this.#signal = controller.signal;
    }
    return this.#signal;
  }

  abort(why: string): void {
    this.#departure?.abort(new Error(why));
  }
}

function echoable(header: string | string[] | undefined): string | null {
  return typeof header === 'string' && ECHOABLE.test(header) ? header : null;
}
