/**
 * The account of one model call, for every surface: a hold before each attempt at a backend, and exactly one end of it.
 *
 *   const account = accounts.of(call);            // once a call
 *   const hold = await account.openHold(model);   // before each attempt; throws when a budget does not allow it
 *   await hold.settle({ … })                      // when the backend has answered, whole or in part
 *   await hold.release()                          // when it has used nothing
 *
 * Both ends may be called more than once, in any order and from any exit path: the first one counts. An answer may be
 * sent as soon as `settle` has resolved.
 */
import type { Tenant } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { accountablePrincipal, type AuthContext } from '../../platform/tenancy/auth-context.ts';
import { effectiveBudgets, MICRO_USD } from '../budgets/effective-budgets.ts';
import { worstCase } from '../budgets/worst-case.ts';
import { costMicroUsd } from '../metering/price.ts';
import type { BudgetLimit, BudgetRefusal, UsageDraft, UsagePort } from '../ports/usage.ts';
import type { CatalogueModel } from '../router/catalogue.ts';

export interface AccountedCall {
  readonly auth: AuthContext;
  readonly tenant: Tenant;
  readonly requestId: string;
  readonly runId: string | null;
  readonly agentId: string | null;
  readonly operation: 'chat' | 'embed';
  /** Estimate of what the model is given. */
  readonly inputTokens: number;
  /** As asked for or lowered by a limit; null: not said. */
  readonly maxOutputTokens: number | null;
}

export interface AttemptUsage {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly estimated: boolean;
  /** The answer was cut short, by the caller or the backend. */
  readonly partial?: boolean;
  readonly fallbackUsed: boolean;
}

export interface OpenHold {
  readonly model: CatalogueModel;
  /** To be told to the backend: under a budget the answer is bounded. null: as the backend likes. */
  readonly maxOutputTokens: number | null;
  /** What was held, for the decision's record; null where no budget applies. */
  readonly held: { readonly tokens: number; readonly costMicroUsd: number | null; readonly budgets: readonly BudgetLimit[] } | null;
  settle(usage: AttemptUsage): Promise<void>;
  release(fallbackUsed: boolean): Promise<void>;
}

export interface CallAccount {
  readonly budgets: readonly BudgetLimit[];
  /** Those of the models that may be called under the budgets. @throws AgentOsError policy_blocked when there are none. */
  affordable(models: readonly CatalogueModel[]): readonly CatalogueModel[];
  /** @throws AgentOsError quota_exceeded, dependency_unavailable. */
  openHold(model: CatalogueModel): Promise<OpenHold>;
}

/** Longer than any call may take: backends are given up before. */
const HOLD_TTL_MS = 2 * 3_600_000;

export class Accounts {
  readonly usage: UsagePort;

  constructor(usage: UsagePort) {
    this.usage = usage;
  }

  /** Counts the request against the tenant's requests a minute. @throws AgentOsError rate_limited. */
  async admit(auth: AuthContext, tenant: Tenant): Promise<void> {
    const perMinute = tenant.quotas?.models?.max_requests_per_minute;
    if (perMinute === undefined) return;
    const verdict = await this.usage.takeRequest(auth, perMinute);
    if (verdict.allowed) return;
    throw new AgentOsError('rate_limited', {
      message: `The tenant may make ${perMinute} model calls a minute and has made them. Retry-After says when the next one fits.`,
      details: { reason: 'requests_per_minute_exceeded', limit: perMinute, window: 'minute' },
      retryAfterSeconds: verdict.retryAfterMs / 1000,
    });
  }

  of(call: AccountedCall): CallAccount {
    const budgets = effectiveBudgets(call.tenant, { principalId: accountablePrincipal(call.auth).principal_id, agentId: call.agentId });
    return {
      budgets,
      affordable: (models) => priced(models, budgets),
      openHold: (model) => this.#open(call, model, budgets),
    };
  }

  async #open(call: AccountedCall, model: CatalogueModel, budgets: readonly BudgetLimit[]): Promise<OpenHold> {
    const { auth } = call;
    const port = this.usage;
    const worst = worstCase({ operation: call.operation, inputTokens: call.inputTokens, maxOutputTokens: call.maxOutputTokens, model });
    const outcome = await port.reserve(auth, { tokens: worst.tokens, costMicroUsd: worst.costMicroUsd, budgets, ttlMs: HOLD_TTL_MS });
    if (outcome.outcome === 'exceeded') throw budgetExceeded(outcome);
    const { holdId } = outcome;
    const draft = (usage: AttemptUsage, state: UsageDraft['state']): UsageDraft => ({
      requestId: call.requestId, runId: call.runId, agentId: call.agentId, principalId: accountablePrincipal(auth).principal_id, operation: call.operation, model: model.modelId, backend: model.backend,
      inputTokens: usage.inputTokens, outputTokens: usage.outputTokens, costMicroUsd: costMicroUsd(model.price, usage.inputTokens, usage.outputTokens), state,
      fallbackUsed: usage.fallbackUsed, estimated: usage.estimated,
    });
    let ended: Promise<unknown> | null = null;
    return {
      model,
      maxOutputTokens: budgets.length === 0 ? call.maxOutputTokens : worst.maxOutputTokens,
      held: budgets.length === 0 ? null : { tokens: worst.tokens, costMicroUsd: worst.costMicroUsd, budgets },
      async settle(usage) {
        ended ??= port.settle(auth, holdId, draft(usage, usage.partial === true ? 'partial' : 'settled'));
        await ended;
      },
      async release(fallbackUsed) {
        ended ??= port.release(auth, holdId, draft({ inputTokens: 0, outputTokens: 0, estimated: false, fallbackUsed }, 'released'));
        await ended;
      },
    };
  }
}

/** A model without a price cannot be called where dollars are limited: nobody could say what it costs. */
function priced(models: readonly CatalogueModel[], budgets: readonly BudgetLimit[]): readonly CatalogueModel[] {
  const limit = budgets.find((budget) => budget.maxCostMicroUsd !== null);
  if (limit === undefined) return models;
  const known = models.filter((model) => model.price !== null);
  if (known.length > 0) return known;
  throw new AgentOsError('policy_blocked', {
    message: `A budget in dollars applies (${limit.scope}, ${limit.window}), and ${models.map((model) => model.modelId).join(', ')} has no price. The node's model configuration can give it one.`,
    details: { reason: 'model_price_unknown', models: models.map((model) => model.modelId), scope: limit.scope, window: limit.window, policy_outcome: { decision: 'blocked', reasons: ['model_price_unknown'], redactions: [] } },
  });
}

function budgetExceeded(refusal: BudgetRefusal): AgentOsError {
  const { reason, scope, scopeId, window, limit, spent, reserved, requested, resetAtMs } = refusal;
  const inDollars = reason !== 'token_budget_exceeded';
  const amount = (value: number): number => (inDollars ? value / MICRO_USD : value);
  const unit = inDollars ? 'US dollars' : 'tokens';
  const resetAt = new Date(resetAtMs).toISOString();
  return new AgentOsError('quota_exceeded', {
    message: `The ${unit} of this ${window} for the ${scope}${scopeId === '' ? '' : ` ${scopeId}`} do not allow the call: ${amount(limit)} in all, ${amount(spent)} spent, ${amount(reserved)} reserved, ${amount(requested)} needed at most. The window ends at ${resetAt}.`,
    retryable: false,
    details: {
      reason: reason === 'model_price_unknown' ? 'cost_budget_exceeded' : reason, scope, scope_id: scopeId === '' ? null : scopeId, window,
      limit: amount(limit), spent: amount(spent), reserved: amount(reserved), requested: amount(requested), reset_at: resetAt,
    },
  });
}
