/** A rule set as the API shows it. */
import type { Policy } from '../../../generated/types/index.ts';
import type { PolicyRuleSet } from '../ports/policy-rules.ts';

export function policyToWire({ policyId, version, source, description, rules, updatedAtMs }: PolicyRuleSet): Policy {
  return { policy_id: policyId, version, source, description, rules: rules.map((rule) => ({ ...rule })), updated_at: updatedAtMs === null ? null : new Date(updatedAtMs).toISOString() };
}
