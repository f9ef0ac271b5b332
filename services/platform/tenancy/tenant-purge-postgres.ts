/**
 * Purging on PostgreSQL: every row of the tenant in every schema of the node, other services' included.
 *
 * It works as the owner of the tables, as migrations do: services may not delete from ledgers and logs, and must not be
 * able to. Row-level security holds for it all the same, since the tables force it and each transaction names the one
 * tenant. An advisory lock lets one process of the node work; rows go in batches with a transaction each, which also
 * keeps count, so that whoever goes on after a crash goes on where it stopped.
 *
 * A process may still be writing for the tenant when it is purged: an engine that settles a call, a worker between two
 * steps. So what was written behind the purge is swept once more, ten minutes later. No id is given twice, so nothing of
 * a later tenant can be meant.
 */
import type pg from 'pg';
import type { Logger } from 'pino';
import { AuditTrail, withAudit } from '../audit/audit-trail.ts';
import { createDatabase, type Database, type DatabaseUrl } from '../db/pool.ts';
import { withPlatform, withTenant } from '../db/transaction.ts';
import { PURGER } from './tenant-purge-memory.ts';
import type { PurgedTenant, TenantPurge } from './tenant-purge.ts';
import { tenantTables, type TenantTable } from './tenant-tables.ts';

export interface PostgresTenantPurgeOptions {
  /** As in DATABASE_URL: its user owns the tables, since it ran the migrations. */
  readonly url: DatabaseUrl;
  /** The service's own pool, for asking whether there is anything to do. */
  readonly pool: pg.Pool;
  readonly trail?: AuditTrail;
  readonly log?: Logger;
  /** Rows deleted in one transaction; 2,000 when absent. */
  readonly batch?: number;
  /** Between the purge and the sweep behind it; ten minutes when absent. */
  readonly sweepAfterMs?: number;
}

interface Work {
  readonly id: string;
  readonly finished: boolean;
}

/** Of this database: "agentosp" in ASCII. */
const LOCK_KEY = '7018969026951638896';
/** A purge that finds new rows so many times in a row leaves the rest to the next round. */
const PASSES = 20;
const SWEEP_AFTER_MS = 600_000;

const DUE = `
  SELECT tenant_id AS id, false AS finished FROM directory.tenants WHERE purge_after <= clock_timestamp()
  UNION SELECT former_tenant_id, finished_at IS NOT NULL FROM directory.tenant_purges
    WHERE swept_at IS NULL AND (finished_at IS NULL OR finished_at <= clock_timestamp() - $1 * interval '1 millisecond')
  ORDER BY id LIMIT 100`;

export class PostgresTenantPurge implements TenantPurge {
  readonly #options: PostgresTenantPurgeOptions;
  readonly #batch: number;
  readonly #trail: AuditTrail;

  constructor(options: PostgresTenantPurgeOptions) {
    this.#options = options;
    this.#batch = options.batch ?? 2_000;
    this.#trail = options.trail ?? new AuditTrail({ service: 'agent-orchestrator' });
  }

  async run(signal: AbortSignal): Promise<readonly PurgedTenant[]> {
    if ((await this.#due(this.#options.pool)).length === 0) return [];
    const { url, log } = this.#options;
    const owner = await createDatabase({ url, applicationName: 'agentos-purge', role: null, max: 2, ...(log === undefined ? {} : { log }) });
    try {
      return await this.#underLock(owner, signal);
    } finally {
      await owner.close();
    }
  }

  async #underLock(owner: Database, signal: AbortSignal): Promise<readonly PurgedTenant[]> {
    const lock = await owner.pool.connect();
    try {
      const { rows } = await lock.query<{ mine: boolean }>('SELECT pg_try_advisory_lock($1) AS mine', [LOCK_KEY]);
      if (!rows[0]!.mine) return [];
      const purged: PurgedTenant[] = [];
      // Asked again under the lock: another process may have done it meanwhile.
      for (const { id, finished } of await this.#due(owner.pool)) {
        if (finished ? await this.#sweep(owner.pool, id, signal) : await this.#purge(owner.pool, id, signal)) purged.push({ tenantId: id, rows: await counted(owner.pool, id) });
        if (signal.aborted) break;
      }
      return purged;
    } finally {
      // The lock goes with its connection.
      lock.release(true);
    }
  }

  async #due(pool: pg.Pool): Promise<readonly Work[]> {
    return withPlatform(pool, async (client) => (await client.query<Work>(DUE, [this.#options.sweepAfterMs ?? SWEEP_AFTER_MS])).rows);
  }

  /** True when the tenant is gone; false when the purge was interrupted, or the tenant was restored in the last moment. */
  async #purge(pool: pg.Pool, tenantId: string, signal: AbortSignal): Promise<boolean> {
    if (!(await begin(pool, tenantId)) || !(await this.#erase(pool, tenantId, signal))) return false;
    await withAudit(pool, this.#trail, tenantId, async (client, note) => {
      const [, { rows }] = await Promise.all([
        client.query('DELETE FROM directory.tenants WHERE tenant_id = $1', [tenantId]),
        client.query<{ rows_deleted: Record<string, number>; requested_by: string | null }>(
          'UPDATE directory.tenant_purges SET finished_at = clock_timestamp() WHERE former_tenant_id = $1 RETURNING rows_deleted, requested_by',
          [tenantId],
        ),
        client.query('SELECT pg_notify($1, $2)', ['agentos_directory', `tenant:${tenantId}`]),
      ]);
      const { rows_deleted, requested_by } = rows[0]!;
      note(PURGER, { action: 'tenant.purge', tenantId, resource: { type: 'tenant', id: tenantId }, details: { requested_by, rows_deleted } });
    });
    return true;
  }

  /** False always: the tenant was reported when it was purged. */
  async #sweep(pool: pg.Pool, tenantId: string, signal: AbortSignal): Promise<false> {
    if (await this.#erase(pool, tenantId, signal)) {
      await withTenant(pool, tenantId, (client) => client.query('UPDATE directory.tenant_purges SET swept_at = clock_timestamp() WHERE former_tenant_id = $1', [tenantId]));
    }
    return false;
  }

  /** Until a whole pass over all tables finds nothing: deleting may write elsewhere, and so may others. */
  async #erase(pool: pg.Pool, tenantId: string, signal: AbortSignal): Promise<boolean> {
    for (let pass = 1; pass <= PASSES; pass += 1) {
      let found = 0;
      for (const table of await tenantTables(pool)) {
        for (let deleted = this.#batch; deleted === this.#batch; found += deleted) {
          if (signal.aborted) return false;
          deleted = await eraseBatch(pool, tenantId, table, this.#batch);
        }
      }
      if (found === 0) return true;
    }
    throw new Error(`Tenant ${tenantId} is still being written to: its purge found new rows ${PASSES} times in a row.`);
  }
}

/** The point of no return, taken under the lock that restoring takes. */
function begin(pool: pg.Pool, tenantId: string): Promise<boolean> {
  return withTenant(pool, tenantId, async (client) => {
    const { rows } = await client.query<{ due: boolean; by: string | null }>(
      'SELECT purge_after IS NOT NULL AND purge_after <= clock_timestamp() AS due, deletion_requested_by AS by FROM directory.tenants WHERE tenant_id = $1 FOR UPDATE',
      [tenantId],
    );
    if (rows[0]?.due === false) return false;
    await client.query('INSERT INTO directory.tenant_purges (former_tenant_id, requested_by) VALUES ($1, $2) ON CONFLICT DO NOTHING', [tenantId, rows[0]?.by ?? null]);
    return true;
  });
}

function eraseBatch(pool: pg.Pool, tenantId: string, { name, quoted }: TenantTable, limit: number): Promise<number> {
  return withTenant(pool, tenantId, async (client) => {
    const { rowCount } = await client.query(`DELETE FROM ${quoted} WHERE ctid = ANY (ARRAY(SELECT ctid FROM ${quoted} WHERE tenant_id = $1 LIMIT $2)) AND tenant_id = $1`, [tenantId, limit]);
    const deleted = rowCount ?? 0;
    if (deleted > 0) {
      await client.query(
        `UPDATE directory.tenant_purges SET rows_deleted = rows_deleted || jsonb_build_object($2::text, coalesce((rows_deleted ->> $2)::bigint, 0) + $3::bigint) WHERE former_tenant_id = $1`,
        [tenantId, name, deleted],
      );
    }
    return deleted;
  });
}

function counted(pool: pg.Pool, tenantId: string): Promise<Readonly<Record<string, number>>> {
  return withTenant(pool, tenantId, async (client) => {
    const { rows } = await client.query<{ rows_deleted: Record<string, number> }>('SELECT rows_deleted FROM directory.tenant_purges WHERE former_tenant_id = $1', [tenantId]);
    return rows[0]?.rows_deleted ?? {};
  });
}
