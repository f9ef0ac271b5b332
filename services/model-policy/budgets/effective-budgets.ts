/**
 * The budgets that apply to one call, from all places where a tenant may have them: `quotas.models.token_budget`,
 * `quotas.models.budgets` and the older `policy.token_budget`. All apply at once; where two speak of the same scope and
 * window, the smaller limit of each kind counts.
 */
import type { Tenant } from '../../../generated/types/index.ts';
import type { BudgetLimit, BudgetScope, BudgetWindow } from '../ports/usage.ts';

export interface Spender {
  readonly principalId: string;
  readonly agentId: string | null;
}

/** A budget as a tenant states it. `id` absent: of each agent or principal. */
export interface StatedBudget {
  readonly scope: BudgetScope;
  readonly id: string | null;
  readonly window: BudgetWindow;
  readonly maxTokens: number | null;
  readonly maxCostMicroUsd: number | null;
}

export const MICRO_USD = 1_000_000;

export function statedBudgets(tenant: Pick<Tenant, 'quotas' | 'policy'>): StatedBudget[] {
  const models = tenant.quotas?.models;
  const old = tenant.policy?.token_budget;
  const stated: StatedBudget[] = [];
  const add = (scope: BudgetScope, id: string | undefined, window: BudgetWindow, tokens: number | undefined, usd: number | undefined): void => {
    if (tokens === undefined && usd === undefined) return;
    stated.push({ scope, id: scope === 'tenant' ? '' : (id ?? null), window, maxTokens: tokens ?? null, maxCostMicroUsd: usd === undefined ? null : Math.floor(usd * MICRO_USD + 1e-6) });
  };
  if (models?.token_budget !== undefined) add('tenant', undefined, models.token_budget.window, models.token_budget.max_tokens, models.token_budget.max_cost_usd);
  for (const { scope, id, window, max_tokens: tokens, max_cost_usd: usd } of models?.budgets ?? []) add(scope, id, window, tokens, usd);
  add('tenant', undefined, 'hour', old?.max_tokens_per_hour, undefined);
  add('tenant', undefined, 'day', old?.max_tokens_per_day, undefined);
  return stated;
}

const NONE: readonly BudgetLimit[] = [];
/** Tenants are read anew every half second at most, so that what follows from one can be kept with it. */
const remembered = new WeakMap<object, readonly StatedBudget[]>();

export function effectiveBudgets(tenant: Pick<Tenant, 'quotas' | 'policy'>, spender: Spender): readonly BudgetLimit[] {
  let stated = remembered.get(tenant);
  if (stated === undefined) remembered.set(tenant, (stated = statedBudgets(tenant)));
  if (stated.length === 0) return NONE;
  const merged = new Map<string, BudgetLimit>();
  for (const { scope, id, window, maxTokens, maxCostMicroUsd } of stated) {
    const own = scope === 'tenant' ? '' : scope === 'agent' ? spender.agentId : spender.principalId;
    if (own === null || (id !== null && id !== own)) continue;
    const key = `${scope} ${window}`;
    const other = merged.get(key);
    merged.set(key, { scope, scopeId: own, window, maxTokens: smaller(maxTokens, other?.maxTokens), maxCostMicroUsd: smaller(maxCostMicroUsd, other?.maxCostMicroUsd) });
  }
  return [...merged.values()];
}

function smaller(one: number | null, other: number | null | undefined): number | null {
  if (one === null || other === null || other === undefined) return one ?? other ?? null;
  return Math.min(one, other);
}
