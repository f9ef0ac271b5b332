/**
 * One attempt: the event signed and posted through the egress rules, and what the endpoint said to it.
 *
 * An endpoint accepts with any 2xx. Redirects are not followed: a webhook that moved is changed by its owner. The
 * answer's body is read up to a bound and thrown away.
 */
import type { CloudEvent } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { EgressClient } from '../../platform/egress/egress-client.ts';
import { signWebhook } from '../../platform/webhooks/standard-webhooks.ts';
import { CLOUD_EVENT_TYPE } from './cloud-event.ts';

export interface Attempt {
  readonly delivered: boolean;
  /** null when there was no answer. */
  readonly statusCode: number | null;
  /** Why it was not delivered, for the owner of the webhook. */
  readonly error: string | null;
  /** What `Retry-After` asked for. */
  readonly retryAfterMs: number | null;
  readonly durationMs: number;
}

export interface AttemptRequest {
  readonly url: string;
  readonly secrets: readonly string[];
  readonly event: CloudEvent;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export type Deliver = (request: AttemptRequest) => Promise<Attempt>;

const MAX_ANSWER_BYTES = 64 * 1024;
const MAX_ERROR_CHARACTERS = 300;

export function deliverThrough(egress: Pick<EgressClient, 'request'>): Deliver {
  return async ({ url, secrets, event, timeoutMs, signal }) => {
    const startedAt = performance.now();
    const ended = (result: Pick<Attempt, 'delivered' | 'statusCode' | 'error' | 'retryAfterMs'>): Attempt => ({ ...result, durationMs: Math.round(performance.now() - startedAt) });
    const body = JSON.stringify(event);
    try {
      const answer = await egress.request({
        url, method: 'POST', body, timeoutMs, maxRedirects: 0, maxResponseBytes: MAX_ANSWER_BYTES, signal,
        headers: {
          'content-type': CLOUD_EVENT_TYPE,
          ...signWebhook({ id: event.id, timestampSeconds: Math.floor(Date.now() / 1000), body }, secrets),
          ...(event.traceparent === undefined ? {} : { traceparent: event.traceparent }),
        },
      });
      const delivered = answer.status >= 200 && answer.status < 300;
      return ended({ delivered, statusCode: answer.status, error: delivered ? null : refusal(answer.status), retryAfterMs: delivered ? null : retryAfter(answer.headers['retry-after']) });
    } catch (error) {
      // An endpoint that accepted and then said too much has accepted all the same, but its status is lost by now: it is asked again.
      const message = error instanceof AgentOsError ? error.message : 'The endpoint could not be called.';
      return ended({ delivered: false, statusCode: null, error: message.slice(0, MAX_ERROR_CHARACTERS), retryAfterMs: null });
    }
  };
}

const refusal = (status: number): string => (status >= 300 && status < 400 ? `The endpoint answered ${status}; redirects are not followed.` : `The endpoint answered ${status}.`);

/** Seconds or an HTTP date (RFC 9110 §10.2.3), as milliseconds from now. */
export function retryAfter(header: string | undefined, nowMs = Date.now()): number | null {
  if (header === undefined) return null;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1000;
  // Date.parse makes something of nearly anything; an HTTP date begins with a weekday.
  const at = /^[A-Z][a-z]{2,}, /.test(header) ? Date.parse(header) : Number.NaN;
  return Number.isNaN(at) ? null : Math.max(0, at - nowMs);
}
