/**
 * What goes wrong, as classes a program can catch. The server's code, retryable flag, details and correlation id
 * (Appendix A.3) are carried over unchanged, so `error.code` reads the same here as in the service.
 */
import { ERROR_CODES, type ErrorCode } from '../../generated/types/error-codes.ts';

/** Base of everything this client throws. */
export class AgentOsError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** No answer came: the address is wrong, the server is down, or the network broke. */
export class ConnectionError extends AgentOsError {}

/** No answer came within the time allowed for the call. */
export class TimeoutError extends ConnectionError {}

export interface ApiErrorFields {
  readonly status: number;
  /** One of the documented codes, or one that is newer than this client. */
  readonly code: ErrorCode | (string & {});
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>>;
  /** Quote this to the operator: it finds the request in the logs. */
  readonly correlationId: string | null;
  readonly headers: Headers;
}

/** The server answered with an error. One subclass a status. */
export class ApiError extends AgentOsError {
  readonly status: number;
  readonly code: ErrorCode | (string & {});
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>>;
  readonly correlationId: string | null;
  readonly headers: Headers;

  constructor(message: string, fields: ApiErrorFields) {
    super(message);
    this.status = fields.status;
    this.code = fields.code;
    this.retryable = fields.retryable;
    this.details = fields.details;
    this.correlationId = fields.correlationId;
    this.headers = fields.headers;
  }
}

export class BadRequestError extends ApiError {}
export class AuthenticationError extends ApiError {}
export class PermissionDeniedError extends ApiError {}
export class NotFoundError extends ApiError {}
export class ConflictError extends ApiError {}
export class RateLimitError extends ApiError {}
export class NotImplementedError extends ApiError {}
export class InternalServerError extends ApiError {}
export class UnavailableError extends ApiError {}

const CLASS_BY_STATUS: Readonly<Record<number, typeof ApiError>> = {
  400: BadRequestError,
  401: AuthenticationError,
  403: PermissionDeniedError,
  404: NotFoundError,
  409: ConflictError,
  413: BadRequestError,
  415: BadRequestError,
  429: RateLimitError,
  501: NotImplementedError,
  503: UnavailableError,
  504: UnavailableError,
};

/** Rebuilds the server's error from an answer's body; a body in any other shape (a proxy's page) still gives an ApiError. */
export function errorFromAnswer(status: number, headers: Headers, body: unknown): ApiError {
  const envelope = isRecord(body) ? body : {};
  const error = isRecord(envelope['error']) ? envelope['error'] : {};
  const code = typeof error['code'] === 'string' ? error['code'] : `http_${status}`;
  const known = (ERROR_CODES as Record<string, { retryable: boolean } | undefined>)[code];
  const correlationId =
    typeof envelope['correlation_id'] === 'string' ? envelope['correlation_id'] : headers.get('x-correlation-id');
  const message = typeof error['message'] === 'string' ? error['message'] : `The server answered ${status}.`;
  const ErrorClass = CLASS_BY_STATUS[status] ?? (status >= 500 ? InternalServerError : ApiError);
  return new ErrorClass(`${message} (${status} ${code}${correlationId ? `, correlation id ${correlationId}` : ''})`, {
    status,
    code,
    retryable: typeof error['retryable'] === 'boolean' ? error['retryable'] : (known?.retryable ?? status >= 500),
    details: isRecord(error['details']) ? error['details'] : {},
    correlationId,
    headers,
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
