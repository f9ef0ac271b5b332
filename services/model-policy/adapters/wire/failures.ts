/**
 * What a backend's refusals and faults mean in the platform's codes. 400 and 422 are the request's fault, 404 the
 * model's, 429 load; everything else makes the backend unavailable, a refused key and a used-up account included, since
 * another backend can still serve.
 */
import { AgentOsError } from '../../../platform/errors.ts';
import { asObject, textOf } from './json.ts';

export type AnswerHeaders = Readonly<Record<string, string | readonly string[] | undefined>>;

/** A refusal as the vendors write it, in the words that they have in common. */
export interface VendorError {
  /** `invalid_api_key`, `overloaded_error`, … or ''. */
  readonly code: string;
  readonly message: string;
  /** Where the body itself names an HTTP status, as vLLM and TGI do inside streams. */
  readonly status: number | null;
}

const MAX_SAID = 300;
const USED_UP = /insufficient_quota|billing|credit balance|ServiceQuotaExceeded/i;

/** Reads `{error:{message,type,code}}`, `{type,error:{…}}`, `{object:'error',message,code}`, `{error:'text',error_type}` and `{error:'text'}`. */
export function readVendorError(body: unknown): VendorError {
  const outer = asObject(body);
  const error = asObject(outer?.['error']) ?? outer;
  const code = textOf(error, 'code') || textOf(error, 'type') || textOf(outer, 'error_type');
  const numbers = [error?.['code'], error?.['http_status_code'], error?.['status'], error?.['status_code']];
  const status = numbers.map(Number).find((each) => Number.isInteger(each) && each >= 400 && each < 600) ?? null;
  return { code, message: textOf(error, 'message') || textOf(outer, 'error'), status };
}

/** An error event inside a stream has no status; its words tell. */
export function statusOfCode({ code, message, status }: VendorError): number {
  if (status !== null) return status;
  if (/rate_?limit|throttl|too_?many/i.test(code)) return 429;
  if (/overload|busy|capacity/i.test(code)) return 529;
  if (/invalid_request|validation|bad_?request|context_length/i.test(code)) return 400;
  if (/not_found/i.test(code)) return 404;
  if (/authenti|permission|api_key|unauthorized/i.test(code)) return 401;
  if (/time_?d?_?out/i.test(code)) return 504;
  return USED_UP.test(`${code} ${message}`) ? 402 : 500;
}

/** @param said the vendor's words, from which anything secret has been taken */
export function failureOf(backend: string, status: number, headers: AnswerHeaders, { code, message }: VendorError): AgentOsError {
  const said = message.slice(0, MAX_SAID);
  const details = { service: backend, backend_status: status, ...(code === '' ? {} : { backend_code: code }) };
  const retryAfterSeconds = readRetryAfter(headers);
  const retry = retryAfterSeconds === undefined ? {} : { retryAfterSeconds };
  const colon = said === '' ? '.' : `: ${said}`;
  if (status === 402 || ((status === 429 || status === 400 || status === 403) && USED_UP.test(`${code} ${message}`))) {
    return new AgentOsError('dependency_unavailable', { message: `The account at backend ${backend} is used up.`, retryable: false, details: { ...details, reason: 'backend_quota_exhausted' } });
  }
  if (status === 429) return new AgentOsError('rate_limited', { message: `Backend ${backend} takes no more calls at the moment.`, details, ...retry });
  if (status === 408 || status === 504) return new AgentOsError('timeout', { message: `Backend ${backend} gave up the call.`, details });
  if (status === 404) return new AgentOsError('not_found', { message: `Backend ${backend} does not have this model${colon}`, details: { ...details, reason: 'model_not_found' } });
  if (status === 400 || status === 413 || status === 422) {
    return new AgentOsError('invalid_request', { message: `Backend ${backend} refused the request${colon}`, details: { ...details, reason: code || 'backend_refused' } });
  }
  if (status === 401 || status === 403) {
    return new AgentOsError('dependency_unavailable', { message: `Backend ${backend} refuses the configured key.`, retryable: false, details: { ...details, reason: 'backend_unauthorized' } });
  }
  if (status === 529) return new AgentOsError('dependency_unavailable', { message: `Backend ${backend} is overloaded.`, details: { ...details, reason: 'backend_overloaded' }, ...retry });
  return new AgentOsError('dependency_unavailable', { message: `Backend ${backend} answered ${status}.`, details, ...retry });
}

/** The backend said in the middle of its answer that it cannot go on. */
export function streamFailure(backend: string, error: VendorError): AgentOsError {
  const failure = failureOf(backend, statusOfCode(error), {}, error);
  return new AgentOsError(failure.code, { message: `${failure.message} It said so in the middle of its answer.`, retryable: failure.retryable, details: { ...failure.details, in_stream: true } });
}

export function streamTruncated(backend: string, cause?: unknown): AgentOsError {
  return new AgentOsError('dependency_unavailable', { message: `Backend ${backend} broke its answer off.`, details: { service: backend, reason: 'stream_truncated' }, cause });
}

export function badAnswer(backend: string, what: string): AgentOsError {
  return new AgentOsError('dependency_unavailable', { message: `Backend ${backend} sent ${what}.`, details: { service: backend, reason: 'bad_answer' } });
}

export function unreachable(backend: string, cause: unknown): AgentOsError {
  return new AgentOsError('dependency_unavailable', { message: `Backend ${backend} cannot be reached.`, details: { service: backend, reason: 'unreachable' }, cause });
}

export function callerGone(backend: string, cause?: unknown): AgentOsError {
  return new AgentOsError('timeout', { message: `The call to backend ${backend} was given up by its caller.`, details: { service: backend, reason: 'caller_gone' }, cause });
}

export type WaitedFor = 'answer' | 'first_byte' | 'next_byte';

export function tooSlow(backend: string, waitedFor: WaitedFor, ms: number): AgentOsError {
  const what = { answer: 'did not answer', first_byte: 'sent no first byte', next_byte: 'fell silent in its answer, sending nothing' }[waitedFor];
  return new AgentOsError('timeout', { message: `Backend ${backend} ${what} within ${ms} ms.`, details: { service: backend, reason: `slow_${waitedFor}`, timeout_ms: ms } });
}

export function notOffered(backend: string, what: string): AgentOsError {
  return new AgentOsError('invalid_request', { message: `Backend ${backend} does not offer ${what}.`, details: { service: backend, reason: 'operation_not_offered' } });
}

/** `retry-after-ms`, or `Retry-After` in seconds or as a date; at most an hour. */
export function readRetryAfter(headers: AnswerHeaders): number | undefined {
  const ms = Number(single(headers['retry-after-ms']));
  const plain = single(headers['retry-after']);
  const seconds = Number.isFinite(ms) && ms > 0 ? ms / 1000 : plain === undefined ? Number.NaN : /^\d+(?:\.\d+)?$/.test(plain) ? Number(plain) : (Date.parse(plain) - Date.now()) / 1000;
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(3600, seconds) : undefined;
}

function single(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.[0];
}
