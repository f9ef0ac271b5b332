/** GET /v1/policies/{policy_id}: the tenant's own rule set by this name, else the node's. */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import type { PolicyRulesPort } from '../ports/policy-rules.ts';
import { policyToWire } from './policy-wire.ts';

export const getPolicy = (rules: PolicyRulesPort): ModelPolicyHandlers['getPolicy'] =>
  async ({ path, auth, context }) => {
    const policy = await rules.get(auth, path.policy_id);
    return { status: 200, body: { policy: policyToWire(policy), correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
