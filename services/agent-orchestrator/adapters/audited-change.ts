/** Changes of a tenant's own things (agents, tools, servers, webhooks, memory) and the record of each, in one transaction. */
import type pg from 'pg';
import type { AuditFacts } from '../../platform/audit/audit-row.ts';
import { withAudit, type AuditTrail } from '../../platform/audit/audit-trail.ts';
import { originOf } from '../../platform/audit/request-origin.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { Statement } from './postgres-read.ts';

/** `agent.create`, `webhook.replace`, …, of the thing with this id. */
export function deed(type: 'agent' | 'tool' | 'mcp_server' | 'webhook', verb: string, id: string, details?: AuditFacts['details']): AuditFacts {
  return { action: `${type}.${verb}`, resource: { type, id }, ...(details === undefined ? {} : { details }) };
}

/** A run that was handed over to a worker still carries the call that created it. */
const MEMORY_CALLS: ReadonlySet<string> = new Set(['putMemoryItem', 'deleteMemoryItem']);

/**
 * A write to memory that somebody asked for; null for what a run does there, which stands in the log of the run. The key
 * and the size, never the value.
 */
export function memoryDeed(auth: AuthContext, verb: 'put' | 'delete', namespace: string, key: string, details?: AuditFacts['details']): AuditFacts | null {
  if (!MEMORY_CALLS.has(originOf(auth)?.operationId ?? '')) return null;
  return { action: `memory.${verb}`, resource: { type: 'memory_item', id: `${namespace}/${key}` }, ...(details === undefined ? {} : { details }) };
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
