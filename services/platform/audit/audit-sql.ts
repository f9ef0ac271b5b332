/**
 * Adding audit records to a transaction that exists already: the record commits with the deed or not at all, and costs
 * neither a round trip nor a commit of its own.
 *
 *     const appended = sendAudit(client, rows);   // the LAST statement; do not await it before COMMIT
 *     … COMMIT …
 *     trail.committed(rows, await appended);      // checkpoints and the mirror
 *
 * The transaction must act for every tenant of the rows (`withTenant`). It is the last one because the heads of the
 * chains are locked from here to the commit, in one order everywhere: nobody who holds them may wait for anything else.
 */
import type pg from 'pg';
import { storableJson } from '../db/storable.ts';
import type { StatementSender } from '../db/statement-batch.ts';
import type { AuditRow } from './audit-row.ts';

/** One parameter: `auditParameter(rows)`. One row a chain comes back: `AppendedRow`. */
const APPEND_AUDIT = { name: 'audit_append', text: 'SELECT tenant_id, service, sequence::float8 AS sequence, recorded_at, previous_hash, hash FROM audit.append($1::json)' };

/** How far a chain has come by an append. */
export interface AppendedRow extends pg.QueryResultRow {
  readonly tenant_id: string;
  readonly service: string;
  /** Of the last record. */
  readonly sequence: number;
  readonly recorded_at: string;
  /** What the first record of this append follows. */
  readonly previous_hash: string;
  readonly hash: string;
}

/** The connection of the transaction, as the driver has it or gathering its statements. */
export type AuditConnection = pg.ClientBase | StatementSender;

const auditParameter = (rows: readonly AuditRow[]): string => storableJson(rows);

/** Sends the append. Its failure fails the transaction; the promise may be left alone until COMMIT has been answered. */
export function sendAudit(client: AuditConnection, rows: readonly AuditRow[]): Promise<AppendedRow[]> {
  return sendAuditText(client, auditParameter(rows));
}

/** The same with the parameter made before. */
export function sendAuditText(client: AuditConnection, parameter: string): Promise<AppendedRow[]> {
  const answered = (client as StatementSender).query<AppendedRow>({ ...APPEND_AUDIT, values: [parameter] }).then(({ rows: chains }) => chains);
  answered.catch(() => undefined);
  return answered;
}
