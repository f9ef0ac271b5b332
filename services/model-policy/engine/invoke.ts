/**
 * The one engine behind every surface of Model Policy: canonical, flat, and later the OpenAI one (PRS 6).
 *
 *   tenant → rule set → guard on the request → limits → candidates → backend, with fallback → guard on the answer
 *
 * Nothing reaches a backend that the guard has not seen, and nothing reaches the caller that it has not seen either.
 * Each answer carries the whole account: usage, latency, policy outcome, route (PRS 6.2).
 */
import type { ModelRequest, ModelResponse, PolicyCheck, PolicyResult, Tenant } from '../../../generated/types/index.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { DirectoryPort } from '../../platform/tenancy/directory.ts';
import { requireActiveTenant } from '../../platform/tenancy/tenant-gate.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import type { PolicyRuleSet, PolicyRulesPort } from '../ports/policy-rules.ts';
import type { ProviderCallOptions } from '../ports/provider.ts';
import { Judgement, type PolicyVerdict } from '../policy/evaluate.ts';
import { guarded } from '../policy/guard.ts';
import { limitTokens } from '../policy/limits.ts';
import { costUsd, findCandidates } from '../router/candidates.ts';
import type { Catalogue, CatalogueModel } from '../router/catalogue.ts';
import { refusalOf } from '../router/entitlement.ts';
import { callWithFallback, type Served } from '../router/fallback.ts';
import type { LatencyBook } from '../router/latency.ts';
import { callBackend, judgeBackendAnswer, judgeWork, readWork, toOutput, workTokens, type BackendAnswer, type ModelWork } from './work.ts';
import type { EngineObserver } from './observer.ts';

export interface EngineParts {
  /** Asked anew for each call: backends list their models while the service runs. */
  readonly backends: { readonly catalogue: Catalogue };
  readonly directory: DirectoryPort;
  readonly rules: PolicyRulesPort;
  readonly latency: LatencyBook;
  readonly observer: EngineObserver;
}

export interface Engine {
  /** @throws AgentOsError policy_blocked, not_found, conflict, rate_limited, timeout, dependency_unavailable, invalid_request. */
  invoke(auth: AuthContext, request: ModelRequest, options: ProviderCallOptions): Promise<ModelResponse>;
  /** A refusal is a result, not an error. @throws AgentOsError not_found (no such rule set). */
  check(auth: AuthContext, check: PolicyCheck): Promise<PolicyResult>;
  /** The models that the tenant may use, in the order of preference. */
  models(auth: AuthContext): Promise<readonly CatalogueModel[]>;
}

export function createEngine(parts: EngineParts): Engine {
  return {
    async invoke(auth, request, options) {
      const started = performance.now();
      try {
        return await invoke(parts, auth, request, options, started);
      } catch (error) {
        parts.observer.finished({
          operation: request.operation, backend: '', model: '', outcome: error instanceof AgentOsError ? error.code : 'internal_error',
          inputTokens: 0, outputTokens: 0, costUsd: null, latencyMs: performance.now() - started,
        });
        throw error;
      }
    },
    check: (auth, check) => checkContent(parts, auth, check),
    async models(auth) {
      const tenant = await requireActiveTenant(parts.directory, auth);
      return parts.backends.catalogue.models.filter((model) => isReachable(tenant, model));
    },
  };
}

async function invoke(parts: EngineParts, auth: AuthContext, request: ModelRequest, options: ProviderCallOptions, started: number): Promise<ModelResponse> {
  const tenant = await requireActiveTenant(parts.directory, auth);
  const rules = await rulesOf(parts, auth, tenant);
  const judgement = new Judgement(rules);
  const work = guarded(judgement, readWork(request), judgeWork, parts.observer.guardFailed);
  const inputTokens = workTokens(work);
  const maxOutputTokens = limitTokens(judgement, tenant, inputTokens, request.generation?.max_output_tokens ?? null);
  refuseBlocked(parts, judgement);
  const { models } = findCandidates(parts.backends.catalogue, tenant, {
    modelRef: request.model_ref, operation: request.operation, requirements: request.requirements ?? {}, inputTokens, maxOutputTokens,
  }, parts.latency);
  const served = await callWithFallback(models, options.signal, (model) => callBackend(auth, model, work, request.generation ?? {}, maxOutputTokens, options), (model, attempt) => {
    if (attempt.error === null) parts.latency.record(model, attempt.latencyMs);
    parts.observer.attempted(attempt);
  });
  const answer = guarded(judgement, served.answer, judgeBackendAnswer, parts.observer.guardFailed);
  refuseBlocked(parts, judgement);
  return respond(parts, request, work, served, answer, judgement.verdict(), started);
}

function respond(parts: EngineParts, request: ModelRequest, work: ModelWork, served: Served<BackendAnswer>, answer: BackendAnswer, verdict: PolicyVerdict, started: number): ModelResponse {
  const { model, fallbackUsed } = served;
  const { inputTokens, outputTokens, estimated } = answer.usage;
  const latencyMs = performance.now() - started;
  const cost = costUsd(model, inputTokens, outputTokens);
  parts.observer.judged(verdict);
  parts.observer.finished({ operation: work.operation, backend: model.backend, model: model.modelId, outcome: 'ok', inputTokens, outputTokens, costUsd: cost, latencyMs });
  return {
    request_id: request.request_id,
    status: 'ok',
    output: toOutput(work, answer),
    usage: {
      input_tokens: inputTokens,
      output_tokens: outputTokens,
      total_tokens: inputTokens + outputTokens,
      ...(estimated === true ? { estimated: true } : {}),
      ...(cost === null ? {} : { cost_usd: cost }),
    },
    latency_ms: Math.round(latencyMs),
    policy_outcome: wireVerdict(verdict),
    route: { backend: model.backend, model: model.backendModel, node: model.provider.node, fallback_used: fallbackUsed },
  };
}

async function checkContent(parts: EngineParts, auth: AuthContext, check: PolicyCheck): Promise<PolicyResult> {
  const tenant = await requireActiveTenant(parts.directory, auth);
  const rules = check.ruleset === undefined ? await rulesOf(parts, auth, tenant) : await parts.rules.get(auth, check.ruleset);
  const judgement = new Judgement(rules);
  guarded(judgement, check.content.text, (judge, text) => judge.text(text, 'content.text'), parts.observer.guardFailed);
  const verdict = judgement.verdict();
  parts.observer.judged(verdict);
  return { request_id: check.request_id ?? newId('req'), ...wireVerdict(verdict) };
}

/** The tenant's rule set. One that is named and missing blocks every call, in place of falling back to weaker rules. */
async function rulesOf(parts: EngineParts, auth: AuthContext, tenant: Tenant): Promise<PolicyRuleSet> {
  const policyId = tenant.default_policy_id ?? null;
  try {
    return await parts.rules.get(auth, policyId);
  } catch (error) {
    if (!(error instanceof AgentOsError) || error.code !== 'not_found') throw error;
    const verdict: PolicyVerdict = { decision: 'blocked', reasons: ['rule_set_missing'], redactions: [] };
    parts.observer.judged(verdict);
    throw blocked(verdict, `The tenant's rule set ${policyId} does not exist, so nothing may pass. Create it or set default_policy_id to another one.`);
  }
}

function refuseBlocked(parts: EngineParts, judgement: Judgement): void {
  if (!judgement.isBlocked) return;
  const verdict = judgement.verdict();
  parts.observer.judged(verdict);
  throw blocked(verdict, `Policy refused the call: ${verdict.reasons.join(', ')}.`);
}

function blocked(verdict: PolicyVerdict, message: string): AgentOsError {
  return new AgentOsError('policy_blocked', { message, details: { reason: verdict.reasons[0], reasons: verdict.reasons, policy_outcome: wireVerdict(verdict) } });
}

function wireVerdict(verdict: PolicyVerdict): { decision: PolicyVerdict['decision']; reasons: string[]; redactions: Record<string, unknown>[] } {
  return { decision: verdict.decision, reasons: [...verdict.reasons], redactions: verdict.redactions.map((each) => ({ ...each })) };
}

/** By its id or by one of its tiers. */
function isReachable(tenant: Tenant, model: CatalogueModel): boolean {
  return refusalOf(tenant, model, null) === null;
}
