/** What the pipeline asks before it validates: may this caller make this call now? */
import type { AuthContext } from '../tenancy/auth-context.ts';
import type { OperationRow } from './operation-types.ts';

export interface RateLimitVerdict {
  readonly allowed: boolean;
  /** Calls per window. */
  readonly limit: number;
  readonly windowSeconds: number;
  readonly remaining: number;
  /** Until there is one more. */
  readonly resetSeconds: number;
}

export interface RateLimiter {
  /** null: this class is not limited. A limiter that cannot answer throws dependency_unavailable. */
  check(auth: AuthContext, row: OperationRow): RateLimitVerdict | null | Promise<RateLimitVerdict | null>;
}

/** `RateLimit` and `RateLimit-Policy` (IETF draft-ietf-httpapi-ratelimit-headers). */
export function rateLimitHeaders(row: OperationRow, verdict: RateLimitVerdict): Record<string, string> {
  return {
    ratelimit: `"${row.rateLimit}";r=${Math.max(0, Math.floor(verdict.remaining))};t=${Math.ceil(verdict.resetSeconds)}`,
    'ratelimit-policy': `"${row.rateLimit}";q=${verdict.limit};w=${verdict.windowSeconds}`,
  };
}
