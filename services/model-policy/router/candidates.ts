/**
 * From a model reference to the models to try, in order (PRS 6.3).
 *
 * Names are resolved first, then entitlements are applied, then requirements; what falls out at each stage is kept
 * with its reason, so that a refusal can say why. A model that is not known cannot be told from one that never was:
 * both are `not_found`.
 */
import type { ModelRequirements, Tenant } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { MODEL_TIERS, type Catalogue, type CatalogueModel, type ModelAbility, type ModelTier } from './catalogue.ts';
import { refusalOf } from './entitlement.ts';

export interface RouteNeed {
  /** `tier:balanced`, a model id, or `backend/model`. */
  readonly modelRef: string;
  readonly operation: 'chat' | 'embed';
  readonly requirements: ModelRequirements;
  /** Estimate of what the model is given. */
  readonly inputTokens: number;
  /** Tokens the answer may have, where the caller says so. */
  readonly maxOutputTokens: number | null;
  /** What the call uses beside its operation; models whose list leaves it out are left. */
  readonly abilities?: readonly ModelAbility[];
  /** Why the tenant's rule set keeps a model from this call, null when it does not. */
  readonly refusal?: (model: CatalogueModel) => string | null;
}

export interface LeftOut {
  readonly model: string;
  readonly backend: string;
  readonly reason: string;
}

export interface Candidates {
  /** At least one, best first. */
  readonly models: readonly CatalogueModel[];
  readonly leftOut: readonly LeftOut[];
}

/** Measured milliseconds of recent calls; null where nothing recent is known. */
export interface LatencyReading {
  recentMs(model: CatalogueModel): number | null;
}

/** Assumed length of an answer for a cost limit when the caller sets none. */
const ASSUMED_OUTPUT_TOKENS = 1024;

/** @throws AgentOsError not_found, policy_blocked, conflict (requirements_unmet), invalid_request (wrong operation). */
export function findCandidates(catalogue: Catalogue, tenant: Tenant, need: RouteNeed, latency: LatencyReading): Candidates {
  const tier = tierOf(need.modelRef);
  const named = tier === null ? catalogue.named(need.modelRef) : catalogue.models.filter((model) => model.tiers.includes(tier));
  if (named.length === 0) throw unknownModel(need.modelRef);
  const capable = named.filter((model) => model.capabilities.includes(need.operation));
  if (capable.length === 0) throw wrongOperation(need, tier);
  const leftOut: LeftOut[] = [];
  const entitled = capable.filter((model) => keep(model, refusalOf(tenant, model, tier) ?? need.refusal?.(model) ?? null, leftOut));
  if (entitled.length === 0) throw refused(notEntitled(need.modelRef, leftOut), leftOut);
  const fitting = entitled.filter((model) => keep(model, shortcomingOf(model, need, latency), leftOut));
  if (fitting.length === 0) throw refused(requirementsUnmet(need, leftOut), leftOut);
  const regular = tier === null ? fitting : fitting.filter((model) => !model.lastResort);
  return { models: regular.length > 0 ? regular : fitting, leftOut };
}

/** The tier that `tier:<name>` names; null for a model id. @throws AgentOsError not_found for a tier that does not exist. */
export function tierOf(modelRef: string): ModelTier | null {
  if (!modelRef.startsWith('tier:')) return null;
  const tier = MODEL_TIERS.find((each) => each === modelRef.slice('tier:'.length));
  if (tier === undefined) throw unknownModel(modelRef);
  return tier;
}

function keep(model: CatalogueModel, reason: string | null, leftOut: LeftOut[]): boolean {
  if (reason !== null) leftOut.push({ model: model.modelId, backend: model.backend, reason });
  return reason === null;
}

export function shortcomingOf(model: CatalogueModel, need: RouteNeed, latency: LatencyReading): string | null {
  const missing = model.isListed ? need.abilities?.find((ability) => !model.capabilities.includes(ability)) : undefined;
  if (missing !== undefined) return `${missing}_not_supported`;
  const { min_context_tokens: minContext, max_cost_usd: maxCost, max_latency_ms: maxLatency } = need.requirements;
  if (model.contextWindowTokens !== null) {
    if (minContext !== undefined && model.contextWindowTokens < minContext) return 'context_window_too_small';
    if (need.inputTokens > model.contextWindowTokens) return 'input_exceeds_context_window';
  } else if (minContext !== undefined && minContext > 0) return 'context_window_unknown';
  if (maxCost !== undefined) {
    const worst = estimatedCostUsd(model, need);
    if (worst === null) return 'price_unknown';
    if (worst > maxCost) return 'too_expensive';
  }
  if (maxLatency !== undefined && (latency.recentMs(model) ?? 0) > maxLatency) return 'too_slow';
  return null;
}

/** US dollars of the call at most; null when the model has no price. */
export function estimatedCostUsd(model: CatalogueModel, need: RouteNeed): number | null {
  return costUsd(model, need.inputTokens, need.operation === 'embed' ? 0 : Math.min(need.maxOutputTokens ?? ASSUMED_OUTPUT_TOKENS, model.maxOutputTokens ?? Number.MAX_SAFE_INTEGER));
}

/** US dollars; null when the model has no price. */
export function costUsd(model: Pick<CatalogueModel, 'price'>, inputTokens: number, outputTokens: number): number | null {
  if (model.price === null) return null;
  return (inputTokens * model.price.inputUsdPerMillion + outputTokens * model.price.outputUsdPerMillion) / 1e6;
}

/** By the refusal. It does not travel with it: who may not use a model need not learn of it. */
const refusals = new WeakMap<AgentOsError, readonly LeftOut[]>();

/** What a refusal of `findCandidates` left, for the record. */
export function leftOutOf(error: unknown): readonly LeftOut[] {
  return (error instanceof AgentOsError ? refusals.get(error) : undefined) ?? [];
}

function refused(error: AgentOsError, leftOut: readonly LeftOut[]): AgentOsError {
  refusals.set(error, leftOut);
  return error;
}

function unknownModel(modelRef: string): AgentOsError {
  return new AgentOsError('not_found', {
    message: `There is no model ${modelRef}. GET /v1/models lists the ids; tiers are ${MODEL_TIERS.map((tier) => `tier:${tier}`).join(', ')}.`,
    details: { reason: 'model_not_found', model_ref: modelRef },
  });
}

function wrongOperation(need: RouteNeed, tier: ModelTier | null): AgentOsError {
  if (tier !== null) return unknownModel(`${need.modelRef} for ${need.operation}`);
  return new AgentOsError('invalid_request', {
    message: `Model ${need.modelRef} does not do ${need.operation}. GET /v1/models says what each model does.`,
    details: { reason: 'operation_not_supported', model_ref: need.modelRef, operation: need.operation },
  });
}

function notEntitled(modelRef: string, leftOut: readonly LeftOut[]): AgentOsError {
  const reasons = [...new Set(leftOut.map((each) => each.reason))];
  return new AgentOsError('policy_blocked', {
    message: `The tenant may not use ${modelRef}: ${reasons.join(', ')}. A tenant administrator can change its entitlements and model policy.`,
    details: { reason: reasons[0], model_ref: modelRef, policy_outcome: { decision: 'blocked', reasons, redactions: [] } },
  });
}

function requirementsUnmet(need: RouteNeed, leftOut: readonly LeftOut[]): AgentOsError {
  return new AgentOsError('conflict', {
    message: `No model behind ${need.modelRef} meets the requirements of this call; details.left_out says what each lacks.`,
    details: { reason: 'requirements_unmet', model_ref: need.modelRef, requirements: need.requirements, input_tokens: need.inputTokens, left_out: leftOut },
  });
}
