/** Rule sets of this process: `pol_default`, and what `put` added. Nothing survives the process. */
import { AgentOsError } from '../../platform/errors.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { DEFAULT_POLICY_ID, DEFAULT_RULES } from '../policy/default-rules.ts';
import type { PolicyRulesDraft, PolicyRuleSet, PolicyRulesPage, PolicyRulesPort } from '../ports/policy-rules.ts';

export class MemoryPolicyRules implements PolicyRulesPort {
  private readonly byTenant = new Map<string, Map<string, PolicyRuleSet>>();

  capabilities(): PortCapabilities {
    return { adapter: 'memory', contractVersion: '1.1', durable: false, features: ['put'] };
  }

  async get(auth: AuthContext, policyId: string | null): Promise<PolicyRuleSet> {
    const wanted = policyId ?? DEFAULT_POLICY_ID;
    const own = this.byTenant.get(auth.tenant_id)?.get(wanted);
    if (own !== undefined) return own;
    if (wanted === DEFAULT_POLICY_ID) return DEFAULT_RULES;
    throw noSuchRuleSet(wanted);
  }

  async list(auth: AuthContext, { limit, after }: { readonly limit: number; readonly after?: string }): Promise<PolicyRulesPage> {
    const own = this.byTenant.get(auth.tenant_id) ?? new Map<string, PolicyRuleSet>();
    const all = [...own.values(), ...(own.has(DEFAULT_POLICY_ID) ? [] : [DEFAULT_RULES])].sort(byId).filter(({ policyId }) => after === undefined || policyId > after);
    return { policies: all.slice(0, limit), hasMore: all.length > limit };
  }

  async put(auth: AuthContext, draft: PolicyRulesDraft): Promise<{ readonly policy: PolicyRuleSet; readonly created: boolean }> {
    let own = this.byTenant.get(auth.tenant_id);
    if (own === undefined) this.byTenant.set(auth.tenant_id, (own = new Map()));
    const old = own.get(draft.policyId);
    if (draft.version !== undefined && draft.version !== old?.version) throw otherVersion(draft, old?.version ?? null);
    const policy: PolicyRuleSet = {
      policyId: draft.policyId, version: (old?.version ?? 0) + 1, source: 'tenant', description: draft.description ?? null, rules: structuredClone(draft.rules), updatedAtMs: Date.now(),
    };
    own.set(draft.policyId, policy);
    return { policy, created: old === undefined };
  }

  async delete(auth: AuthContext, policyId: string): Promise<void> {
    if (this.byTenant.get(auth.tenant_id)?.delete(policyId) !== true) throw noSuchRuleSet(policyId);
  }
}

function byId(a: PolicyRuleSet, b: PolicyRuleSet): number {
  return a.policyId < b.policyId ? -1 : 1;
}

export function noSuchRuleSet(policyId: string): AgentOsError {
  return new AgentOsError('not_found', { message: `The tenant has no rule set ${policyId}.`, details: { reason: 'rule_set_not_found', policy_id: policyId } });
}

/** @param stored null: there is none of the tenant */
export function otherVersion({ policyId, version }: PolicyRulesDraft, stored: number | null): AgentOsError {
  return new AgentOsError('conflict', {
    message: stored === null
      ? `The tenant has no rule set ${policyId} of its own, so version ${version} cannot be replaced. Leave version out to create it.`
      : `Rule set ${policyId} stands at version ${stored}, not ${version}. Read it again and repeat the change on what is there.`,
    details: { reason: 'version_conflict', policy_id: policyId, version: stored },
  });
}
