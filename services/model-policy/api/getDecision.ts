/** GET /v1/decisions/{request_id}: what was decided about one model call of the tenant. Reading it leaves an audit line. */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import type { DecisionsPort } from '../ports/decisions.ts';

export const getDecision = (decisions: DecisionsPort): ModelPolicyHandlers['getDecision'] =>
  async ({ path, auth, context }) => {
    const decision = await decisions.get(auth, path.request_id);
    context.log.info({ audit: 'decision.read', tenant_id: auth.tenant_id, principal_id: auth.principal.principal_id, decision_id: decision.decision_id, request_id: decision.request_id }, 'A decision was read.');
    return { status: 200, body: { decision, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
