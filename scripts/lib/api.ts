/** Plain HTTP to the node's services, with answers and errors as the command line needs them. */
import type { IncomingHttpHeaders } from 'node:http';
import type { ErrorObject } from '../../generated/types/index.ts';
import { adminAddress } from '../../services/platform/config/admin-address.ts';
import { CliError, EXIT } from './errors.ts';
import { requestText } from './http.ts';
import type { ServiceName } from './services/catalog.ts';
import { clientHost, schemeOf, type Settings } from './settings.ts';

export interface ApiRequest {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The parsed body; null when it is not JSON. */
  readonly body: Readonly<Record<string, unknown>> | null;
}

export function baseUrl(settings: Settings, service: ServiceName): string {
  return `${schemeOf(settings)}://${clientHost(settings)}:${settings.ports[service]}`;
}

/** Where a service serves what is under /v1/admin/: in prod on a listener of its own. */
export function adminBaseUrl(settings: Settings, service: ServiceName): string {
  if (settings.mode !== 'prod') return baseUrl(settings, service);
  const { host, port } = adminAddress(settings.config.values, settings.ports[service]);
  const { protocol } = new URL(baseUrl(settings, service));
  return `${protocol}//${host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Sends one request; every status is an answer. @throws CliError dependency when nobody answers. */
export async function send(settings: Settings, service: ServiceName, path: string, request: ApiRequest = {}): Promise<ApiAnswer> {
  const url = `${path.startsWith('/v1/admin/') ? adminBaseUrl(settings, service) : baseUrl(settings, service)}${path}`;
  const { body, timeoutMs = 15_000, ...rest } = request;
  const content = body === undefined ? {} : { body: JSON.stringify(body) };
  const headers = { ...request.headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
  try {
    const answer = await requestText(url, { ...rest, ...content, headers, timeoutMs });
    return { ...answer, body: parseObject(answer.text) };
  } catch (cause) {
    if (request.signal?.aborted === true) throw cause;
    throw unreachable(service, url, cause);
  }
}

/** The answer when its status is one of `expected`. @throws CliError with the service's own error otherwise. */
export function expectStatus(answer: ApiAnswer, expected: readonly number[], what: string): ApiAnswer {
  if (expected.includes(answer.status)) return answer;
  const error = errorOf(answer);
  throw new CliError(`${what}: ${error === null ? `status ${answer.status}` : error.message}`, {
    exitCode: EXIT.gate,
    evidence: error === null ? [answer.text.slice(0, 300)] : [`status ${answer.status}, code ${error.code}, correlation_id ${error.correlation_id ?? String(answer.headers['x-correlation-id'] ?? 'unknown')}`],
    next: nextFor(error?.code, error?.details?.['reason']),
  });
}

export function errorOf(answer: ApiAnswer): (ErrorObject & { correlation_id?: string }) | null {
  const error = answer.body?.['error'];
  return typeof error === 'object' && error !== null ? (error as ErrorObject & { correlation_id?: string }) : null;
}

function nextFor(code: string | undefined, reason: unknown): string {
  if (reason === 'tenant_suspended') return "the node's operator lets it work again: agentos tenants resume <tenant>";
  if (code === 'not_found') return 'agentos status   (is the id right, and the tenant? see --tenant)';
  if (code === 'unauthorized' || code === 'forbidden' || code === 'tenant_unknown') return 'check the credential and the tenant (AGENTOS_API_KEY, --tenant)';
  if (code === 'invalid_request' || code === 'conflict' || code === 'invalid_state_transition') return 'nothing was changed; correct what the message names';
  return 'agentos logs agent-orchestrator --since 1m';
}

function unreachable(service: ServiceName, url: string, cause: unknown): CliError {
  const { code } = cause as NodeJS.ErrnoException;
  return new CliError(`${service} does not answer`, {
    exitCode: EXIT.dependency,
    evidence: [`${url}: ${code ?? (cause as Error).message}`],
    next: 'agentos up',
    cause,
  });
}

function parseObject(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
