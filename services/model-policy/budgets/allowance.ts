/**
 * How much of a budget a process may set aside, decided under the lock of the budget's row.
 *
 * A process that asks for one call's worth may be given a block, so that its next calls ask nobody. The block is a
 * fraction of what is left: while there is plenty, blocks are large; near the limit a block is the call itself, and
 * nothing is set aside that no call needs. What a process asks for is granted whenever it fits, whole or not at all.
 */
import type { BudgetLimit, BudgetRefusal } from '../ports/usage.ts';
import { windowEnd } from './windows.ts';

/** Tokens and micro-dollars. */
export interface Amounts {
  readonly tokens: number;
  readonly costMicroUsd: number;
}

export interface BudgetCounts {
  readonly spentTokens: number;
  readonly reservedTokens: number;
  readonly spentMicroUsd: number;
  readonly reservedMicroUsd: number;
}

/** A block takes at most this part of what is left, so that eight processes find some. */
const BLOCK_PART = 8;

/** What is taken from the budget: at least `need`, at most `wish`; null when `need` does not fit. */
export function allowance(limit: number | null, spent: number, reserved: number, need: number, wish: number): number | null {
  if (limit === null) return 0;
  const available = limit - spent - reserved;
  if (available < need) return null;
  return Math.max(need, Math.min(wish, Math.floor(available / BLOCK_PART)));
}

/** What a hold takes from one budget: nothing of a kind that it does not limit. */
export function needOf(limit: Pick<BudgetLimit, 'maxTokens' | 'maxCostMicroUsd'>, tokens: number, costMicroUsd: number | null): Amounts {
  return { tokens: limit.maxTokens === null ? 0 : tokens, costMicroUsd: limit.maxCostMicroUsd === null ? 0 : (costMicroUsd ?? 0) };
}

export function refusal(limit: BudgetLimit, windowStartMs: number, counts: BudgetCounts, need: Amounts): BudgetRefusal {
  const { scope, scopeId, window } = limit;
  const common = { scope, scopeId, window, resetAtMs: windowEnd(window, windowStartMs) };
  const tokensFit = allowance(limit.maxTokens, counts.spentTokens, counts.reservedTokens, need.tokens, 0) !== null;
  return tokensFit
    ? { reason: 'cost_budget_exceeded', ...common, limit: limit.maxCostMicroUsd ?? 0, spent: counts.spentMicroUsd, reserved: counts.reservedMicroUsd, requested: need.costMicroUsd }
    : { reason: 'token_budget_exceeded', ...common, limit: limit.maxTokens ?? 0, spent: counts.spentTokens, reserved: counts.reservedTokens, requested: need.tokens };
}

/** The refusal of a model without a price where a budget in dollars applies; null where it may be called. */
export function priceRefusal(budgets: readonly BudgetLimit[], costMicroUsd: number | null, startOf: (limit: BudgetLimit) => number): BudgetRefusal | null {
  if (costMicroUsd !== null) return null;
  const limit = budgets.find((each) => each.maxCostMicroUsd !== null);
  if (limit === undefined) return null;
  const { scope, scopeId, window, maxCostMicroUsd } = limit;
  return { reason: 'model_price_unknown', scope, scopeId, window, limit: maxCostMicroUsd!, spent: 0, reserved: 0, requested: 0, resetAtMs: windowEnd(window, startOf(limit)) };
}
