import { describe, expect, it } from 'vitest';
import { Refusals, type RateLimited } from './refusals.ts';

const limits = { createQps: 10, createBurst: 5, maxConcurrentRuns: 100 };
const verdict: RateLimited = { outcome: 'rate_limited', retryAfterSeconds: 1, limit: 10 };

describe('a refusal', () => {
  it('stands until the next place comes, and for its tenant alone', () => {
    const refusals = new Refusals();
    refusals.note('a', limits, verdict, 80, 1_000);
    expect(refusals.standing('a', limits, 1_079)).toEqual(verdict);
    expect(refusals.standing('b', limits, 1_000)).toBeNull();
    expect(refusals.standing('a', limits, 1_080)).toBeNull();
  });

  it('does not outlive the limits it was made under, nor a second', () => {
    const refusals = new Refusals();
    refusals.note('a', limits, verdict, 60_000, 0);
    expect(refusals.standing('a', { ...limits, createQps: 20 }, 10)).toBeNull();
    refusals.note('a', limits, verdict, 60_000, 0);
    expect(refusals.standing('a', { ...limits, createBurst: 6 }, 10)).toBeNull();
    refusals.note('a', limits, verdict, 60_000, 0);
    expect(refusals.standing('a', limits, 999)).toEqual(verdict);
    expect(refusals.standing('a', limits, 1_001)).toBeNull();
  });
});
