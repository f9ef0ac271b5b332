/** PolicyRulesPort: the ordered rule sets of a tenant (PRS 6.3). Rules are data; `policy/` evaluates them. */
import type { PolicyRuleAttributes, PolicyRuleMaxTokens, PolicyRuleModels, PolicyRulePii, PolicyRuleTerms, PolicyRuleTools } from '../../../generated/types/index.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';

export const PII_KINDS = ['email', 'phone', 'card', 'iban', 'ssn', 'ip', 'secret'] as const;
export type PiiKind = (typeof PII_KINDS)[number];

/** As on the wire (specs/schemas/policy-rule-*.schema.json). */
export type PolicyRule = PolicyRulePii | PolicyRuleTerms | PolicyRuleModels | PolicyRuleTools | PolicyRuleAttributes | PolicyRuleMaxTokens;

export interface PolicyRuleSet {
  /** e.g. `pol_default`. */
  readonly policyId: string;
  /** Counts the changes of the tenant's rule set; 1 at first and for those of the node. */
  readonly version: number;
  /** `tenant`: its own. `node`: for every tenant without one of the same name. */
  readonly source: 'tenant' | 'node';
  readonly description: string | null;
  /** In order: the first rule of a kind that says something about a matter decides. */
  readonly rules: readonly PolicyRule[];
  /** null for those of the node. */
  readonly updatedAtMs: number | null;
}

export interface PolicyRulesDraft {
  readonly policyId: string;
  readonly description?: string | null;
  readonly rules: readonly PolicyRule[];
  /** Only replace this version. */
  readonly version?: number;
}

export interface PolicyRulesPage {
  readonly policies: readonly PolicyRuleSet[];
  readonly hasMore: boolean;
}

export interface PolicyRulesPort {
  capabilities(): PortCapabilities;
  /**
   * The named rule set, or `pol_default` for null: the tenant's own before the node's. The same object as long as
   * nothing changed, so that what is compiled from it can be kept. May lag behind a change by another replica for a
   * second; a change through this object shows at once. @throws AgentOsError not_found.
   */
  get(auth: AuthContext, policyId: string | null): Promise<PolicyRuleSet>;
  /** The tenant's own and those of the node that it does not override, in order of the id. */
  list(auth: AuthContext, page: { readonly limit: number; readonly after?: string }): Promise<PolicyRulesPage>;
  /** Creates or replaces a rule set of the tenant. @throws AgentOsError conflict when another version is stored than the draft names. */
  put(auth: AuthContext, draft: PolicyRulesDraft): Promise<{ readonly policy: PolicyRuleSet; readonly created: boolean }>;
  /** Deletes a rule set of the tenant; the node's cannot be. @throws AgentOsError not_found. */
  delete(auth: AuthContext, policyId: string): Promise<void>;
}
