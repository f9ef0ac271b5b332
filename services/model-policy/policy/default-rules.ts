/**
 * `pol_default`: the rule set of every tenant that has none of its own.
 *
 * It takes secrets (keys, tokens, passwords) and payment card numbers out of requests and answers, since no model
 * needs them and both do harm in a backend's logs. Names of people's channels (e-mail, phone, IP), bank accounts and
 * social security numbers pass, because agents legitimately work with them; a tenant that must not send them sets
 * its own rules. It denies no terms.
 */
import type { PolicyRuleSet } from '../ports/policy-rules.ts';

export const DEFAULT_POLICY_ID = 'pol_default';

export const DEFAULT_RULES: PolicyRuleSet = Object.freeze({
  policyId: DEFAULT_POLICY_ID,
  version: 1,
  source: 'node' as const,
  description: 'Takes secrets and payment cards out of requests and answers.',
  rules: [{ id: 'secrets-and-cards', kind: 'pii' as const, types: ['secret', 'card'], action: 'redact' as const, direction: 'both' as const }],
  updatedAtMs: null,
});
