/** GET /v1/decisions/{request_id}: what was decided about one model call of the tenant. Reading it is recorded. */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import { recorded, type Recorder } from '../../platform/audit/recorded.ts';
import type { DecisionsPort } from '../ports/decisions.ts';

export const getDecision = (decisions: DecisionsPort, recorder: Recorder): ModelPolicyHandlers['getDecision'] =>
  async ({ path, auth, context }) => {
    const facts = { action: 'decision.read', resource: { type: 'decision', id: path.request_id } };
    const decision = await recorded(recorder, auth, facts, () => decisions.get(auth, path.request_id));
    return { status: 200, body: { decision, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
