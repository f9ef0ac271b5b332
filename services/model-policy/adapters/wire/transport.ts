/**
 * JSON and byte streams over HTTP to one model server, on a bounded pool of kept connections. Whatever goes wrong comes
 * out as an AgentOsError (see `failures.ts`) that holds no key; nothing is tried twice here, since a repeated model call
 * costs twice.
 */
import type { DepartureSignal } from '../../../platform/departure.ts';
import { Pool } from 'undici';
import { AgentOsError } from '../../../platform/errors.ts';
import { ApiKey, type KeyOrigin } from './api-key.ts';
import { parseBaseUrl, type BaseUrl } from './base-url.ts';
import { Exchange, Stopped, type ExchangeLimits } from './exchange.ts';
import { badAnswer, callerGone, failureOf, readVendorError, streamTruncated, tooSlow, unreachable, type VendorError } from './failures.ts';
import { parseJson } from './json.ts';

export interface TransportSettings {
  /** As it stands in `route.backend`. */
  readonly backend: string;
  /** With the version segment where the vendor has one: `http://127.0.0.1:8000/v1`. */
  readonly baseUrl: string;
  readonly apiKey: KeyOrigin;
  /** Whole call, milliseconds. */
  readonly timeoutMs: number;
  /** To open a connection; 5 s when absent. */
  readonly connectTimeoutMs?: number;
  /** To the first byte of a streamed answer; `timeoutMs` when absent. */
  readonly firstByteTimeoutMs?: number;
  /** Between bytes of a streamed answer; 30 s when absent. */
  readonly idleTimeoutMs?: number;
  /** Connections at once to the server; 256 when absent. Calls beyond wait for one. */
  readonly maxConnections?: number;
}

export interface TransportCall {
  readonly signal: DepartureSignal;
  /** Empty: the call belongs to no trace. */
  readonly traceparent: string;
}

export interface OpenAnswer {
  /** Bytes; null at the end. @throws AgentOsError */
  next(): Promise<Buffer | null>;
  /** All that is wanted has been read; the connection is kept if the server ends its answer soon. */
  letGo(): void;
  /** The rest is not wanted: closes the connection, so that the server stops. */
  leave(): void;
}

/** How the vendor wants its key and whatever else each call carries. */
export type HeadersOf = (key: string | null) => Readonly<Record<string, string>>;

export const bearer: HeadersOf = (key): Record<string, string> => (key === null ? {} : { authorization: `Bearer ${key}` });

const CONNECT_TIMEOUT_MS = 5_000;
const IDLE_TIMEOUT_MS = 30_000;
const MAX_CONNECTIONS = 256;

export class ModelTransport {
  readonly backend: string;
  readonly url: BaseUrl;
  private readonly pool: Pool;
  private readonly key: ApiKey;
  private readonly headersOf: HeadersOf;
  private readonly timeoutMs: number;
  private readonly firstByteMs: number;
  private readonly nextByteMs: number;
  private headers: { readonly key: string | null; readonly all: readonly string[] } | null = null;

  /** @throws Error for a base URL or a key that cannot be used. */
  constructor(settings: TransportSettings, headersOf: HeadersOf = bearer) {
    this.backend = settings.backend;
    this.url = parseBaseUrl(settings.baseUrl);
    this.key = new ApiKey(settings.apiKey);
    this.headersOf = headersOf;
    this.timeoutMs = settings.timeoutMs;
    this.firstByteMs = settings.firstByteTimeoutMs ?? settings.timeoutMs;
    this.nextByteMs = settings.idleTimeoutMs ?? IDLE_TIMEOUT_MS;
    this.pool = new Pool(this.url.origin, {
      connections: settings.maxConnections ?? MAX_CONNECTIONS,
      connect: { timeout: settings.connectTimeoutMs ?? CONNECT_TIMEOUT_MS },
      pipelining: 1,
      // The clocks of `Exchange` watch instead.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  get(path: string, call: TransportCall): Promise<unknown> {
    return this.json('GET', path, null, call);
  }

  post(path: string, body: unknown, call: TransportCall): Promise<unknown> {
    return this.json('POST', path, JSON.stringify(body), call);
  }

  /** Opens a streamed answer. @throws AgentOsError for a status that is no success. */
  async open(path: string, body: unknown, accept: string, call: TransportCall): Promise<OpenAnswer> {
    const exchange = this.dispatch('POST', path, JSON.stringify(body), accept, call, { totalMs: this.timeoutMs, firstByteMs: this.firstByteMs, nextByteMs: this.nextByteMs });
    try {
      await exchange.head();
      if (exchange.status < 200 || exchange.status >= 300) throw this.refusal(exchange, await exchange.text());
    } catch (error) {
      throw this.faultOf(error, 'head');
    }
    return {
      next: async () => {
        try {
          return await exchange.next();
        } catch (error) {
          throw this.faultOf(error, 'stream');
        }
      },
      letGo: () => exchange.letGo(),
      leave: () => exchange.leave(),
    };
  }

  close(): Promise<void> {
    this.key.close();
    return this.pool.close();
  }

  badAnswer(what: string): AgentOsError {
    return badAnswer(this.backend, what);
  }

  /** The vendor's words without our key, which some vendors repeat. */
  readError(body: unknown): VendorError {
    const error = readVendorError(body);
    const key = this.key.current();
    return key === null ? error : { ...error, code: error.code.replaceAll(key, '[key]'), message: error.message.replaceAll(key, '[key]') };
  }

  private async json(method: 'GET' | 'POST', path: string, body: string | null, call: TransportCall): Promise<unknown> {
    const exchange = this.dispatch(method, path, body, 'application/json', call, { totalMs: this.timeoutMs, firstByteMs: null, nextByteMs: null });
    let text: string;
    try {
      text = await exchange.text();
    } catch (error) {
      throw this.faultOf(error, 'head');
    }
    if (exchange.status < 200 || exchange.status >= 300) throw this.refusal(exchange, text);
    const value = parseJson(text);
    if (value === undefined) throw this.badAnswer('an answer that is no complete JSON');
    return value;
  }

  private dispatch(method: 'GET' | 'POST', path: string, body: string | null, accept: string, call: TransportCall, limits: ExchangeLimits): Exchange {
    const exchange = new Exchange(limits, call.signal);
    const headers = [...this.currentHeaders(), 'accept', accept];
    if (call.traceparent !== '') headers.push('traceparent', call.traceparent);
    this.pool.dispatch({ method, path: `${this.url.path}${path}`, headers, body }, exchange);
    return exchange;
  }

  /** Names and values in turn, as undici reads them fastest. */
  private currentHeaders(): readonly string[] {
    const key = this.key.current();
    if (this.headers === null || this.headers.key !== key) this.headers = { key, all: Object.entries({ 'content-type': 'application/json', ...this.headersOf(key) }).flat() };
    return this.headers.all;
  }

  private refusal(exchange: Exchange, text: string): AgentOsError {
    if (exchange.status === 401 || exchange.status === 403) this.key.refused();
    return failureOf(this.backend, exchange.status, exchange.headers, this.readError(parseJson(text)));
  }

  private faultOf(error: unknown, where: 'head' | 'stream'): AgentOsError {
    if (error instanceof AgentOsError) return error;
    if (error instanceof Stopped) {
      if (error.why === 'caller_gone' || error.why === 'left') return callerGone(this.backend, error);
      if (error.why === 'too_large') return this.badAnswer('an answer that is longer than any should be');
      return tooSlow(this.backend, error.why, { answer: this.timeoutMs, first_byte: this.firstByteMs, next_byte: this.nextByteMs }[error.why]);
    }
    return where === 'stream' ? streamTruncated(this.backend, error) : unreachable(this.backend, error);
  }
}
