/** PUT /v1/policies/{policy_id}: creates or replaces a rule set of the tenant. Which one holds is the tenant's `default_policy_id`. */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { faultsOfRules } from '../policy/parse-rules.ts';
import type { PolicyRule, PolicyRulesPort } from '../ports/policy-rules.ts';
import { policyToWire } from './policy-wire.ts';

export const putPolicy = (rules: PolicyRulesPort): ModelPolicyHandlers['putPolicy'] =>
  async ({ path, body, auth, context }) => {
    const errors = faultsOfRules(body.rules);
    if (errors.length > 0) throw new AgentOsError('invalid_request', { message: `The rule set cannot be stored: ${errors[0]!.path} ${errors[0]!.message}.`, details: { errors: [...errors] } });
    const { policy, created } = await rules.put(auth, {
      policyId: path.policy_id, description: body.description ?? null,
      // What `faultsOfRules` finds no fault with is one of the kinds.
      rules: body.rules as readonly PolicyRule[],
      ...(body.version === undefined ? {} : { version: body.version }),
    });
    return { status: created ? 201 : 200, body: { policy: policyToWire(policy), correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
