/**
 * The one engine behind every surface of Model Policy: canonical, flat and OpenAI's, streamed and not (PRS 6).
 *
 *   tenant → rule set → guard on the request → limits → candidates → hold → backend, with fallback before the first byte
 *   → guard on the answer → settle → answer
 *
 * Nothing reaches a backend that the guard has not seen or that no hold stands for, and nothing reaches the caller that
 * the guard has not seen either. Every way out settles or releases the hold. Each answer carries the whole account:
 * usage, latency, policy outcome, route (PRS 6.2).
 */
import type { ModelRequest, ModelResponse, PolicyCheck, PolicyResult, Tenant } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { DirectoryPort } from '../../platform/tenancy/directory.ts';
import { requireActiveTenant } from '../../platform/tenancy/tenant-gate.ts';
import { requestHash } from '../metering/request-hash.ts';
import type { PolicyRulesPort } from '../ports/policy-rules.ts';
import { Judgement } from '../policy/evaluate.ts';
import type { ProviderCallOptions } from '../ports/provider.ts';
import type { Catalogue, CatalogueModel } from '../router/catalogue.ts';
import { refusalOf } from '../router/entitlement.ts';
import type { Router } from '../router/router.ts';
import type { Accounts } from './accounts.ts';
import { answerWhole } from './answer.ts';
import { CallRecord } from './call-record.ts';
import type { DecisionTraces } from './decision-trace.ts';
import { govern, type GovernedCall } from './govern.ts';
import type { EngineObserver } from './observer.ts';
import { callerOf, checkContent, rulesOf } from './policy-gate.ts';
import type { Repeatable, Repeats } from './repeats.ts';
import { openAnswerStream, type AnswerStream } from './stream.ts';
import { streamOnce } from './stream-once.ts';

export interface EngineParts {
  /** Asked anew for each call: backends list their models while the service runs. */
  readonly backends: { readonly catalogue: Catalogue };
  readonly directory: DirectoryPort;
  readonly rules: PolicyRulesPort;
  readonly router: Router;
  readonly traces: DecisionTraces;
  readonly observer: EngineObserver;
  readonly accounts: Accounts;
  readonly repeats: Repeats;
}

export interface CallOptions extends ProviderCallOptions {
  readonly correlationId: string;
  readonly surface: 'canonical' | 'openai';
  /** Whether the caller chose `request_id`, so that the same id is the same call. */
  readonly repeatable: boolean;
}

export interface Engine {
  /** @throws AgentOsError policy_blocked, quota_exceeded, not_found, conflict, rate_limited, timeout, dependency_unavailable, invalid_request. */
  invoke(auth: AuthContext, request: ModelRequest, options: CallOptions): Promise<ModelResponse>;
  /** A chat, piece by piece. Resolves once a backend has begun to answer; what fails before throws as `invoke` does. */
  stream(auth: AuthContext, request: ModelRequest, options: CallOptions): Promise<AnswerStream>;
  /** A refusal is a result, not an error. @throws AgentOsError not_found (no such rule set). */
  check(auth: AuthContext, check: PolicyCheck): Promise<PolicyResult>;
  /** The models that the tenant may use, in the order of preference. */
  models(auth: AuthContext): Promise<readonly CatalogueModel[]>;
}

export function createEngine(parts: EngineParts): Engine {
  return {
    invoke: (auth, request, options) => recorded(parts, auth, request, options, false, async (record) => {
      const call = await govern(parts, auth, request, options, record);
      if (!options.repeatable) return answerWhole(call, () => Promise.resolve());
      const { response, repeated } = await parts.repeats.once(repeatable(call), (charged) => answerWhole(call, charged));
      if (repeated) noteRepeated(call, response);
      return response;
    }),
    stream: (auth, request, options) => recorded(parts, auth, request, options, true, async (record) => {
      const call = await govern(parts, auth, request, options, record);
      if (!options.repeatable) return openAnswerStream(call, () => Promise.resolve());
      return streamOnce(parts.repeats, repeatable(call), (charged) => openAnswerStream(call, charged), (response) => noteRepeated(call, response));
    }),
    check: (auth, check) => checkContent(parts, auth, check),
    async models(auth) {
      const tenant = await requireActiveTenant(parts.directory, auth);
      const judgement = new Judgement(await rulesOf(parts, auth, tenant), callerOf(tenant, auth));
      return parts.backends.catalogue.models.filter((model) => isReachable(tenant, model) && judgement.refusalOf(model) === null);
    },
  };
}

/** The record of a call that fails before it has an answer ends here; any other where the answer ends. */
async function recorded<Result>(parts: EngineParts, auth: AuthContext, request: ModelRequest, options: CallOptions, streamed: boolean, run: (record: CallRecord) => Promise<Result>): Promise<Result> {
  const record = new CallRecord({
    auth, streamed, surface: options.surface, requestId: request.request_id, correlationId: options.correlationId, traceparent: options.traceparent,
    runId: request.context?.run_id ?? null, agentId: request.context?.agent_id ?? null, operation: request.operation, modelRef: request.model_ref,
  });
  try {
    return await run(record);
  } catch (error) {
    const outcome = options.signal.aborted ? 'client_closed' : error instanceof AgentOsError ? error.code : 'internal_error';
    parts.observer.finished(record.end(outcome));
    await parts.traces.keepFailed(record, outcome, error);
    throw error;
  }
}

function repeatable({ auth, request, options }: GovernedCall): Repeatable {
  return { auth, requestId: request.request_id, hash: requestHash(request), signal: options.signal };
}

/** It was charged when it was made, and used nothing now. */
function noteRepeated({ parts, record }: GovernedCall, response: ModelResponse): void {
  record.served = parts.backends.catalogue.models.find((model) => model.backend === response.route.backend && model.backendModel === response.route.model) ?? null;
  parts.observer.finished(record.end('repeated'));
}

/** By its id or by one of its tiers. */
function isReachable(tenant: Tenant, model: CatalogueModel): boolean {
  return refusalOf(tenant, model, null) === null;
}
