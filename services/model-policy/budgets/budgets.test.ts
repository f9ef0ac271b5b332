import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MICRO_USD, effectiveBudgets, statedBudgets } from './effective-budgets.ts';
import { allowance } from './allowance.ts';
import { takeFromRate, usedOfRate } from './request-rate.ts';
import { windowEnd, windowStart } from './windows.ts';
import { worstCase } from './worst-case.ts';
import { costMicroUsd } from '../metering/price.ts';
import { requestHash } from '../metering/request-hash.ts';

const SEED = Number(process.env['AGENTOS_PROPERTY_SEED'] ?? 20_260_101);

describe('windows', () => {
  it('are aligned to UTC, leap days and the ends of years included', () => {
    const at = Date.parse('2024-02-29T23:59:59.999Z');
    expect(new Date(windowStart('minute', at)).toISOString()).toBe('2024-02-29T23:59:00.000Z');
    expect(new Date(windowStart('hour', at)).toISOString()).toBe('2024-02-29T23:00:00.000Z');
    expect(new Date(windowStart('day', at)).toISOString()).toBe('2024-02-29T00:00:00.000Z');
    expect(new Date(windowStart('month', at)).toISOString()).toBe('2024-02-01T00:00:00.000Z');
    expect(new Date(windowEnd('month', windowStart('month', at))).toISOString()).toBe('2024-03-01T00:00:00.000Z');
    expect(new Date(windowEnd('month', Date.parse('2024-12-01T00:00:00Z'))).toISOString()).toBe('2025-01-01T00:00:00.000Z');
  });

  it('hold every instant exactly once', () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 4e12 }), fc.constantFrom('minute' as const, 'hour' as const, 'day' as const, 'month' as const), (at, window) => {
      const start = windowStart(window, at);
      expect(start).toBeLessThanOrEqual(at);
      expect(windowEnd(window, start)).toBeGreaterThan(at);
      expect(windowStart(window, windowEnd(window, start) - 1)).toBe(start);
    }), { seed: SEED });
  });
});

describe('what a process may set aside', () => {
  it('never passes the limit, always covers what fits, and is the call itself near the limit', () => {
    const amount = fc.integer({ min: 0, max: 10_000 });
    fc.assert(fc.property(amount, amount, amount, amount, amount, (limit, spent, reserved, need, wish) => {
      const taken = allowance(limit, spent, reserved, need, wish);
      const available = limit - spent - reserved;
      expect(taken !== null).toBe(available >= need);
      if (taken === null) return;
      expect(taken).toBeGreaterThanOrEqual(need);
      expect(spent + reserved + taken).toBeLessThanOrEqual(limit);
      expect(taken).toBeLessThanOrEqual(Math.max(need, wish));
      if (available < need * 8) expect(taken).toBe(need);
    }), { seed: SEED, numRuns: 2_000 });
  });
});

describe('requests a minute', () => {
  it('are never more than a minute allows and one minute\'s refill, whenever they come', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 600 }), fc.array(fc.integer({ min: 0, max: 3_000 }), { minLength: 1, maxLength: 300 }), (perMinute, gaps) => {
      let arrivalMs = 0;
      let now = 1_700_000_000_000;
      const granted: number[] = [];
      for (const gap of gaps) {
        now += gap;
        const verdict = takeFromRate(arrivalMs, now, perMinute);
        arrivalMs = verdict.arrivalMs;
        if (verdict.allowed) granted.push(now);
        else expect(takeFromRate(arrivalMs, now + verdict.retryAfterMs, perMinute).allowed).toBe(true);
        expect(usedOfRate(arrivalMs, now, perMinute)).toBeLessThanOrEqual(perMinute);
      }
      for (const [index, first] of granted.entries()) {
        const last = granted.at(-1)!;
        expect(granted.length - index).toBeLessThanOrEqual(perMinute + ((last - first) * perMinute) / 60_000 + 1);
      }
    }), { seed: SEED });
  });

  it('follow a rate that is raised, and refuse all at none', () => {
    let arrivalMs = 0;
    for (let index = 0; index < 2; index += 1) ({ arrivalMs } = takeFromRate(arrivalMs, 1_000, 2));
    expect(takeFromRate(arrivalMs, 1_000, 2).allowed).toBe(false);
    expect(takeFromRate(arrivalMs, 2_500, 60).allowed).toBe(true);
    expect(takeFromRate(0, 1_000, 0)).toMatchObject({ allowed: false });
  });
});

describe('the budgets of a call', () => {
  const tenant = {
    quotas: { models: { token_budget: { window: 'day' as const, max_tokens: 500, max_cost_usd: 0.1 }, budgets: [
      { scope: 'tenant' as const, window: 'day' as const, max_tokens: 400 }, { scope: 'agent' as const, window: 'hour' as const, max_tokens: 50 },
      { scope: 'agent' as const, id: 'agt_big', window: 'hour' as const, max_tokens: 900, max_cost_usd: 2 }, { scope: 'principal' as const, id: 'usr_1', window: 'month' as const, max_cost_usd: 1 },
    ] } },
    policy: { token_budget: { max_tokens_per_hour: 90, max_tokens_per_day: 450 } },
  };

  it('are those of all places, and the smallest where several speak of one', () => {
    expect(effectiveBudgets(tenant, { principalId: 'usr_1', agentId: 'agt_big' })).toEqual([
      { scope: 'tenant', scopeId: '', window: 'day', maxTokens: 400, maxCostMicroUsd: 0.1 * MICRO_USD },
      { scope: 'agent', scopeId: 'agt_big', window: 'hour', maxTokens: 50, maxCostMicroUsd: 2 * MICRO_USD },
      { scope: 'principal', scopeId: 'usr_1', window: 'month', maxTokens: null, maxCostMicroUsd: MICRO_USD },
      { scope: 'tenant', scopeId: '', window: 'hour', maxTokens: 90, maxCostMicroUsd: null },
    ]);
    expect(effectiveBudgets(tenant, { principalId: 'usr_2', agentId: null }).map((budget) => budget.scope)).toEqual(['tenant', 'tenant']);
  });

  it('are none for a tenant that states none', () => {
    expect(statedBudgets({})).toEqual([]);
    expect(effectiveBudgets({ quotas: { models: { token_budget: { window: 'day' } } } }, { principalId: 'p', agentId: null })).toEqual([]);
  });
});

describe('the worst case', () => {
  const model = { price: { inputUsdPerMillion: 0.15, outputUsdPerMillion: 0.6 }, maxOutputTokens: 1_000 };

  it('is the input with a margin and the longest answer that is allowed', () => {
    expect(worstCase({ operation: 'chat', inputTokens: 100, maxOutputTokens: 200, model })).toEqual({ tokens: 325, costMicroUsd: Math.ceil(125 * 0.15 + 200 * 0.6), maxOutputTokens: 200 });
    expect(worstCase({ operation: 'chat', inputTokens: 100, maxOutputTokens: null, model }).maxOutputTokens).toBe(1_000);
    expect(worstCase({ operation: 'chat', inputTokens: 100, maxOutputTokens: 5_000, model }).maxOutputTokens).toBe(1_000);
    expect(worstCase({ operation: 'chat', inputTokens: 0, maxOutputTokens: null, model: { price: null, maxOutputTokens: null } })).toEqual({ tokens: 4_096, costMicroUsd: null, maxOutputTokens: 4_096 });
    expect(worstCase({ operation: 'embed', inputTokens: 8, maxOutputTokens: null, model })).toEqual({ tokens: 10, costMicroUsd: 2, maxOutputTokens: null });
  });

  it('costs whole micro-dollars, rounded up, and what costs nothing costs nothing', () => {
    expect(costMicroUsd(model.price, 1, 0)).toBe(1);
    expect(costMicroUsd(model.price, 1_000_000, 1_000_000)).toBe(750_000);
    expect(costMicroUsd({ inputUsdPerMillion: 0, outputUsdPerMillion: 0 }, 5, 5)).toBe(0);
    expect(costMicroUsd(null, 1, 1)).toBeNull();
  });
});

describe('the hash of a request', () => {
  it('does not depend on the order of members, and depends on everything else', () => {
    expect(requestHash({ a: 1, b: { c: [1, 2], d: null } })).toBe(requestHash({ b: { d: null, c: [1, 2] }, a: 1 }));
    expect(requestHash({ a: [1, 2] })).not.toBe(requestHash({ a: [2, 1] }));
    expect(requestHash({ a: '1' })).not.toBe(requestHash({ a: 1 }));
  });
});
