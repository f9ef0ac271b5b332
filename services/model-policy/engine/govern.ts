/** Everything that is decided before a backend is asked, the same for every surface. */
import type { ModelRequest } from '../../../generated/types/index.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { requireActiveTenant } from '../../platform/tenancy/tenant-gate.ts';
import { Judgement } from '../policy/evaluate.ts';
import { guarded } from '../policy/guard.ts';
import { limitTokens } from '../policy/limits.ts';
import type { CatalogueModel, ModelAbility } from '../router/catalogue.ts';
import type { RoutePlan } from '../router/router.ts';
import type { CallAccount } from './accounts.ts';
import type { CallRecord } from './call-record.ts';
import type { CallOptions, EngineParts } from './engine.ts';
import { callerOf, refuseBlocked, rulesOf } from './policy-gate.ts';
import { judgeWork, readWork, workTokens, type ModelWork } from './work.ts';

/** A call that may be made: judged, routed, and with an account to hold against. */
export interface GovernedCall {
  readonly parts: EngineParts;
  readonly auth: AuthContext;
  readonly request: ModelRequest;
  readonly options: CallOptions;
  readonly judgement: Judgement;
  readonly work: ModelWork;
  readonly inputTokens: number;
  /** At least one, best first. */
  readonly models: readonly CatalogueModel[];
  readonly plan: RoutePlan;
  readonly account: CallAccount;
  readonly record: CallRecord;
}

/** tenant → requests a minute → rule set → guard on the request → limits → candidates. @throws AgentOsError as `Engine.invoke`. */
export async function govern(parts: EngineParts, auth: AuthContext, request: ModelRequest, options: CallOptions, record: CallRecord): Promise<GovernedCall> {
  const tenant = await requireActiveTenant(parts.directory, auth);
  await parts.accounts.admit(auth, tenant);
  const policyStarted = performance.now();
  const rules = await rulesOf(parts, auth, tenant);
  const judgement = new Judgement(rules, callerOf(tenant, auth));
  const work = guarded(judgement, readWork(request), judgeWork, parts.observer.guardFailed);
  const inputTokens = workTokens(work);
  const maxOutputTokens = limitTokens(judgement, tenant, inputTokens, request.generation?.max_output_tokens ?? null);
  record.policyId = rules.policyId;
  record.policyVersion = rules.version;
  record.policyMs = performance.now() - policyStarted;
  record.verdict = judgement.verdict();
  refuseBlocked(parts, judgement);
  const { runId, agentId } = record.facts;
  const plan = parts.router.plan(auth, tenant, {
    modelRef: request.model_ref, operation: request.operation, requirements: request.requirements ?? {}, inputTokens, maxOutputTokens, agentId,
    refusal: (model) => judgement.refusalOf(model)?.reason ?? null,
    abilities: abilitiesOf(request, work),
  });
  const account = parts.accounts.of({ auth, tenant, requestId: request.request_id, runId, agentId, operation: request.operation, inputTokens, maxOutputTokens });
  record.plan = plan;
  record.leftOut = plan.leftOut;
  const models = account.affordable(plan.models);
  record.candidates = models;
  if (models.length < plan.models.length) record.leftOut = [...plan.leftOut, ...plan.models.filter((model) => !models.includes(model)).map((model) => ({ model: model.modelId, backend: model.backend, reason: 'model_price_unknown' }))];
  const onQueued = (waitedMs: number): void => {
    record.queueMs += waitedMs;
  };
  return { parts, auth, request, options: { onQueued, ...options, traceparent: record.traceparent }, judgement, work, inputTokens, models, plan, account, record };
}

/** What a model has to be able to do beside the operation itself. */
function abilitiesOf({ generation }: ModelRequest, work: ModelWork): ModelAbility[] {
  if (work.operation !== 'chat') return [];
  const format = generation?.response_format?.type ?? 'text';
  return [...(work.tools.length > 0 ? (['tools'] as const) : []), ...(format === 'text' ? [] : (['json'] as const))];
}
