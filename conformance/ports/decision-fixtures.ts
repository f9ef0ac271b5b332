/** Decisions about model calls, for suites. */
import type { ModelDecision } from '../../generated/types/index.ts';
import { newId } from '../../services/platform/ids.ts';
import type { AuthContext } from '../../services/platform/tenancy/auth-context.ts';

export function decisionOf(auth: AuthContext, more: Partial<ModelDecision> = {}): ModelDecision {
  return {
    decision_id: newId('dec'), request_id: newId('req'), at: new Date().toISOString(), tenant_id: auth.tenant_id, principal_id: auth.principal.principal_id, agent_id: null, run_id: null,
    operation: 'chat', model_ref: 'tier:balanced', streamed: false, outcome: 'ok',
    policy: { policy_id: 'pol_default', version: null, decision: 'allowed', reasons: [], redactions: [] },
    candidates: [{ model: 'm-1', backend: 'builtin', chosen: true, reason_left: null, score: 0.5 }, { model: 'm-2', backend: 'builtin', chosen: false, reason_left: 'ranked_lower', score: null }],
    price: { input_usd_per_mtok: 1, output_usd_per_mtok: 2 }, hold: { tokens: 100, cost_usd: 0.01, scopes: ['tenant:day'] }, settle: { tokens: 10, cost_usd: 0.001 },
    attempts: [{ backend: 'builtin', model: 'm-1', started_at: new Date().toISOString(), duration_ms: 3, error: null }],
    timing: { policy_ms: 0.1, queue_ms: 0, first_byte_ms: null, total_ms: 4.25 }, canary: null,
    correlation_id: newId('corr'), traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    ...more,
  };
}
