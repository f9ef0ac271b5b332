/** DELETE /v1/policies/{policy_id}: where the node has one of the same name, that one holds again. */
import type { ModelPolicyHandlers } from '../../../generated/handlers/model-policy.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { DirectoryPort } from '../../platform/tenancy/directory.ts';
import { requireActiveTenant } from '../../platform/tenancy/tenant-gate.ts';
import { DEFAULT_POLICY_ID } from '../policy/default-rules.ts';
import type { PolicyRulesPort } from '../ports/policy-rules.ts';

export const deletePolicy = (rules: PolicyRulesPort, directory: DirectoryPort): ModelPolicyHandlers['deletePolicy'] =>
  async ({ path, auth }) => {
    const tenant = await requireActiveTenant(directory, auth);
    if (path.policy_id === tenant.default_policy_id && path.policy_id !== DEFAULT_POLICY_ID) {
      throw new AgentOsError('conflict', {
        message: `The tenant's calls are held to ${path.policy_id}; without it every call would be refused. Set default_policy_id of the tenant to another rule set first.`,
        details: { reason: 'policy_in_use', policy_id: path.policy_id },
      });
    }
    await rules.delete(auth, path.policy_id);
    return { status: 204, body: null };
  };
