/**
 * Model Policy over HTTP, in the objects of Appendix E. undici's own client: a call costs a fraction of what the model
 * SDKs take, and connections are kept open.
 *
 * Calls are made by this service's own principal on behalf of the run's tenant: the person who may create runs need
 * not hold the right to call models. The run's policy context goes along unchanged but for its purpose.
 *
 * A connection that breaks is tried again at once, twice: `request_id` makes the repeated call the same call. Every
 * other retry is the executor's, which knows the run's deadline.
 *
 * A circuit breaker stands before all of it, so that a Model Policy that is down, or that takes calls and never answers,
 * does not hold every worker for as long as its runs have time. Only what speaks of Model Policy itself counts against
 * it: no connection, an answer that is none, silence for longer than any answer takes. An error that it answers is an
 * answer. Readiness asks past the breaker. A model call may take a minute, in which a probe would keep everybody else
 * waiting: where nobody was there, the probe's health check beside it tells sooner that somebody is again.
 */
import { Pool } from 'undici';
import { ERROR_CODES } from '../../../generated/types/error-codes.ts';
import type { ModelCapability, ModelRequest, ModelResponse, PolicyCheck, PolicyResult } from '../../../generated/types/index.ts';
import { Departure, type DepartureSignal } from '../../platform/departure.ts';
import { AgentOsError, type ErrorCode } from '../../platform/errors.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import { accountablePrincipal, type AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { ModelCallOptions, ModelPort } from '../ports/model.ts';
import { CircuitBreaker, type CircuitOptions } from './circuit-breaker.ts';
import { exchange, type ExchangeAnswer } from './model-exchange.ts';

export const MODEL_POLICY = 'model-policy';

export interface HttpModelOptions {
  /** e.g. `http://127.0.0.1:50082`. */
  readonly baseUrl: string;
  /** Headers that prove to Model Policy who calls, e.g. a service token. */
  readonly credentials: (auth: AuthContext) => Promise<Readonly<Record<string, string>>>;
  readonly connections?: number;
  readonly circuit?: Partial<CircuitOptions>;
  /** Silence shorter than this is the caller's impatience and no sign of trouble. */
  readonly silenceMs?: number;
}

interface Call extends ModelCallOptions {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body: unknown;
}

const CONNECTION_ATTEMPTS = 3;
const MAX_HELD_BACK_MS = 1_000;
const PROBE_MS = 2_000;
/** Answers of one call that may be lost, each with a process that dies between it and what the run's log says of it. */
const MOST_LOST = 5;
const CONNECTION_ERRORS = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT', 'UND_ERR_SOCKET', 'UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_CLOSED', 'UND_ERR_DESTROYED']);

/** The call was made and charged, and Model Policy has its answer no more: a run that goes on needs it made once more. */
function isAnswerLost(error: unknown): boolean {
  return error instanceof AgentOsError && error.code === 'conflict' && error.details['reason'] === 'request_id_used';
}

/** The same for everybody who finds so many answers lost. */
function requestIdAfter(requestId: string, lost: number): string {
  return lost === 1 ? `${requestId}.again` : `${requestId}.again${lost}`;
}

export class HttpModel implements ModelPort {
  readonly #pool: Pool;
  readonly #basePath: string;
  readonly #credentials: HttpModelOptions['credentials'];
  readonly #circuit: CircuitBreaker;
  readonly #silenceMs: number;
  /** The newest failure was silence, which a health check says nothing about. */
  #silent = false;

  constructor(options: HttpModelOptions) {
    const url = new URL(options.baseUrl);
    this.#basePath = url.pathname.replace(/\/$/, '');
    this.#credentials = options.credentials;
    this.#circuit = new CircuitBreaker(options.circuit);
    this.#silenceMs = options.silenceMs ?? 10_000;
    // The time of a call is bounded by its own timer; undici's would only add a second, coarser one.
    this.#pool = new Pool(url.origin, { connections: options.connections ?? 128, keepAliveTimeout: 30_000, headersTimeout: 0, bodyTimeout: 0, connect: { timeout: 5_000 } });
  }

  capabilities(): PortCapabilities {
    return { adapter: 'http', contractVersion: '1.0', durable: false, features: [] };
  }

  chat(auth: AuthContext, request: ModelRequest, options: ModelCallOptions): Promise<ModelResponse> {
    return this.#invoke(auth, request, options);
  }

  embed(auth: AuthContext, request: ModelRequest, options: ModelCallOptions): Promise<ModelResponse> {
    return this.#invoke(auth, request, options);
  }

  async policyCheck(auth: AuthContext, check: PolicyCheck, options: ModelCallOptions): Promise<PolicyResult> {
    const caller = serviceContext(auth);
    const answer = await this.#call(caller, { ...options, method: 'POST', path: '/v1/policy:check', body: { auth: caller, policy_check: check } });
    return member<PolicyResult>(answer, 'policy_result');
  }

  async listModels(auth: AuthContext, options: ModelCallOptions): Promise<readonly ModelCapability[]> {
    const answer = await this.#call(serviceContext(auth), { ...options, method: 'GET', path: '/v1/models', body: undefined });
    return member<readonly ModelCapability[]>(answer, 'models');
  }

  /** Resolves when Model Policy answers its health check; for readiness. */
  async ping(signal: AbortSignal): Promise<void> {
    const { statusCode, body } = await this.#pool.request({ method: 'GET', path: `${this.#basePath}/v1/health`, signal });
    await body.dump();
    if (statusCode !== 200) throw new Error(`Model Policy answers ${statusCode} on /v1/health.`);
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }

  async #invoke(auth: AuthContext, request: ModelRequest, options: ModelCallOptions): Promise<ModelResponse> {
    const caller = serviceContext(auth);
    const ask = async (asked: ModelRequest): Promise<ModelResponse> => {
      const body = { auth: caller, request: asked, traceparent: options.traceparent };
      return member<ModelResponse>(await this.#call(caller, { ...options, method: 'POST', path: '/v1/models:invoke', body }), 'response');
    };
    for (let lost = 0; ; lost += 1) {
      try {
        return await ask(lost === 0 ? request : { ...request, request_id: requestIdAfter(request.request_id, lost) });
      } catch (error) {
        if (!isAnswerLost(error) || lost === MOST_LOST) throw error;
      }
    }
  }

  async #call(auth: AuthContext, call: Call): Promise<unknown> {
    const { timeoutMs, signal } = call;
    if (signal.aborted) throw abandoned(signal.reason);
    const admission = this.#circuit.enter();
    if (!('pass' in admission)) throw circuitOpen(admission.refusedForMs);
    const { pass } = admission;
    if (pass.isProbe && !this.#silent) this.ping(AbortSignal.timeout(PROBE_MS)).then(() => pass.succeeded(), () => undefined);
    const departure = new Departure();
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      departure.abort(new Error(`No answer within ${timeoutMs} ms.`));
    }, timeoutMs);
    const onAbort = (): void => departure.abort(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      const answer = await this.#attempt(auth, call, departure);
      pass.succeeded();
      return answer;
    } catch (error) {
      if (signal.aborted || (timedOut && timeoutMs < this.#silenceMs)) pass.unknown();
      else if (timedOut || isUnreachable(error)) {
        this.#silent = timedOut;
        pass.failed();
      } else pass.succeeded();
      if (timedOut) throw new AgentOsError('timeout', { message: `Model Policy did not answer within ${timeoutMs} ms.`, details: { service: MODEL_POLICY, timeout_ms: timeoutMs }, cause: error });
      if (signal.aborted) throw abandoned(error);
      throw error;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    }
  }

  async #attempt(auth: AuthContext, call: Call, signal: DepartureSignal): Promise<unknown> {
    const headers = {
      accept: 'application/json',
      'x-correlation-id': call.correlationId,
      traceparent: call.traceparent,
      ...(call.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(await this.#credentials(auth)),
    };
    const body = call.body === undefined ? null : JSON.stringify(call.body);
    for (let attempt = 1; ; attempt += 1) {
      try {
        return readAnswer(await exchange(this.#pool, { method: call.method, path: this.#basePath + call.path, headers, body }, signal));
      } catch (error) {
        if (error instanceof AgentOsError || signal.aborted) throw error;
        const code = (error as { code?: string }).code ?? '';
        if (!CONNECTION_ERRORS.has(code)) throw unreachable('The answer of Model Policy could not be read.', error);
        if (attempt >= CONNECTION_ATTEMPTS) throw unreachable(`Model Policy cannot be reached (${code}).`, error, { reason: 'unreachable' });
        await pause(30 * attempt * attempt, signal);
        if (signal.aborted) throw signal.reason;
      }
    }
  }
}

/** Ends early when the signal aborts. */
function pause(ms: number, signal: DepartureSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** One a run: its context is the same object over its calls, and so is the token made for it. */
const contexts = new WeakMap<AuthContext, AuthContext>();

/** What this service may do at Model Policy, for the run's tenant (Appendix E.1), and whose run it is. */
function serviceContext(auth: AuthContext): AuthContext {
  const known = contexts.get(auth);
  if (known !== undefined) return known;
  const { principal_id, principal_type } = accountablePrincipal(auth);
  const context: AuthContext = {
    tenant_id: auth.tenant_id,
    principal: { principal_id: 'svc_agent-orchestrator', principal_type: 'service' },
    on_behalf_of: { principal_id, principal_type },
    ...(auth.acting === undefined ? {} : { acting: auth.acting }),
    scopes: ['models:invoke', 'models:list', 'policy:check'],
    policy_context: { data_classification: 'internal', region: '', ...auth.policy_context, purpose: 'agent_run' },
  };
  contexts.set(auth, context);
  return context;
}

function readAnswer({ status, headers, text }: ExchangeAnswer): unknown {
  let answer: unknown = null;
  try {
    answer = JSON.parse(text);
  } catch (error) {
    if (status < 400) throw unreachable('Model Policy answered something that is not JSON.', error);
  }
  if (status < 400) return answer;
  throw answeredError(status, headers['retry-after'], answer);
}

function answeredError(status: number, retryAfter: string | string[] | undefined, answer: unknown): AgentOsError {
  const error = ((answer as { error?: unknown } | null)?.error ?? {}) as { code?: string; message?: string; retryable?: boolean; details?: Record<string, unknown> };
  const code = error.code;
  const seconds = Number(Array.isArray(retryAfter) ? retryAfter[0] : retryAfter);
  const retry = Number.isFinite(seconds) && retryAfter !== undefined ? { retryAfterSeconds: Math.max(0, seconds) } : {};
  // A 500 is Model Policy's own trouble: to us it is a dependency that does not work.
  if (code === undefined) return unreachable(`Something in front of Model Policy answered ${status}.`, answer, { status, ...retry });
  if (!(code in ERROR_CODES) || code === 'internal_error') {
    return new AgentOsError('dependency_unavailable', { message: `Model Policy answered ${status}.`, details: { service: MODEL_POLICY, status }, ...retry });
  }
  return new AgentOsError(code as ErrorCode, {
    message: error.message ?? `Model Policy answered ${status}.`,
    details: { ...error.details, service: error.details?.['service'] ?? MODEL_POLICY },
    ...(typeof error.retryable === 'boolean' ? { retryable: error.retryable } : {}),
    ...retry,
  });
}

function member<T>(answer: unknown, name: string): T {
  const value = (answer as Record<string, unknown> | null)?.[name];
  if (value === undefined || value === null) throw unreachable(`The answer of Model Policy has no ${name}.`, answer);
  return value as T;
}

/** Model Policy was not there to be asked. */
class Unreachable extends AgentOsError {}

const isUnreachable = (error: unknown): boolean => error instanceof Unreachable;

const unreachable = (message: string, cause: unknown, more: { readonly status?: number; readonly reason?: 'unreachable'; readonly retryAfterSeconds?: number } = {}): AgentOsError =>
  new Unreachable('dependency_unavailable', {
    message,
    details: { service: MODEL_POLICY, ...(more.status === undefined ? {} : { status: more.status }), ...(more.reason === undefined ? {} : { reason: more.reason }) },
    retryAfterSeconds: more.retryAfterSeconds ?? 0,
    cause,
  });

/** Retries wait for the next probe and no longer than they would have anyway. */
const circuitOpen = (forMs: number): AgentOsError =>
  new AgentOsError('dependency_unavailable', {
    message: 'Model Policy has not been answering; calls are held back until it does.',
    details: { service: MODEL_POLICY, reason: 'circuit_open' },
    retryAfterSeconds: Math.min(forMs, MAX_HELD_BACK_MS) / 1000,
  });

const abandoned = (cause: unknown): AgentOsError =>
  new AgentOsError('timeout', { message: 'The model call was abandoned.', details: { service: MODEL_POLICY, reason: 'aborted' }, cause });
