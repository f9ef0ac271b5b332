/**
 * What follows from an attempt: done, again later, or given up; and what it says about the endpoint. Pure.
 *
 * A delivery is tried again after 5 s, 10 s, 20 s … at most an hour, with jitter, until a day after its event. An
 * endpoint that failed several times in a row is taken for down: it is left alone for as long as its failures say, and
 * then asked with one delivery at a time, so that a backlog neither hammers it nor uses up its patience. The first
 * success opens it again.
 */
import type { DeliveryOutcome, DueDelivery, WebhookTarget } from '../ports/webhooks.ts';
import type { Attempt } from './attempt.ts';

export interface RetrySchedule {
  /** Before the second attempt. */
  readonly baseMs: number;
  readonly maxMs: number;
  /** From the event; what fails after it is given up. */
  readonly giveUpAfterMs: number;
  /** Failures in a row after which the endpoint counts as down. */
  readonly downAfter: number;
  /** Failures in a row after which the webhook is disabled. */
  readonly disableAfter: number;
}

export const DEFAULT_SCHEDULE: RetrySchedule = { baseMs: 5_000, maxMs: 3_600_000, giveUpAfterMs: 86_400_000, downAfter: 5, disableAfter: 30 };

export const isDown = (target: Pick<WebhookTarget, 'consecutiveFailures'>, schedule: RetrySchedule): boolean => target.consecutiveFailures >= schedule.downAfter;

/** Half fixed and half random, so that what failed together does not come back together. */
export function backoffMs(failures: number, schedule: RetrySchedule, random: () => number): number {
  const full = Math.min(schedule.maxMs, schedule.baseMs * 2 ** Math.min(40, failures - 1));
  return Math.round(full * (0.5 + random() / 2));
}

export function judge(delivery: DueDelivery, target: WebhookTarget, attempt: Attempt, schedule: RetrySchedule, random: () => number = Math.random): DeliveryOutcome {
  const base = {
    runId: delivery.runId, sequence: delivery.sequence, statusCode: attempt.statusCode, error: attempt.error, retryInMs: 0, pauseMs: 0,
    disable: null, maxConsecutiveFailures: schedule.disableAfter, hastenOthers: false,
  };
  if (attempt.delivered) return { ...base, state: 'delivered', endpoint: 'ok', hastenOthers: isDown(target, schedule) };
  // 410: the receiver says that it does not want to be called ever again.
  if (attempt.statusCode === 410) return { ...base, state: 'failed', endpoint: 'failed', disable: 'gone' };
  const asked = Math.min(attempt.retryAfterMs ?? 0, schedule.giveUpAfterMs);
  const retryInMs = Math.max(asked, backoffMs(delivery.attempts + 1, schedule, random));
  const failures = target.consecutiveFailures + 1;
  const pauseMs = Math.max(asked, failures >= schedule.downAfter ? backoffMs(failures - schedule.downAfter + 1, schedule, random) : 0);
  const givenUp = delivery.ageMs + retryInMs > schedule.giveUpAfterMs;
  return { ...base, state: givenUp ? 'failed' : 'pending', endpoint: 'failed', retryInMs: givenUp ? 0 : retryInMs, pauseMs };
}

/** Retention has taken the event away before it could be delivered. */
export function eventGone(delivery: DueDelivery, schedule: RetrySchedule): DeliveryOutcome {
  return {
    runId: delivery.runId, sequence: delivery.sequence, state: 'failed', statusCode: null, error: 'The event was deleted by retention before it was delivered.',
    retryInMs: 0, endpoint: 'untouched', pauseMs: 0, disable: null, maxConsecutiveFailures: schedule.disableAfter, hastenOthers: false,
  };
}
