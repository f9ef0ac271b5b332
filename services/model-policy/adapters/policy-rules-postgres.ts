/**
 * Rule sets in `model_policy.policy_rules`, one row a tenant and rule set. A tenant without a `pol_default` of its own
 * gets the built-in one.
 *
 * Every model call reads its rule set, so answers are remembered for less than a second: a change takes effect within
 * that time on every replica, and a busy tenant costs one query a second in place of one a call.
 */
import type { Database } from '../../platform/db/pool.ts';
import { withTenant } from '../../platform/db/transaction.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { ShortMemory } from '../../platform/tenancy/short-memory.ts';
import { DEFAULT_POLICY_ID, DEFAULT_RULES } from '../policy/default-rules.ts';
import { parseRules } from '../policy/parse-rules.ts';
import type { PolicyRuleSet, PolicyRulesPort } from '../ports/policy-rules.ts';
import { noSuchRuleSet } from './policy-rules-memory.ts';

/** Stands in no identifier: the contract refuses control characters in them. */
const SEPARATOR = '\n';

export class PostgresPolicyRules implements PolicyRulesPort {
  private readonly pool: Database['pool'];
  private readonly memory: ShortMemory<PolicyRuleSet | null>;

  constructor(pool: Database['pool']) {
    this.pool = pool;
    this.memory = new ShortMemory((key) => this.read(key));
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.0', durable: true, features: ['put'] };
  }

  async get(auth: AuthContext, policyId: string | null): Promise<PolicyRuleSet> {
    const wanted = policyId ?? DEFAULT_POLICY_ID;
    const rules = await this.memory.get(keyOf(auth.tenant_id, wanted));
    if (rules !== null) return rules;
    if (wanted === DEFAULT_POLICY_ID) return DEFAULT_RULES;
    throw noSuchRuleSet(wanted);
  }

  /** Creates or replaces a rule set of the tenant. */
  async put(auth: AuthContext, rules: PolicyRuleSet): Promise<void> {
    await withTenant(this.pool, auth.tenant_id, (client) => client.query(
      `INSERT INTO model_policy.policy_rules (tenant_id, policy_id, rules) VALUES ($1, $2, $3)
       ON CONFLICT (tenant_id, policy_id) DO UPDATE SET rules = excluded.rules, updated_at = now()`,
      [auth.tenant_id, rules.policyId, JSON.stringify({ pii: rules.pii, denied_terms: rules.deniedTerms })],
    ));
    this.memory.forget(keyOf(auth.tenant_id, rules.policyId));
  }

  private async read(key: string): Promise<PolicyRuleSet | null> {
    const [tenantId, policyId] = key.split(SEPARATOR) as [string, string];
    const { rows } = await withTenant(this.pool, tenantId, (client) =>
      client.query<{ rules: unknown }>('SELECT rules FROM model_policy.policy_rules WHERE tenant_id = $1 AND policy_id = $2', [tenantId, policyId]));
    return rows[0] === undefined ? null : parseRules(policyId, rows[0].rules);
  }
}

function keyOf(tenantId: string, policyId: string): string {
  return `${tenantId}${SEPARATOR}${policyId}`;
}
