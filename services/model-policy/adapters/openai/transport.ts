/**
 * JSON over HTTP to a model server, on connections that are kept. One total deadline; a caller that goes away ends the
 * call at the server too. Whatever goes wrong comes out as an AgentOsError (see `failureOf`); nothing is tried twice
 * here, since a repeated model call costs twice.
 */
import { Agent, request, type Dispatcher } from 'undici';
import { AgentOsError } from '../../../platform/errors.ts';
import { childTraceparent } from '../../../platform/telemetry/trace-context.ts';
import { asObject } from './wire.ts';

export interface TransportOptions {
  /** As it stands in `route.backend`. */
  readonly backend: string;
  /** With the version segment: `http://127.0.0.1:8000/v1`. */
  readonly baseUrl: string;
  readonly apiKey: string | null;
  /** Whole call, milliseconds. */
  readonly timeoutMs: number;
  /** Connections at once to the server; 256 when absent. */
  readonly maxConnections?: number;
}

export interface TransportCall {
  readonly signal: AbortSignal;
  readonly traceparent: string;
}

/** An answer larger than this is cut off: no model answer is. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
const CONNECT_TIMEOUT_MS = 5_000;

export class JsonTransport {
  private readonly options: TransportOptions;
  private readonly agent: Agent;
  private readonly headers: Record<string, string>;
  private readonly base: string;

  constructor(options: TransportOptions) {
    this.options = options;
    this.agent = new Agent({ connections: options.maxConnections ?? 256, connect: { timeout: CONNECT_TIMEOUT_MS }, pipelining: 1 });
    this.base = options.baseUrl.replace(/\/+$/, '');
    this.headers = { 'content-type': 'application/json', accept: 'application/json', ...(options.apiKey === null ? {} : { authorization: `Bearer ${options.apiKey}` }) };
  }

  post(path: string, body: unknown, call: TransportCall): Promise<unknown> {
    return this.exchange('POST', path, JSON.stringify(body), call);
  }

  get(path: string, call: TransportCall): Promise<unknown> {
    return this.exchange('GET', path, null, call);
  }

  close(): Promise<void> {
    return this.agent.close();
  }

  private async exchange(method: 'GET' | 'POST', path: string, body: string | null, call: TransportCall): Promise<unknown> {
    const deadline = AbortSignal.timeout(this.options.timeoutMs);
    let answer: Dispatcher.ResponseData;
    let text: string;
    try {
      answer = await request(`${this.base}${path}`, {
        method,
        headers: { ...this.headers, ...(call.traceparent === '' ? {} : { traceparent: childTraceparent(call.traceparent) }) },
        body,
        dispatcher: this.agent,
        signal: AbortSignal.any([call.signal, deadline]),
        headersTimeout: this.options.timeoutMs,
        bodyTimeout: this.options.timeoutMs,
      });
      text = await readText(answer.body);
    } catch (error) {
      throw this.transportFailure(error, call.signal, deadline);
    }
    const value = parse(text);
    if (answer.statusCode >= 200 && answer.statusCode < 300) {
      if (value === undefined) throw this.badAnswer('an answer that is no complete JSON');
      return value;
    }
    throw failureOf(this.options.backend, answer.statusCode, answer.headers, value);
  }

  badAnswer(what: string): AgentOsError {
    return new AgentOsError('dependency_unavailable', {
      message: `Backend ${this.options.backend} sent ${what}.`,
      details: { service: this.options.backend, reason: 'bad_answer' },
    });
  }

  private transportFailure(error: unknown, caller: AbortSignal, deadline: AbortSignal): AgentOsError {
    const backend = this.options.backend;
    const code = (error as { code?: string }).code ?? '';
    if (caller.aborted) {
      return new AgentOsError('timeout', { message: `The call to backend ${backend} was given up by its caller.`, details: { service: backend, reason: 'caller_gone' }, cause: error });
    }
    if (deadline.aborted || /TIMEOUT/.test(code)) {
      return new AgentOsError(code === 'UND_ERR_CONNECT_TIMEOUT' ? 'dependency_unavailable' : 'timeout', {
        message: `Backend ${backend} did not answer within ${this.options.timeoutMs} ms.`, details: { service: backend, timeout_ms: this.options.timeoutMs }, cause: error,
      });
    }
    if (error instanceof AgentOsError) return error;
    return new AgentOsError('dependency_unavailable', { message: `Backend ${backend} cannot be reached.`, details: { service: backend, reason: 'unreachable' }, cause: error });
  }
}

async function readText(body: Dispatcher.ResponseData['body']): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new Error(`The answer is longer than ${MAX_ANSWER_BYTES} bytes.`);
    chunks.push(chunk);
  }
  return chunks.length === 1 ? chunks[0]!.toString('utf8') : Buffer.concat(chunks).toString('utf8');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/**
 * 400 and 422 are the request's fault, 404 the model's, 429 load; everything else makes the backend unavailable, a
 * refused key and a used-up account included, since another backend can still serve.
 */
function failureOf(backend: string, status: number, headers: Headers, body: unknown): AgentOsError {
  const error = asObject(asObject(body)?.['error']) ?? asObject(body);
  const code = typeof error?.['code'] === 'string' ? error['code'] : typeof error?.['type'] === 'string' ? error['type'] : '';
  const said = typeof error?.['message'] === 'string' ? error['message'].slice(0, 300) : '';
  const details = { service: backend, backend_status: status, ...(code === '' ? {} : { backend_code: code }) };
  const retryAfterSeconds = readRetryAfter(headers);
  const retry = retryAfterSeconds === undefined ? {} : { retryAfterSeconds };
  if (status === 429 && /insufficient_quota|billing/.test(code)) {
    return new AgentOsError('dependency_unavailable', { message: `The account at backend ${backend} is used up.`, retryable: false, details: { ...details, reason: 'backend_quota_exhausted' } });
  }
  if (status === 429) return new AgentOsError('rate_limited', { message: `Backend ${backend} takes no more calls at the moment.`, details, ...retry });
  if (status === 408 || status === 504) return new AgentOsError('timeout', { message: `Backend ${backend} gave up the call.`, details });
  if (status === 404) return new AgentOsError('not_found', { message: `Backend ${backend} does not have this model${said === '' ? '.' : `: ${said}`}`, details: { ...details, reason: 'model_not_found' } });
  if (status === 400 || status === 413 || status === 422) {
    return new AgentOsError('invalid_request', { message: `Backend ${backend} refused the request${said === '' ? '.' : `: ${said}`}`, details: { ...details, reason: code || 'backend_refused' } });
  }
  if (status === 401 || status === 403) {
    return new AgentOsError('dependency_unavailable', { message: `Backend ${backend} refuses the configured key.`, retryable: false, details: { ...details, reason: 'backend_unauthorized' } });
  }
  return new AgentOsError('dependency_unavailable', { message: `Backend ${backend} answered ${status}.`, details, ...retry });
}

/** `retry-after-ms`, or `Retry-After` in seconds or as a date; at most an hour. */
function readRetryAfter(headers: Headers): number | undefined {
  const ms = Number(single(headers['retry-after-ms']));
  const plain = single(headers['retry-after']);
  const seconds = Number.isFinite(ms) && ms > 0 ? ms / 1000 : plain === undefined ? Number.NaN : /^\d+(?:\.\d+)?$/.test(plain) ? Number(plain) : (Date.parse(plain) - Date.now()) / 1000;
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(3600, seconds) : undefined;
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
