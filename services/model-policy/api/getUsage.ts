/** GET /v1/usage: what the tenant has spent on models, holds and has left. */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import type { BudgetState as WireBudget, Tenant } from '../../../generated/types/index.ts';
import type { DirectoryPort } from '../../platform/tenancy/directory.ts';
import { requireActiveTenant } from '../../platform/tenancy/tenant-gate.ts';
import { MICRO_USD, statedBudgets, type StatedBudget } from '../budgets/effective-budgets.ts';
import { windowEnd } from '../budgets/windows.ts';
import type { BudgetState, UsagePort } from '../ports/usage.ts';
import { usagePeriod } from './usage-period.ts';

const MINUTE_MS = 60_000;

export function getUsage(usage: UsagePort, directory: DirectoryPort): ModelPolicyHandlers['getUsage'] {
  return async ({ query, auth, context }) => {
    const nowMs = Date.now();
    const period = usagePeriod(query, nowMs);
    const tenant = await requireActiveTenant(directory, auth);
    const perMinute = tenant.quotas?.models?.max_requests_per_minute ?? null;
    const [states, byModel, used] = await Promise.all([
      usage.budgets(auth, statedBudgets(tenant).flatMap(({ scope, id, window }) => (id === null ? [] : { scope, scopeId: id, window }))),
      usage.byModel(auth, { ...period, ...(query.model === undefined ? {} : { model: query.model }), ...(query.agent_id === undefined ? {} : { agentId: query.agent_id }) }),
      perMinute === null ? usage.byModel(auth, { fromMs: nowMs - MINUTE_MS }).then((sums) => sums.reduce((sum, { requests }) => sum + requests, 0)) : usage.requestsUsed(auth, perMinute),
    ]);
    return {
      status: 200,
      body: {
        tenant_id: auth.tenant_id,
        as_of: new Date(nowMs).toISOString(),
        budgets: budgetsOf(tenant, states),
        requests_per_minute: { limit: perMinute, used },
        by_model: byModel.map((sum) => ({
          day: sum.day, model: sum.model, backend: sum.backend, requests: sum.requests, input_tokens: sum.inputTokens, output_tokens: sum.outputTokens,
          cost_usd: sum.costMicroUsd === null ? null : sum.costMicroUsd / MICRO_USD,
        })),
        correlation_id: context.correlationId,
      },
    };
  };
}

/** Those that calls have met in this window, and those that the tenant states and no call has met yet. */
function budgetsOf(tenant: Tenant, states: readonly BudgetState[]): WireBudget[] {
  const stated = statedBudgets(tenant);
  return states.map((state) => toWire(state, stated.filter((each) => each.scope === state.scope && each.window === state.window && (each.id === null || each.id === state.scopeId))));
}

function toWire(state: BudgetState, limits: readonly StatedBudget[]): WireBudget {
  return {
    scope: state.scope,
    scope_id: state.scopeId === '' ? null : state.scopeId,
    window: state.window,
    window_start: new Date(state.windowStartMs).toISOString(),
    window_end: new Date(windowEnd(state.window, state.windowStartMs)).toISOString(),
    tokens: account(smallest(limits.map((limit) => limit.maxTokens)), state.spentTokens, state.reservedTokens, 1),
    cost_usd: account(smallest(limits.map((limit) => limit.maxCostMicroUsd)), state.spentMicroUsd, state.reservedMicroUsd, MICRO_USD),
  };
}

function account(limit: number | null, spent: number, reserved: number, unit: number): WireBudget['tokens'] {
  return { limit: limit === null ? null : limit / unit, spent: spent / unit, reserved: reserved / unit, available: limit === null ? null : Math.max(0, limit - spent - reserved) / unit };
}

function smallest(limits: readonly (number | null)[]): number | null {
  const known = limits.filter((limit) => limit !== null);
  return known.length === 0 ? null : Math.min(...known);
}
