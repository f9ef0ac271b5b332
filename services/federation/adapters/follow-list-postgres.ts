/** The list of followed runs in `federation.replications`. The database's clock counts. */
import type pg from 'pg';
import { newId } from '../../platform/ids.ts';
import { withScheduler } from '../../platform/db/transaction.ts';
import { followKey, type FollowedRun, type FollowList } from '../replication/follow-list.ts';

const ENTER = `INSERT INTO federation.replications (tenant_id, run_id, target_stack_id)
  SELECT f.tenant_id, f.remote_run_id, f.target_stack_id FROM federation.forwards f
  WHERE f.created_at >= $1 AND f.remote_run_id IS NOT NULL AND f.target_stack_id <> $2
    AND NOT EXISTS (SELECT FROM federation.replications r WHERE r.tenant_id = f.tenant_id AND r.run_id = f.remote_run_id)
  ORDER BY f.created_at LIMIT $3 ON CONFLICT DO NOTHING`;
const TAKE = `UPDATE federation.replications r SET lease_token = $3, due_at = clock_timestamp() + $2 * interval '1 millisecond'
  FROM (SELECT tenant_id, run_id FROM federation.replications WHERE finished_at IS NULL AND due_at <= clock_timestamp() ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED) d
  WHERE r.tenant_id = d.tenant_id AND r.run_id = d.run_id RETURNING r.tenant_id, r.run_id, r.target_stack_id, r.failures`;
/** A lease belongs to one taking of possibly many runs, so a run is named with it. */
const HELD = 'tenant_id = $1 AND run_id = $2 AND lease_token = $3';
const RENEW = `UPDATE federation.replications r SET due_at = clock_timestamp() + $4 * interval '1 millisecond'
  FROM unnest($1::text[], $2::text[], $3::text[]) AS h (tenant_id, run_id, token)
  WHERE r.tenant_id = h.tenant_id AND r.run_id = h.run_id AND r.lease_token = h.token AND r.finished_at IS NULL RETURNING r.tenant_id, r.run_id`;
const GIVE_BACK = `UPDATE federation.replications SET lease_token = NULL, due_at = clock_timestamp() + $4 * interval '1 millisecond', failures = CASE WHEN $5 THEN failures + 1 ELSE 0 END WHERE ${HELD}`;
const FINISH = `UPDATE federation.replications SET lease_token = NULL, finished_at = clock_timestamp() WHERE ${HELD}`;
const OPEN = 'SELECT count(*)::int AS open FROM federation.replications WHERE finished_at IS NULL';
const FORGET = `DELETE FROM federation.replications r WHERE (r.tenant_id, r.run_id) IN (
  SELECT l.tenant_id, l.run_id FROM federation.replications l
  WHERE NOT EXISTS (SELECT FROM federation.forwards f WHERE f.tenant_id = l.tenant_id AND f.remote_run_id = l.run_id)
  LIMIT $1 FOR UPDATE SKIP LOCKED)`;

interface ListRow {
  readonly tenant_id: string;
  readonly run_id: string;
  readonly target_stack_id: string;
  readonly failures: number;
}

export class PostgresFollowList implements FollowList {
  readonly #pool: pg.Pool;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  async enter({ ownStackId, since, limit }: { readonly ownStackId: string; readonly since: Date; readonly limit: number }): Promise<number> {
    return (await this.#all(ENTER, [since, ownStackId, limit])).rowCount ?? 0;
  }

  async take({ limit, leaseMs }: { readonly limit: number; readonly leaseMs: number }): Promise<readonly FollowedRun[]> {
    const token = newId('lse');
    const { rows } = await this.#all<ListRow>(TAKE, [limit, leaseMs, token]);
    return rows.map((row) => ({ tenantId: row.tenant_id, runId: row.run_id, targetStackId: row.target_stack_id, failures: row.failures, token }));
  }

  async renew(runs: readonly FollowedRun[], leaseMs: number): Promise<ReadonlySet<string>> {
    if (runs.length === 0) return new Set();
    const { rows } = await this.#all<ListRow>(RENEW, [runs.map((run) => run.tenantId), runs.map((run) => run.runId), runs.map((run) => run.token), leaseMs]);
    return new Set(rows.map((row) => followKey({ tenantId: row.tenant_id, runId: row.run_id })));
  }

  async giveBack({ tenantId, runId, token }: FollowedRun, { afterMs, failed }: { readonly afterMs: number; readonly failed: boolean }): Promise<void> {
    await this.#all(GIVE_BACK, [tenantId, runId, token, afterMs, failed]);
  }

  async finish({ tenantId, runId, token }: FollowedRun): Promise<void> {
    await this.#all(FINISH, [tenantId, runId, token]);
  }

  async open(): Promise<number> {
    return (await this.#all<{ open: number }>(OPEN, [])).rows[0]!.open;
  }

  async forget(limit: number): Promise<number> {
    return (await this.#all(FORGET, [limit])).rowCount ?? 0;
  }

  /** The list is the node's own work over all its tenants. */
  #all<Row extends pg.QueryResultRow>(text: string, values: readonly unknown[]): Promise<pg.QueryResult<Row>> {
    return withScheduler(this.#pool, (client) => client.query<Row>({ text, values: [...values] }));
  }
}
