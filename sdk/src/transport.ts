/**
 * The fetch underneath every call: credentials, time allowed, and retries.
 *
 * A call is tried again when the server says it may be (429, 408, 5xx but 501, unless `x-should-retry: false`) or when
 * no answer came, and only if repeating it is safe: safe methods always, mutations because each carries an
 * idempotency key that is made once and kept over the tries.
 */
import { ConnectionError, TimeoutError } from './errors.ts';

export interface Logger {
  debug(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
}

export interface ClientOptions {
  /** One front door for everything, e.g. `http://127.0.0.1:50080`. Overrides nothing that `endpoints` names. */
  readonly baseUrl?: string;
  /** The services by address; defaults are a local node's ports. */
  readonly endpoints?: { readonly agentOrchestrator?: string; readonly modelPolicy?: string; readonly federation?: string };
  /** `aos_…`; defaults to the variable AGENTOS_API_KEY. */
  readonly apiKey?: string;
  /** A JWT, or a function that answers a fresh one. */
  readonly token?: string | (() => string | Promise<string>);
  /** Sent as X-Tenant-Id: a demo node's identity, or the tenant that a service credential acts for. */
  readonly tenantId?: string;
  /** Milliseconds for a whole call, 60,000 by default; for a stream, until it opens. */
  readonly timeout?: number;
  /** Further tries after the first, 2 by default. */
  readonly maxRetries?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly fetch?: typeof fetch;
  readonly logger?: Logger;
}

export interface RequestOptions {
  readonly signal?: AbortSignal;
  /** Milliseconds. */
  readonly timeout?: number;
  readonly maxRetries?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Makes repeated calls one; made by the client when absent. */
  readonly idempotencyKey?: string;
  readonly tenantId?: string;
}

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);
const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 8_000;
/** A server that asks for more patience than this is answered with its error instead. */
const LONGEST_REQUESTED_DELAY_MS = 60_000;

/** Builds the fetch for one call. `streaming` ends the clock when the headers are there. */
export function callFetch(client: ClientOptions, call: RequestOptions, streaming: boolean): (request: Request) => Promise<Response> {
  const maxRetries = call.maxRetries ?? client.maxRetries ?? 2;
  const timeoutMs = call.timeout ?? client.timeout ?? 60_000;
  return async (request) => {
    const repeatable = SAFE_METHODS.has(request.method) || request.headers.has('idempotency-key');
    for (let attempt = 0; ; attempt += 1) {
      const last = attempt >= maxRetries || !repeatable;
      const outcome = await tryOnce(client, last ? request : request.clone(), { timeoutMs, streaming, signal: call.signal });
      if (outcome instanceof Response && (last || !mayRetry(outcome))) return outcome;
      if (outcome instanceof Error && (last || call.signal?.aborted)) throw outcome;
      const delayMs = retryDelayMs(outcome, attempt);
      if (outcome instanceof Response) {
        if (delayMs > LONGEST_REQUESTED_DELAY_MS) return outcome;
        await outcome.body?.cancel();
      }
      client.logger?.debug('retrying', { url: request.url, attempt: attempt + 1, delayMs });
      await sleep(delayMs, call.signal);
    }
  };
}

interface TryOptions {
  readonly timeoutMs: number;
  readonly streaming: boolean;
  readonly signal: AbortSignal | undefined;
}

/** One try: the answer, or the error that kept it from coming. The caller's own abort is thrown at once. */
async function tryOnce(client: ClientOptions, request: Request, options: TryOptions): Promise<Response | Error> {
  const clock = new AbortController();
  const timer = setTimeout(() => clock.abort(), options.timeoutMs);
  const signal = options.signal ? AbortSignal.any([options.signal, clock.signal]) : clock.signal;
  try {
    const response = await (client.fetch ?? fetch)(new Request(request, { signal }));
    if (options.streaming && response.ok) return response;
    // The body belongs to the call's time too, so it is read here, under the clock.
    const body = await response.arrayBuffer();
    return new Response(NO_BODY_STATUSES.has(response.status) ? null : body, response);
  } catch (cause) {
    if (options.signal?.aborted) throw options.signal.reason;
    if (clock.signal.aborted) {
      return new TimeoutError(`No answer from ${new URL(request.url).origin} within ${options.timeoutMs} ms.`, { cause });
    }
    const reason = cause instanceof Error && cause.cause instanceof Error ? cause.cause.message : String(cause);
    return new ConnectionError(`Cannot reach ${new URL(request.url).origin}: ${reason}. Is the node up? Try: npx agentos status`, { cause });
  } finally {
    clearTimeout(timer);
  }
}

const NO_BODY_STATUSES = new Set([101, 204, 205, 304]);

function mayRetry(response: Response): boolean {
  const advice = response.headers.get('x-should-retry');
  if (advice === 'true') return true;
  if (advice === 'false') return false;
  return response.status === 408 || response.status === 429 || (response.status >= 500 && response.status !== 501);
}

/** What the server asks for, else exponential with jitter. */
function retryDelayMs(outcome: Response | Error, attempt: number): number {
  if (outcome instanceof Response) {
    const exact = Number(outcome.headers.get('retry-after-ms') ?? Number.NaN);
    if (Number.isFinite(exact) && exact >= 0) return exact;
    const header = outcome.headers.get('retry-after');
    if (header !== null) {
      const seconds = Number(header);
      const delay = Number.isFinite(seconds) ? seconds * 1_000 : Date.parse(header) - Date.now();
      if (Number.isFinite(delay)) return Math.max(0, delay);
    }
  }
  const ceiling = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** attempt);
  return ceiling / 2 + (Math.random() * ceiling) / 2;
}

/** Waits; rejects with the signal's reason when it aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
