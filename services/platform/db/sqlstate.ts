/**
 * What a failed statement means to the platform, by SQLSTATE (PostgreSQL manual, appendix A).
 *
 * Domain code never sees a driver error: bad values are the caller's fault, a taken unique key is a conflict, and
 * whatever says "the database cannot answer now" is `dependency_unavailable`, so that nothing carries on without it.
 */
import { AgentOsError } from '../errors.ts';

/** Errors that say nothing about the statement and everything about when it ran: the whole transaction may be tried again. */
const RETRYABLE = new Set(['40001', '40P01']);

/** Node's names for a connection that cannot be had or has gone. */
const CONNECTION_ERRORS = new Set([
  'ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', 'ENOENT', 'EHOSTUNREACH', 'ENETUNREACH',
  'ERR_STREAM_DESTROYED', 'ERR_SOCKET_CLOSED',
]);

/** pg reports these without a code. */
const CONNECTION_MESSAGES = [
  'Connection terminated', 'Client has encountered a connection error', 'Client was closed', 'Client network socket disconnected',
  'timeout exceeded when trying to connect', 'timeout expired', 'Query read timeout', 'Cannot use a pool after calling end',
];

/** The five characters of SQLSTATE, or Node's error code, or null. */
export function sqlState(error: unknown): string | null {
  if (typeof error !== 'object' || error === null) return null;
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' ? code : null;
}

/** True for serialization failures and deadlocks. */
export function isRetryableTransaction(error: unknown): boolean {
  const code = sqlState(error);
  return code !== null && RETRYABLE.has(code);
}

/** True when the connection is gone, so that nobody knows whether a COMMIT under way was applied. */
export function isConnectionError(error: unknown): boolean {
  const code = sqlState(error);
  if (code !== null && (CONNECTION_ERRORS.has(code) || code.startsWith('08') || code.startsWith('57P'))) return true;
  if (!(error instanceof Error)) return false;
  return CONNECTION_MESSAGES.some((message) => error.message.includes(message));
}

/** Turns a driver error into the platform's error; leaves everything else, AgentOsError included, as it is. */
export function fromDatabaseError(error: unknown): unknown {
  if (error instanceof AgentOsError) return error;
  if (isConnectionError(error)) return unavailable('The database cannot be reached.', error);
  const code = sqlState(error);
  if (code === null || !/^[0-9A-Z]{5}$/.test(code)) return error;
  if (code.startsWith('22') || code === '54001') {
    return new AgentOsError('invalid_request', {
      message: 'A value cannot be stored: it is out of range, malformed or nested too deep.',
      details: { reason: 'value_not_storable' },
      cause: error,
    });
  }
  if (code === '23505') {
    return new AgentOsError('conflict', { message: 'An object with this identifier exists already.', details: { reason: 'already_exists' }, cause: error });
  }
  if (RETRYABLE.has(code)) return unavailable('The database is too contended for this request.', error);
  if (code.startsWith('53') || code === '57014' || code === '25P03' || code === '25P04' || code === '55P03') {
    return unavailable('The database is overloaded.', error);
  }
  return error;
}

function unavailable(message: string, cause: unknown): AgentOsError {
  return new AgentOsError('dependency_unavailable', { message, details: { service: 'postgres' }, retryAfterSeconds: 1, cause });
}
