/**
 * What OpenAI's clients read in an error beside the error model: `type`, `param`, the code of a budget that is used up,
 * and the header that keeps them from repeating what cannot succeed. They repeat 408, 409, 429 and every 5xx by
 * themselves, and look at `x-should-retry` first.
 */

export const INSUFFICIENT_QUOTA = 'insufficient_quota';

const MAX_PARAM = 256;

export function openAiMembers(status: number, budget: boolean, details: Readonly<Record<string, unknown>>): { readonly type: string; readonly param: string | null } {
  return { type: budget ? INSUFFICIENT_QUOTA : typeOf(status), param: paramOf(details) };
}

export function shouldRetryHeader(status: number, retryable: boolean): Readonly<Record<string, string>> {
  const wouldRetry = status === 408 || status === 409 || status === 429 || status >= 500;
  return wouldRetry && !retryable ? { 'x-should-retry': 'false' } : {};
}

function typeOf(status: number): string {
  if (status === 401) return 'authentication_error';
  if (status === 403) return 'permission_error';
  if (status === 429) return 'rate_limit_error';
  return status >= 500 ? 'server_error' : 'invalid_request_error';
}

/** `/messages/0/role` of the first place that does not fit, as `messages[0].role`. Only members of the body have a name there. */
function paramOf(details: Readonly<Record<string, unknown>>): string | null {
  const path = Array.isArray(details.errors) ? (details.errors[0] as { readonly path?: unknown } | undefined)?.path : undefined;
  if (typeof path !== 'string' || !path.startsWith('/') || /^\/(?:headers|query|path)\//.test(path)) return null;
  const keys = path.slice(1).split('/').map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
  const param = keys.map((key, index) => (/^\d+$/.test(key) ? `[${key}]` : index === 0 ? key : `.${key}`)).join('');
  return param.slice(0, MAX_PARAM);
}
