import { describe, expect, it } from 'vitest';
import type { DueDelivery } from '../ports/webhooks.ts';
import { retryAfter, type Attempt } from './attempt.ts';
import { DEFAULT_SCHEDULE, backoffMs, judge } from './judgement.ts';

const DAY_MS = 86_400_000;
const delivery = (overrides: Partial<DueDelivery> = {}): DueDelivery => ({ runId: 'run_1', sequence: 3, eventId: 'evt_1', attempts: 0, ageMs: 0, event: null, ...overrides });
const target = (consecutiveFailures = 0) => ({ url: 'https://hooks.example.com/', secrets: [], consecutiveFailures });
const answered = (statusCode: number | null, retryAfterMs: number | null = null): Attempt => ({ delivered: statusCode !== null && statusCode < 300, statusCode, error: statusCode === 200 ? null : 'no', retryAfterMs, durationMs: 1 });
const most = () => 1;
const least = () => 0;

describe('what follows from an attempt', () => {
  it('waits longer after each, half of it at random, an hour at most', () => {
    const waits = [1, 2, 3, 10, 11, 60, 5_000].map((failures) => backoffMs(failures, DEFAULT_SCHEDULE, most));
    expect(waits).toEqual([5_000, 10_000, 20_000, 2_560_000, 3_600_000, 3_600_000, 3_600_000]);
    expect(backoffMs(3, DEFAULT_SCHEDULE, least)).toBe(10_000);
  });

  it('is done with any 2xx, tries everything else again, and never again after 410', () => {
    expect(judge(delivery(), target(), answered(200), DEFAULT_SCHEDULE)).toMatchObject({ state: 'delivered', endpoint: 'ok', hastenOthers: false });
    for (const status of [302, 400, 404, 429, 500, null]) {
      expect(judge(delivery({ attempts: 2 }), target(), answered(status), DEFAULT_SCHEDULE, most)).toMatchObject({ state: 'pending', endpoint: 'failed', retryInMs: 20_000, pauseMs: 0, disable: null });
    }
    expect(judge(delivery(), target(), answered(410), DEFAULT_SCHEDULE)).toMatchObject({ state: 'failed', disable: 'gone' });
  });

  it('gives up after a day, not after a count', () => {
    expect(judge(delivery({ attempts: 30, ageMs: DAY_MS - 3_600_001 }), target(), answered(500), DEFAULT_SCHEDULE, most).state).toBe('pending');
    expect(judge(delivery({ attempts: 30, ageMs: DAY_MS - 3_600_000 + 1 }), target(), answered(500), DEFAULT_SCHEDULE, most).state).toBe('failed');
    expect(judge(delivery({ ageMs: 3 * DAY_MS }), target(), answered(200), DEFAULT_SCHEDULE).state, 'late is better than never').toBe('delivered');
  });

  it('leaves the endpoint alone for as long as it asks, a day at most', () => {
    expect(judge(delivery(), target(), answered(429, 90_000), DEFAULT_SCHEDULE, most)).toMatchObject({ state: 'pending', retryInMs: 90_000, pauseMs: 90_000 });
    expect(judge(delivery(), target(), answered(503, 1), DEFAULT_SCHEDULE, most)).toMatchObject({ retryInMs: 5_000, pauseMs: 1 });
    expect(judge(delivery(), target(), answered(503, 1e12), DEFAULT_SCHEDULE, most)).toMatchObject({ state: 'pending', retryInMs: DAY_MS, pauseMs: DAY_MS });
  });

  it('takes an endpoint for down after some failures in a row, and opens it with the first success', () => {
    expect(judge(delivery(), target(3), answered(500), DEFAULT_SCHEDULE, most).pauseMs).toBe(0);
    expect(judge(delivery(), target(4), answered(500), DEFAULT_SCHEDULE, most).pauseMs).toBe(5_000);
    expect(judge(delivery(), target(6), answered(500), DEFAULT_SCHEDULE, most).pauseMs).toBe(20_000);
    expect(judge(delivery(), target(5), answered(200), DEFAULT_SCHEDULE).hastenOthers).toBe(true);
  });

  it('lets an endpoint that is down for a day keep its webhook', () => {
    let ms = 0;
    for (let failures = 1; failures < DEFAULT_SCHEDULE.disableAfter; failures += 1) ms += judge(delivery(), target(failures - 1), answered(500), DEFAULT_SCHEDULE, most).pauseMs;
    expect(ms).toBeGreaterThan(DAY_MS / 2);
  });
});

describe('Retry-After', () => {
  it('is seconds or a date, and anything else is nothing', () => {
    const now = Date.parse('2025-12-19T22:00:00Z');
    expect(retryAfter('120', now)).toBe(120_000);
    expect(retryAfter('Fri, 19 Dec 2025 22:01:00 GMT', now)).toBe(60_000);
    expect(retryAfter('Fri, 19 Dec 2025 21:00:00 GMT', now)).toBe(0);
    expect([retryAfter(undefined, now), retryAfter('soon', now), retryAfter('-5', now)]).toEqual([null, null, null]);
  });
});
