/** What tenants have on a node, counted in its database: the proof that a redeploy took nothing away. */
import { CliError, EXIT } from './errors.ts';

/** What only its owner deletes: no retention, no expiry, no window ends these rows. */
const KEPT: Readonly<Record<string, string>> = {
  tenants: 'directory.tenants',
  principals: 'directory.principals',
  keys: 'directory.api_keys',
  agents: 'orchestrator.agents',
  tools: 'orchestrator.tools',
  webhooks: 'orchestrator.webhooks',
  policies: 'model_policy.policy_rules',
  'audit records': 'audit.records',
};

/** Rows by what they are, of tenants that are not being deleted; what has no table in this version counts as none. */
export type Inventory = Readonly<Record<string, number>>;

export async function takeInventory(databaseUrl: string): Promise<Inventory> {
  const { Client } = (await import('pg')).default;
  const client = new Client({ connectionString: databaseUrl, connectionTimeoutMillis: 5_000 });
  try {
    await client.connect();
    // An owner that is no superuser sees what row-level security shows, so it says that it acts for all of them.
    await client.query("BEGIN READ ONLY; SELECT set_config('app.platform', 'on', true)");
    const { rows } = await client.query<{ tenant_id: string }>('SELECT tenant_id FROM directory.tenants WHERE purge_after IS NULL');
    const ids = rows.map(({ tenant_id: id }) => id);
    await client.query("SELECT set_config('app.tenant_ids', $1, true)", [ids.join(',')]);
    const counts: Record<string, number> = {};
    for (const [what, table] of Object.entries(KEPT)) {
      const { rows: [found] } = await client.query<{ there: boolean }>('SELECT to_regclass($1) IS NOT NULL AS there', [table]);
      counts[what] = found!.there ? (await client.query<{ count: number }>(`SELECT count(*)::float8 AS count FROM ${table} WHERE tenant_id = ANY ($1)`, [ids])).rows[0]!.count : 0;
    }
    return counts;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** @throws CliError when there is less of anything than before. */
export function requireAllKept(before: Inventory, after: Inventory): string {
  const lost = Object.entries(before).filter(([what, count]) => (after[what] ?? 0) < count);
  if (lost.length > 0) {
    throw new CliError('the redeploy finished, but the node holds less than before', {
      exitCode: EXIT.gate,
      evidence: lost.map(([what, count]) => `${what}: ${count} before, ${after[what] ?? 0} now`),
      next: 'agentos logs; whoever deleted something meanwhile stands in agentos audit list',
    });
  }
  return Object.entries(after).filter(([, count]) => count > 0).map(([what, count]) => `${count} ${what}`).join(', ');
}
