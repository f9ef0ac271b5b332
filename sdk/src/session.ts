/** What the resources share: one typed client a service, credentials, and the way an answer becomes a value or an error. */
import { randomUUID } from 'node:crypto';
import { createAgentOrchestratorClient, type AgentOrchestratorClient } from '../../generated/client/agent-orchestrator.ts';
import { createFederationClient, type FederationClient } from '../../generated/client/federation.ts';
import { createModelPolicyClient, type ModelPolicyClient } from '../../generated/client/model-policy.ts';
import { ApiPromise, type WithResponse } from './api-promise.ts';
import { errorFromAnswer } from './errors.ts';
import { callFetch, type ClientOptions, type RequestOptions } from './transport.ts';

/** What openapi-fetch answers. */
interface Answer<T> {
  readonly data?: T | undefined;
  readonly error?: unknown;
  readonly response: Response;
}

/** Passed on to openapi-fetch with each call. */
export type CallInit = {
  headers: Record<string, string>;
  fetch: (request: Request) => Promise<Response>;
};

/** `once` is for what costs money and that no key makes repeatable: it is never tried again. */
export type CallKind = 'read' | 'mutation' | 'once' | 'stream';

const LOCAL_NODE = {
  agentOrchestrator: 'http://127.0.0.1:50081',
  modelPolicy: 'http://127.0.0.1:50082',
  federation: 'http://127.0.0.1:50083',
} as const;

export class Session {
  readonly options: ClientOptions;
  readonly orchestrator: AgentOrchestratorClient;
  readonly modelPolicy: ModelPolicyClient;
  readonly federation: FederationClient;

  constructor(options: ClientOptions) {
    this.options = options;
    const baseUrl = (service: keyof typeof LOCAL_NODE): string => options.endpoints?.[service] ?? options.baseUrl ?? LOCAL_NODE[service];
    this.orchestrator = createAgentOrchestratorClient({ baseUrl: baseUrl('agentOrchestrator') });
    this.modelPolicy = createModelPolicyClient({ baseUrl: baseUrl('modelPolicy') });
    this.federation = createFederationClient({ baseUrl: baseUrl('federation') });
  }

  /** Makes one call; the idempotency key of a mutation is made here, once, and kept over its retries. */
  call<T>(kind: CallKind, options: RequestOptions, request: (init: CallInit) => Promise<Answer<T>>): ApiPromise<T> {
    return new ApiPromise(this.#answer(kind, options, request));
  }

  async #answer<T>(kind: CallKind, options: RequestOptions, request: (init: CallInit) => Promise<Answer<T>>): Promise<WithResponse<T>> {
    const headers = await this.#headers(kind, options);
    const { data, error, response } = await request({ headers, fetch: callFetch(this.options, options, kind === 'stream') });
    if (!response.ok) throw errorFromAnswer(response.status, response.headers, error);
    return { data: data as T, response };
  }

  async #headers(kind: CallKind, options: RequestOptions): Promise<Record<string, string>> {
    const headers: Record<string, string> = { ...this.options.headers, ...options.headers };
    const tenantId = options.tenantId ?? this.options.tenantId ?? process.env['AGENTOS_TENANT_ID'];
    if (tenantId !== undefined) headers['X-Tenant-Id'] ??= tenantId;
    const token = typeof this.options.token === 'function' ? await this.options.token() : this.options.token;
    const apiKey = this.options.apiKey ?? process.env['AGENTOS_API_KEY'];
    if (token !== undefined) headers['Authorization'] ??= `Bearer ${token}`;
    else if (apiKey !== undefined && apiKey !== '') headers['X-API-Key'] ??= apiKey;
    if (kind === 'mutation') headers['Idempotency-Key'] ??= options.idempotencyKey ?? `idem_${randomUUID()}`;
    if (kind === 'stream') headers['Accept'] ??= 'text/event-stream';
    return headers;
  }
}
