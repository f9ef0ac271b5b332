/**
 * The only file that knows HTTP statuses: turns whatever was thrown into status, headers and the error model
 * (Appendix A.3). Causes are for the log, under the correlation id; they are never sent.
 */
import { AgentOsError } from '../errors.ts';
import { ERROR_CODES, type ErrorCode } from '../../../generated/types/error-codes.ts';
import { fromDatabaseError } from '../db/sqlstate.ts';
import { INSUFFICIENT_QUOTA, openAiMembers, shouldRetryHeader } from './openai-error.ts';
import type { ErrorShape } from './operation-types.ts';

export interface ErrorBody {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly retryable: boolean;
    readonly details: Readonly<Record<string, unknown>>;
    /** With `type`, only in the shape `openai`. */
    readonly param?: string | null;
    readonly type?: string;
  };
  readonly correlation_id: string;
  readonly tenant_id?: string;
  readonly policy_outcome?: unknown;
}

export interface HttpError {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: ErrorBody;
  /** What was thrown, when it is our fault or a dependency's: log it. null for the caller's mistakes. */
  readonly logged: unknown;
}

/** Reasons of `invalid_request` that have a status of their own. */
const REQUEST_REASON_STATUS: Readonly<Record<string, number>> = {
  body_too_large: 413,
  unsupported_media_type: 415,
  headers_too_large: 431,
};

const METHOD = /^[A-Z]+$/;

const INTERNAL_MESSAGE = 'The request could not be completed. Quote the correlation id when you report this.';

/**
 * Also for the frame that ends a stream which broke after it had begun.
 *
 * @param tenantId the tenant the answer belongs to, where one was established.
 */
export function toHttpError(thrown: unknown, correlationId: string, tenantId: string | null, shape: ErrorShape = 'agentos'): HttpError {
  const error = asAgentOsError(thrown);
  const openai = shape === 'openai';
  const budget = isBudgetExceeded(error);
  const status = openai && budget ? 429 : statusOf(error);
  const headers: Record<string, string> = {};
  // A budget is no matter of a second: it names a time only where it knows one.
  const waitSeconds = error.retryAfterSeconds ?? (budget ? undefined : 1);
  if ((status === 429 || status === 503) && waitSeconds !== undefined) headers['retry-after'] = String(Math.max(0, Math.ceil(waitSeconds)));
  if (openai) Object.assign(headers, shouldRetryHeader(status, error.retryable));
  // Those clients read it first; the seconds are rounded up.
  if (openai && headers['retry-after'] !== undefined && error.retryAfterSeconds !== undefined) headers['retry-after-ms'] = String(Math.max(0, Math.ceil(error.retryAfterSeconds * 1000)));
  if (status === 401) headers['www-authenticate'] = 'Bearer realm="agentos"';
  const allow = error.code === 'method_not_allowed' ? error.details.allow : undefined;
  // Details may have come from elsewhere, and what a header cannot hold would keep the answer from being written at all.
  if (Array.isArray(allow)) headers.allow = allow.filter((method) => typeof method === 'string' && METHOD.test(method)).join(', ');
  const outcome = error.details.policy_outcome;
  return {
    status,
    headers,
    body: {
      error: {
        code: openai && budget ? INSUFFICIENT_QUOTA : error.code,
        message: error.message,
        retryable: error.retryable,
        details: error.details,
        ...(openai ? openAiMembers(status, budget, error.details) : {}),
      },
      correlation_id: correlationId,
      ...(tenantId === null ? {} : { tenant_id: tenantId }),
      ...(outcome === undefined ? {} : { policy_outcome: outcome }),
    },
    logged: status >= 500 && status !== 501 ? thrown : null,
  };
}

/** The status that an error is answered with. */
export function statusOf(error: AgentOsError): number {
  const reason = typeof error.details.reason === 'string' ? error.details.reason : '';
  if (error.code === 'invalid_request') return REQUEST_REASON_STATUS[reason] ?? 400;
  if (isBudgetExceeded(error) || (error.code === 'quota_exceeded' && reason === 'memory_bytes_exceeded')) return 403;
  return ERROR_CODES[error.code].status;
}

function isBudgetExceeded({ code, details }: AgentOsError): boolean {
  return code === 'quota_exceeded' && typeof details.reason === 'string' && details.reason.endsWith('budget_exceeded');
}

/** The status of a code when nothing more specific applies. */
export function statusOfCode(code: ErrorCode): number {
  return ERROR_CODES[code].status;
}

function asAgentOsError(thrown: unknown): AgentOsError {
  const error = fromDatabaseError(thrown);
  if (error instanceof AgentOsError) return error;
  return new AgentOsError('internal_error', { message: INTERNAL_MESSAGE, cause: thrown });
}
