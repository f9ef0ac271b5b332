/**
 * The only file that knows HTTP statuses: turns whatever was thrown into status, headers and the error model
 * (Appendix A.3). Causes are for the log, under the correlation id; they are never sent.
 */
import { AgentOsError } from '../errors.ts';
import { ERROR_CODES, type ErrorCode } from '../../../generated/types/error-codes.ts';
import { fromDatabaseError } from '../db/sqlstate.ts';

export interface ErrorBody {
  readonly error: { readonly code: string; readonly message: string; readonly retryable: boolean; readonly details: Readonly<Record<string, unknown>> };
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

const INTERNAL_MESSAGE = 'The request could not be completed. Quote the correlation id when you report this.';

/** @param tenantId the tenant the answer belongs to, where one was established. */
export function toHttpError(thrown: unknown, correlationId: string, tenantId: string | null): HttpError {
  const error = asAgentOsError(thrown);
  const status = statusOf(error);
  const headers: Record<string, string> = {};
  if (status === 429 || status === 503) headers['retry-after'] = String(Math.max(0, Math.ceil(error.retryAfterSeconds ?? 1)));
  if (status === 401) headers['www-authenticate'] = 'Bearer realm="agentos"';
  const allow = error.code === 'method_not_allowed' ? error.details.allow : undefined;
  if (Array.isArray(allow)) headers.allow = allow.join(', ');
  const outcome = error.details.policy_outcome;
  return {
    status,
    headers,
    body: {
      error: { code: error.code, message: error.message, retryable: error.retryable, details: error.details },
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
  if (error.code === 'quota_exceeded' && reason.endsWith('budget_exceeded')) return 403;
  return ERROR_CODES[error.code].status;
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
