/** A service's pen: makes records in its name, appends them to transactions, and tells who follows the log what was committed. */
import type pg from 'pg';
import { withTenant, type TransactionOptions } from '../db/transaction.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';
import { auditRow, type AuditFacts, type AuditRow } from './audit-row.ts';
import { sendAudit, type AppendedRow, type AuditConnection } from './audit-sql.ts';

/** Told after COMMIT, in the order of the commits' answers. Must not throw and must not wait. */
export interface AuditFollower {
  /** false: it looks at the chains alone. */
  readonly readsRows?: boolean;
  committed(rows: readonly AuditRow[], chains: readonly AppendedRow[]): void;
}

export interface AuditTrailOptions {
  /** e.g. `agent-orchestrator`: names the chain. */
  readonly service: string;
  readonly followers?: readonly AuditFollower[];
  /** false writes nothing: for measuring what the log costs, and for nothing else. No configuration reaches it. */
  readonly enabled?: boolean;
}

const NOTHING: Promise<AppendedRow[]> = Promise.resolve([]);

export class AuditTrail {
  readonly service: string;
  readonly enabled: boolean;
  readonly #followers: readonly AuditFollower[];

  constructor(options: AuditTrailOptions) {
    this.service = options.service;
    this.enabled = options.enabled ?? true;
    this.#followers = options.followers ?? [];
  }

  row(auth: AuthContext | null, facts: AuditFacts): AuditRow {
    return auditRow(this.service, auth, facts);
  }

  /** See `audit-sql.ts`: the last statement of the transaction, not awaited before COMMIT. */
  send(client: AuditConnection, rows: readonly AuditRow[]): Promise<AppendedRow[]> {
    return rows.length === 0 || !this.enabled ? NOTHING : sendAudit(client, rows);
  }

  /** After COMMIT, with what `send` answered. */
  committed(rows: readonly AuditRow[], chains: readonly AppendedRow[]): void {
    if (chains.length > 0) for (const follower of this.#followers) follower.committed(rows, chains);
  }

  /** The same for rows that were sent as JSON: they are read where somebody looks at them. */
  committedTexts(texts: readonly string[], chains: readonly AppendedRow[]): void {
    if (chains.length === 0) return;
    let rows: readonly AuditRow[] | null = null;
    for (const follower of this.#followers) follower.committed(follower.readsRows === false ? [] : (rows ??= texts.map((text) => JSON.parse(text) as AuditRow)), chains);
  }
}

/**
 * `withTenant`, with the records that `body` notes appended as the transaction's last statement; what `body` throws
 * rolls back both. The tenants must include those of the records. For administration: the append is awaited, so that a
 * deadlock is tried again as any other statement's is.
 */
export async function withAudit<Result>(
  pool: pg.Pool, trail: AuditTrail, tenantIds: string | readonly string[],
  body: (client: pg.PoolClient, note: (auth: AuthContext | null, facts: AuditFacts) => void, add: (made: readonly AuditRow[]) => void) => Promise<Result>,
  options: TransactionOptions = {},
): Promise<Result> {
  let rows: AuditRow[] = [];
  let appended: AppendedRow[] = [];
  const result = await withTenant(pool, tenantIds, async (client) => {
    rows = [];
    const answer = await body(client, (auth, facts) => rows.push(trail.row(auth, facts)), (made) => rows.push(...made));
    appended = await trail.send(client, rows);
    return answer;
  }, options);
  trail.committed(rows, appended);
  return result;
}
