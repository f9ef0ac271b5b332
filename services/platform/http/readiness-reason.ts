/**
 * Why a dependency is not there, in one word. Readiness is open to anyone, so it says no address, no user and nothing
 * in a driver's words; those stand in the log.
 */
import { AgentOsError } from '../errors.ts';
import { isConnectionError, sqlState } from '../db/sqlstate.ts';

/**
 * `timeout` no answer in time · `unreachable` no connection · `refused` our credential is not accepted · `overloaded`
 * it says to come back later · `none_available` there are several and none can serve · `failed` it answers, and not as
 * it should.
 */
export type ReadinessReason = 'timeout' | 'unreachable' | 'refused' | 'overloaded' | 'none_available' | 'failed';

/** Thrown by a check that knows its reason; the message is for the log. */
export class NotReadyError extends Error {
  readonly reason: ReadinessReason;

  constructor(reason: ReadinessReason, message: string) {
    super(message);
    this.name = 'NotReadyError';
    this.reason = reason;
  }
}

/** What a check resolves to that has something to say although the dependency serves: it takes nothing out of service. */
export class ReadyWithNote {
  /** `outdated`: what is known of it goes on, and cannot be brought up to date now. */
  readonly note: 'outdated';

  constructor(note: 'outdated') {
    this.note = note;
  }
}

const TIMEOUT_CODES = new Set(['ETIMEDOUT', 'UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', '57014']);

/** Reads what was thrown and what caused it; the first that tells decides. */
export function readinessReason(thrown: unknown): ReadinessReason {
  let error = thrown;
  for (let depth = 0; depth < 5 && error instanceof Error; depth += 1) {
    const reason = reasonOfOne(error);
    if (reason !== null) return reason;
    error = error.cause;
  }
  return 'failed';
}

function reasonOfOne(error: Error): ReadinessReason | null {
  if (error instanceof NotReadyError) return error.reason;
  if (error instanceof AgentOsError) {
    if (error.code === 'timeout') return 'timeout';
    if (error.code === 'unauthorized' || error.code === 'forbidden') return 'refused';
    return error.code === 'rate_limited' ? 'overloaded' : null;
  }
  const code = sqlState(error) ?? '';
  if (TIMEOUT_CODES.has(code) || error.name === 'TimeoutError' || error.name === 'AbortError' || /timeout e(xceeded|xpired)/.test(error.message)) return 'timeout';
  if (/^28[0-9A-Z]{3}$/.test(code)) return 'refused';
  if (/^53[0-9A-Z]{3}$/.test(code)) return 'overloaded';
  return isConnectionError(error) || code === 'UND_ERR_SOCKET' ? 'unreachable' : null;
}
