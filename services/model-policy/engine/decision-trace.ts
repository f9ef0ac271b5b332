/** What becomes of a call's record for who asks later: the decision trace, kept before the caller has the answer. Never content. */
import type { Logger } from 'pino';
import type { ModelDecision } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { accountablePrincipal } from '../../platform/tenancy/auth-context.ts';
import { MICRO_USD } from '../budgets/effective-budgets.ts';
import type { DecisionsPort } from '../ports/decisions.ts';
import { leftOutOf } from '../router/candidates.ts';
import type { CallRecord } from './call-record.ts';

export class DecisionTraces {
  readonly #decisions: DecisionsPort;
  readonly #log: Logger;

  constructor(decisions: DecisionsPort, log: Logger) {
    this.#decisions = decisions;
    this.#log = log;
  }

  /** Of a call that is about to be answered. @throws AgentOsError dependency_unavailable: an answer that nobody could account for is not given. */
  keep(record: CallRecord, outcome: string): Promise<void> {
    return this.#decisions.record(record.facts.auth, toDecision(record, outcome, null));
  }

  /** Of a call that has failed: its caller learns of that failure, whatever becomes of the trace. */
  async keepFailed(record: CallRecord, outcome: string, error: unknown): Promise<void> {
    // Nothing was decided yet: a flood of refused requests is not to become one of records.
    if (record.policyId === null && outcome !== 'policy_blocked') return;
    await this.#decisions.record(record.facts.auth, toDecision(record, outcome, error)).catch((failure: unknown) => {
      this.#log.error({ err: failure, request_id: record.facts.requestId, outcome }, 'The decision trace of a failed call could not be kept.');
    });
  }
}

/** @param error of a call that failed; it may know more of the refusal than the record */
function toDecision(record: CallRecord, outcome: string, error: unknown): ModelDecision {
  const { facts, held, served, usage } = record;
  const { auth } = facts;
  return {
    decision_id: record.decisionId, request_id: facts.requestId, at: stampOfCall(record.atMs),
    tenant_id: auth.tenant_id, principal_id: accountablePrincipal(auth).principal_id, agent_id: facts.agentId, run_id: facts.runId,
    operation: facts.operation, model_ref: facts.modelRef, streamed: facts.streamed, outcome,
    policy: policyOf(record, error),
    candidates: candidatesOf(record, error),
    price: served?.price == null ? null : { input_usd_per_mtok: served.price.inputUsdPerMillion, output_usd_per_mtok: served.price.outputUsdPerMillion },
    hold: held === null ? null : {
      tokens: held.tokens, cost_usd: held.costMicroUsd === null ? null : held.costMicroUsd / MICRO_USD,
      scopes: held.budgets.map(({ scope, scopeId, window }) => (scopeId === '' ? `${scope}:${window}` : `${scope}:${scopeId}:${window}`)),
    },
    settle: usage === null ? null : { tokens: usage.inputTokens + usage.outputTokens, cost_usd: record.costUsd },
    attempts: record.attempts.map(({ backend, model, atMs, latencyMs, error: code }) => ({ backend, model, started_at: stampOfAttempt(atMs), duration_ms: latencyMs, error: code })),
    timing: { policy_ms: rounded(record.policyMs), queue_ms: rounded(record.queueMs), first_byte_ms: record.firstByteMs === null ? null : rounded(record.firstByteMs), total_ms: rounded(record.elapsedMs()) },
    canary: record.plan?.canaryOf(served) ?? null,
    correlation_id: facts.correlationId, traceparent: facts.traceparent,
  };
}

function policyOf({ policyId, policyVersion, verdict }: CallRecord, error: unknown): ModelDecision['policy'] {
  // Entitlements refuse where models are looked for, behind the rule set.
  const refused = verdict.decision !== 'blocked' && error instanceof AgentOsError && error.code === 'policy_blocked';
  const told = refused ? (error.details['policy_outcome'] as { readonly reasons?: readonly string[] } | undefined) : undefined;
  return {
    policy_id: policyId ?? 'pol_default', version: policyVersion,
    decision: refused ? 'blocked' : verdict.decision,
    reasons: told?.reasons === undefined ? verdict.reasons.slice() : [...verdict.reasons, ...told.reasons],
    redactions: verdict.redactions.map(({ type, place, count }) => ({ type, kind: type, place, count })),
  };
}

function candidatesOf({ plan, served, attempts, leftOut, candidates }: CallRecord, error: unknown): ModelDecision['candidates'] {
  const looked: ModelDecision['candidates'] = candidates.map((model) => {
    const chosen = model === served;
    const tried = !chosen && attempts.some((attempt) => attempt.backend === model.backend && attempt.model === model.modelId);
    const reason = chosen ? null : tried ? 'attempt_failed' : served !== null ? 'ranked_lower' : 'not_tried';
    return { model: model.modelId, backend: model.backend, chosen, reason_left: reason, score: plan?.scoreOf(model) ?? null };
  });
  for (const { model, backend, reason } of leftOut) looked.push({ model, backend, chosen: false, reason_left: reason, score: null });
  if (error !== null) for (const { model, backend, reason } of leftOutOf(error)) looked.push({ model, backend, chosen: false, reason_left: reason, score: null });
  return looked;
}

/** Calls come many in a millisecond, and so do their attempts. */
function stamping(): (ms: number) => string {
  let last = -1;
  let text = '';
  return (ms) => {
    const whole = Math.floor(ms);
    if (last !== whole) text = new Date(whole).toISOString();
    last = whole;
    return text;
  };
}

const stampOfCall = stamping();
const stampOfAttempt = stamping();

const rounded = (ms: number): number => Math.round(ms * 1000) / 1000;
