/** PolicyRulesPort: the rule set that applies to a tenant (PRS 6.3). Rules are data; `policy/` evaluates them. */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';

export type PiiKind = 'email' | 'phone' | 'card' | 'iban' | 'ssn' | 'ip' | 'secret';

export interface PolicyRuleSet {
  /** e.g. `pol_default`. */
  readonly policyId: string;
  /** What to do with each kind of personal data; absent means leave it. */
  readonly pii: Readonly<Partial<Record<PiiKind, 'redact' | 'block'>>>;
  /** Text that contains one of these words (case-folded, whole words) is blocked. */
  readonly deniedTerms: readonly string[];
}

export interface PolicyRulesPort {
  capabilities(): PortCapabilities;
  /** The named rule set, or the tenant's default for null. @throws AgentOsError not_found. */
  get(auth: AuthContext, policyId: string | null): Promise<PolicyRuleSet>;
}
