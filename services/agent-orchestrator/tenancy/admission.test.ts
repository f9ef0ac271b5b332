import { describe, expect, it } from 'vitest';
import { admit, type TenantRunsState } from './admission.ts';

const T0 = 1_790_000_000_000;
const EMPTY: TenantRunsState = { active: 0, arrivalMs: 0 };

function admitMany(limits: { maxConcurrentRuns: number; createQps: number; createBurst: number }, times: readonly number[]): number[] {
  let state = EMPTY;
  return times.filter((nowMs) => {
    const admission = admit(state, limits, nowMs);
    if (admission.outcome === 'admitted') state = admission.state;
    return admission.outcome === 'admitted';
  });
}

describe('admission', () => {
  const limits = { maxConcurrentRuns: 1_000_000, createQps: 10, createBurst: 4 };

  it('admits the burst at once and not one more', () => {
    expect(admitMany(limits, Array.from({ length: 20 }, () => T0))).toHaveLength(4);
  });

  it('admits the sustained rate after the burst', () => {
    const times = Array.from({ length: 10_000 }, (_, index) => T0 + index);
    expect(admitMany(limits, times).length).toBeGreaterThanOrEqual(10 * 10 + 3);
    expect(admitMany(limits, times).length).toBeLessThanOrEqual(4 + 10 * 10 + 1);
  });

  it('holds in every window: granted ≤ burst + rate × time + 1', () => {
    let seed = 7;
    const random = () => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648;
    const times = Array.from({ length: 3_000 }, () => T0 + random() * 20_000).sort((a, b) => a - b);
    const granted = admitMany(limits, times);
    for (let from = 0; from < granted.length; from += 7) {
      for (let to = from; to < granted.length; to += 11) expect(to - from + 1).toBeLessThanOrEqual(4 + (10 * (granted[to]! - granted[from]!)) / 1000 + 1);
    }
  });

  it('does not save up more than the burst while nobody comes', () => {
    expect(admitMany(limits, [T0, ...Array.from({ length: 20 }, () => T0 + 3_600_000)])).toHaveLength(1 + 4);
  });

  it('says when to come back, in whole seconds', () => {
    const state = { active: 0, arrivalMs: T0 + 2_500 };
    expect(admit(state, { ...limits, createQps: 0.4, createBurst: 1 }, T0)).toEqual({ outcome: 'rate_limited', retryAfterSeconds: 3, limit: 0.4 });
  });

  it('lets a raised rate act at once: of the old, slow rate a full bucket is left and no more', () => {
    const slow = { ...limits, createQps: 0.001, createBurst: 3 };
    let state = EMPTY;
    for (let admission = admit(state, slow, T0); admission.outcome === 'admitted'; admission = admit(state, slow, T0)) state = admission.state;
    expect(state.arrivalMs - T0, 'the slow rate is used up for fifty minutes').toBe(3_000_000);
    const first = admit(state, limits, T0);
    if (first.outcome !== 'admitted') throw new Error(first.outcome);
    expect(first.state.arrivalMs - T0, 'four places at ten a second').toBe(400);
    expect(admit(first.state, limits, T0)).toEqual({ outcome: 'rate_limited', retryAfterSeconds: 1, limit: 10 });
    expect(admit(first.state, limits, T0 + 100)).toMatchObject({ outcome: 'admitted' });
  });

  it('holds a lowered rate from where the faster one stood', () => {
    const fast = { ...limits, createQps: 1000, createBurst: 4 };
    let state = EMPTY;
    for (let count = 0; count < 4; count += 1) {
      const admission = admit(state, fast, T0);
      if (admission.outcome === 'admitted') state = admission.state;
    }
    expect(admit(state, { ...limits, createQps: 1, createBurst: 1 }, T0)).toMatchObject({ outcome: 'rate_limited', retryAfterSeconds: 1 });
    expect(admit(state, { ...limits, createQps: 1, createBurst: 1 }, T0 + 5)).toMatchObject({ outcome: 'admitted' });
  });

  it('refuses all at a rate of nought', () => {
    expect(admit(EMPTY, { ...limits, createQps: 0 }, T0)).toMatchObject({ outcome: 'rate_limited', limit: 0 });
  });

  it('holds runs to the number at once, and counts none that it refuses', () => {
    const few = { ...limits, maxConcurrentRuns: 2, createBurst: 100 };
    const state = { active: 2, arrivalMs: 0 };
    expect(admit(state, few, T0)).toEqual({ outcome: 'concurrency_exceeded', limit: 2, used: 2 });
    expect(admit({ ...state, active: 1 }, few, T0)).toMatchObject({ outcome: 'admitted', state: { active: 2 } });
    expect(admit({ active: 5, arrivalMs: 0 }, few, T0)).toMatchObject({ used: 5 });
  });
});
