/** What the audit log says of a model call (PRS 10.3): who asked which model under which rules, and what became of it. Never content. */
import type { ModelDecision } from '../../../generated/types/index.ts';
import type { AuditFacts, AuditOutcome } from '../../platform/audit/audit-row.ts';

const DENIED = new Set(['policy_blocked', 'quota_exceeded', 'rate_limited', 'forbidden', 'tenant_suspended']);

export function deedOf(decision: ModelDecision): AuditFacts {
  const { policy, attempts, settle, hold } = decision;
  const last = attempts.at(-1);
  return {
    action: 'model.invoke',
    outcome: outcomeOf(decision.outcome),
    resource: { type: 'model_request', id: decision.request_id },
    correlationId: decision.correlation_id,
    decision: { decision_id: decision.decision_id, policy_id: policy.policy_id, policy_version: policy.version, decision: policy.decision, reasons: policy.reasons, redactions: policy.redactions.reduce((sum, { count }) => sum + (count ?? 1), 0) },
    ...(last === undefined ? {} : { route: { backend: last.backend, model: last.model, attempts: attempts.length } }),
    details: {
      operation: decision.operation, model_ref: decision.model_ref, streamed: decision.streamed, outcome: decision.outcome, run_id: decision.run_id, agent_id: decision.agent_id,
      held_tokens: hold?.tokens ?? null, tokens: settle?.tokens ?? null, cost_usd: settle?.cost_usd ?? null,
    },
  };
}

function outcomeOf(outcome: string): AuditOutcome {
  if (outcome === 'ok') return 'allowed';
  return DENIED.has(outcome) ? 'denied' : 'failed';
}
