/** Rule sets of this process: `pol_default`, and what `put` added. Nothing survives the process. */
import { AgentOsError } from '../../platform/errors.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { DEFAULT_POLICY_ID, DEFAULT_RULES } from '../policy/default-rules.ts';
import type { PolicyRuleSet, PolicyRulesPort } from '../ports/policy-rules.ts';

export class MemoryPolicyRules implements PolicyRulesPort {
  private readonly byTenant = new Map<string, Map<string, PolicyRuleSet>>();

  capabilities(): PortCapabilities {
    return { adapter: 'memory', contractVersion: '1.0', durable: false, features: ['put'] };
  }

  async get(auth: AuthContext, policyId: string | null): Promise<PolicyRuleSet> {
    const wanted = policyId ?? DEFAULT_POLICY_ID;
    const own = this.byTenant.get(auth.tenant_id)?.get(wanted);
    if (own !== undefined) return own;
    if (wanted === DEFAULT_POLICY_ID) return DEFAULT_RULES;
    throw noSuchRuleSet(wanted);
  }

  /** Creates or replaces a rule set of the tenant; its own `pol_default` stands before the built-in one. */
  async put(auth: AuthContext, rules: PolicyRuleSet): Promise<void> {
    let own = this.byTenant.get(auth.tenant_id);
    if (own === undefined) this.byTenant.set(auth.tenant_id, (own = new Map()));
    own.set(rules.policyId, structuredClone(rules));
  }
}

export function noSuchRuleSet(policyId: string): AgentOsError {
  return new AgentOsError('not_found', { message: `The tenant has no rule set ${policyId}.`, details: { reason: 'rule_set_not_found', policy_id: policyId } });
}
