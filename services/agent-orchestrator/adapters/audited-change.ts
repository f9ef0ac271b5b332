/** Changes of a tenant's own things (agents, tools, servers, webhooks) and the record of each, in one transaction. */
import type pg from 'pg';
import type { AuditFacts } from '../../platform/audit/audit-row.ts';
import { withAudit, type AuditTrail } from '../../platform/audit/audit-trail.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { Statement } from './postgres-read.ts';

/** `agent.create`, `webhook.replace`, …, of the thing with this id. */
export function deed(type: 'agent' | 'tool' | 'mcp_server' | 'webhook', verb: string, id: string, details?: AuditFacts['details']): AuditFacts {
  return { action: `${type}.${verb}`, resource: { type, id }, ...(details === undefined ? {} : { details }) };
}

/** Rows of one statement that changes something. @param done told the rows; null: nothing was changed, so nothing is recorded. */
export function changeAsTenant<Row extends pg.QueryResultRow>(
  pool: pg.Pool, trail: AuditTrail, auth: AuthContext, statement: Statement, values: readonly unknown[], done: (rows: readonly Row[]) => AuditFacts | null,
): Promise<Row[]> {
  return withAudit(pool, trail, auth.tenant_id, async (client, note) => {
    const { rows } = await client.query<Row>({ ...statement, values: [...values] });
    const facts = done(rows);
    if (facts !== null) note(auth, facts);
    return rows;
  });
}
