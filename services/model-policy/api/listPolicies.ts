/** GET /v1/policies: the tenant's rule sets and those of the node that it does not override, in order of their ids. */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import type { PolicyRulesPort } from '../ports/policy-rules.ts';
import { policyToWire } from './policy-wire.ts';

export const listPolicies = (rules: PolicyRulesPort): ModelPolicyHandlers['listPolicies'] =>
  async ({ query, auth, context }) => {
    const { policies, hasMore } = await rules.list(auth, { limit: query.limit ?? 50, ...(query.after === undefined ? {} : { after: query.after }) });
    return { status: 200, body: { policies: policies.map(policyToWire), has_more: hasMore, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
