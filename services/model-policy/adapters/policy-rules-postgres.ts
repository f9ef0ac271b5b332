/**
 * Rule sets in `model_policy.policy_rules`, one row a tenant and rule set. A tenant without a `pol_default` of its own
 * gets the built-in one.
 *
 * Every model call reads its rule set, so answers are remembered for less than a second: a change takes effect within
 * that time on every replica, and a busy tenant costs one query a second in place of one a call. A row that has not
 * changed gives the object that it gave before, with what was compiled from it.
 */
import { AuditTrail, withAudit } from '../../platform/audit/audit-trail.ts';
import type { Database } from '../../platform/db/pool.ts';
import { withTenant } from '../../platform/db/transaction.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { ShortMemory } from '../../platform/tenancy/short-memory.ts';
import { DEFAULT_POLICY_ID, DEFAULT_RULES } from '../policy/default-rules.ts';
import { parseRules } from '../policy/parse-rules.ts';
import type { PolicyRulesDraft, PolicyRuleSet, PolicyRulesPage, PolicyRulesPort } from '../ports/policy-rules.ts';
import { noSuchRuleSet, otherVersion } from './policy-rules-memory.ts';

/** Stands in no identifier: the contract refuses control characters in them. */
const SEPARATOR = '\n';
const MAX_KNOWN = 1_000;

interface Row {
  readonly policy_id: string;
  readonly version: number;
  readonly description: string | null;
  readonly rules: unknown;
  readonly updated_ms: number;
  /** Changes with every write, also where a set is deleted and made again. */
  readonly stamp: string;
}

const COLUMNS = `policy_id, version, description, rules, (extract(epoch FROM updated_at) * 1000)::float8 AS updated_ms, version || '/' || extract(epoch FROM updated_at) AS stamp`;

export class PostgresPolicyRules implements PolicyRulesPort {
  private readonly pool: Database['pool'];
  private readonly trail: AuditTrail;
  private readonly memory: ShortMemory<PolicyRuleSet | null>;
  private readonly known = new Map<string, { readonly stamp: string; readonly set: PolicyRuleSet }>();

  constructor(pool: Database['pool'], trail: AuditTrail = new AuditTrail({ service: 'model-policy' })) {
    this.pool = pool;
    this.trail = trail;
    this.memory = new ShortMemory((key) => this.read(key));
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.1', durable: true, features: ['put'] };
  }

  async get(auth: AuthContext, policyId: string | null): Promise<PolicyRuleSet> {
    const wanted = policyId ?? DEFAULT_POLICY_ID;
    const rules = await this.memory.get(keyOf(auth.tenant_id, wanted));
    if (rules !== null) return rules;
    if (wanted === DEFAULT_POLICY_ID) return DEFAULT_RULES;
    throw noSuchRuleSet(wanted);
  }

  async list(auth: AuthContext, { limit, after }: { readonly limit: number; readonly after?: string }): Promise<PolicyRulesPage> {
    const { rows } = await withTenant(this.pool, auth.tenant_id, (client) => client.query<Row>(
      `SELECT * FROM (
         SELECT ${COLUMNS} FROM model_policy.policy_rules WHERE tenant_id = $1
         UNION ALL SELECT $4, 1, NULL, NULL, 0, '' WHERE NOT EXISTS (SELECT FROM model_policy.policy_rules WHERE tenant_id = $1 AND policy_id = $4)
       ) AS sets WHERE $2::text IS NULL OR policy_id COLLATE "C" > $2 ORDER BY policy_id COLLATE "C" LIMIT $3`,
      [auth.tenant_id, after ?? null, limit + 1, DEFAULT_POLICY_ID],
    ));
    return { policies: rows.slice(0, limit).map((row) => (row.stamp === '' ? DEFAULT_RULES : toSet(row))), hasMore: rows.length > limit };
  }

  async put(auth: AuthContext, draft: PolicyRulesDraft): Promise<{ readonly policy: PolicyRuleSet; readonly created: boolean }> {
    const { row, stored } = await withAudit(this.pool, this.trail, auth.tenant_id, async (client, note) => {
      const insert = draft.version === undefined;
      // A version that no column of integers can hold is none that is stored, and the answer says so.
      const values = [auth.tenant_id, draft.policyId, JSON.stringify(draft.rules), draft.description ?? null];
      const { rows } = await client.query<Row>(
        insert
          ? `INSERT INTO model_policy.policy_rules AS held (tenant_id, policy_id, rules, description) VALUES ($1, $2, $3, $4)
             ON CONFLICT (tenant_id, policy_id) DO UPDATE SET rules = excluded.rules, description = excluded.description, version = held.version + 1, updated_at = clock_timestamp()
             RETURNING ${COLUMNS}`
          : `UPDATE model_policy.policy_rules SET rules = $3, description = $4, version = version + 1, updated_at = clock_timestamp()
             WHERE tenant_id = $1 AND policy_id = $2 AND version = $5::numeric RETURNING ${COLUMNS}`,
        insert ? values : [...values, draft.version],
      );
      if (rows[0] !== undefined) {
        note(auth, { action: 'policy.put', resource: { type: 'policy', id: draft.policyId }, details: { version: rows[0].version, rules: draft.rules.length } });
        return { row: rows[0], stored: null };
      }
      const held = await client.query<{ version: number }>('SELECT version FROM model_policy.policy_rules WHERE tenant_id = $1 AND policy_id = $2', [auth.tenant_id, draft.policyId]);
      return { row: null, stored: held.rows[0]?.version ?? null };
    });
    this.memory.forget(keyOf(auth.tenant_id, draft.policyId));
    if (row === null) throw otherVersion(draft, stored);
    return { policy: toSet(row), created: row.version === 1 };
  }

  async delete(auth: AuthContext, policyId: string): Promise<void> {
    const rowCount = await withAudit(this.pool, this.trail, auth.tenant_id, async (client, note) => {
      const deleted = await client.query('DELETE FROM model_policy.policy_rules WHERE tenant_id = $1 AND policy_id = $2', [auth.tenant_id, policyId]);
      if (deleted.rowCount !== 0) note(auth, { action: 'policy.delete', resource: { type: 'policy', id: policyId } });
      return deleted.rowCount;
    });
    this.memory.forget(keyOf(auth.tenant_id, policyId));
    if (rowCount === 0) throw noSuchRuleSet(policyId);
  }

  private async read(key: string): Promise<PolicyRuleSet | null> {
    const [tenantId, policyId] = key.split(SEPARATOR) as [string, string];
    const { rows: [row] } = await withTenant(this.pool, tenantId, (client) =>
      client.query<Row>(`SELECT ${COLUMNS} FROM model_policy.policy_rules WHERE tenant_id = $1 AND policy_id = $2`, [tenantId, policyId]));
    const known = this.known.get(key);
    this.known.delete(key);
    if (row === undefined) return null;
    const set = known?.stamp === row.stamp ? known.set : toSet(row);
    if (this.known.size >= MAX_KNOWN) this.known.delete(this.known.keys().next().value!);
    this.known.set(key, { stamp: row.stamp, set });
    return set;
  }
}

function toSet({ policy_id: policyId, version, description, rules, updated_ms: updatedAtMs }: Row): PolicyRuleSet {
  return { policyId, version, source: 'tenant', description, rules: parseRules(policyId, rules), updatedAtMs };
}

function keyOf(tenantId: string, policyId: string): string {
  return `${tenantId}${SEPARATOR}${policyId}`;
}
