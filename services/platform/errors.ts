/**
 * The one error type of the platform. Domain code throws a code; only `http/errors.ts` knows HTTP statuses.
 * Codes come from `specs/schemas/error-codes.json` through generation (Appendix A.3, PRS 4.3).
 */
import { ERROR_CODES, type ErrorCode } from '../../generated/types/error-codes.ts';

export interface AgentOsErrorOptions {
  /** For the person who reads it: what failed, the evidence, what to do next. */
  readonly message: string;
  /** Defaults to what the code's row in the specs says. */
  readonly retryable?: boolean;
  /** Sent to the caller as `error.details`. Never put secrets or SQL here. */
  readonly details?: Readonly<Record<string, unknown>>;
  /** Seconds; becomes `Retry-After` with 429 and 503. */
  readonly retryAfterSeconds?: number;
  /** Logged under the correlation id, never sent. */
  readonly cause?: unknown;
}

export class AgentOsError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>>;
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode, options: AgentOsErrorOptions) {
    super(options.message, { cause: options.cause });
    this.name = 'AgentOsError';
    this.code = code;
    this.retryable = options.retryable ?? ERROR_CODES[code].retryable;
    this.details = options.details ?? {};
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

export type { ErrorCode };
