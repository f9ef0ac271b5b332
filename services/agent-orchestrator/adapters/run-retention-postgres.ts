/** Deleting what is past its time, in batches that hold their locks for milliseconds. Several processes may do it at once. */
import type pg from 'pg';
import { withScheduler } from '../../platform/db/transaction.ts';
import type { RetentionQuery } from '../ports/run-state.ts';
import { runIdAt } from '../runtime/child-id.ts';

/**
 * $1 the moment, $2 an id that no run created before it has, $3 how many. Every tenant's oldest runs stand first in the
 * primary key, so no index over the time of ending is needed: what is too young or has not ended is passed over.
 */
export const DELETE_RUNS = {
  name: 'ao_delete_runs',
  text: `WITH victims AS (
      SELECT v.tenant_id, v.run_id FROM orchestrator.tenant_runs t
      CROSS JOIN LATERAL (
        SELECT r.tenant_id, r.run_id FROM orchestrator.runs r
        WHERE r.tenant_id = t.tenant_id AND r.run_id < $2 AND r.status IN ('completed', 'failed', 'canceled') AND r.completed_at < $1::timestamptz
        ORDER BY r.run_id LIMIT $3 FOR UPDATE SKIP LOCKED
      ) v LIMIT $3
    ), e AS (
      DELETE FROM orchestrator.run_events e USING victims v WHERE e.tenant_id = v.tenant_id AND e.run_id = v.run_id
    ), f AS (
      DELETE FROM orchestrator.run_facets f USING victims v WHERE f.tenant_id = v.tenant_id AND f.run_id = v.run_id
    )
    DELETE FROM orchestrator.runs r USING victims v WHERE r.tenant_id = v.tenant_id AND r.run_id = v.run_id`,
};

/** A record that has expired still counts while its run is under way (reliability: idempotency). */
export const DELETE_KEYS = {
  name: 'ao_delete_keys',
  text: `WITH victims AS (
      SELECT k.ctid FROM orchestrator.idempotency_keys k
      WHERE k.expires_at < statement_timestamp()
        AND NOT EXISTS (SELECT FROM orchestrator.runs r WHERE r.tenant_id = k.tenant_id AND r.run_id = k.run_id AND r.status IN ('queued', 'running'))
      LIMIT $1 FOR UPDATE SKIP LOCKED
    )
    DELETE FROM orchestrator.idempotency_keys k WHERE k.ctid = ANY (ARRAY(SELECT ctid FROM victims))`,
};

export function deleteExpired(pool: pg.Pool, query: RetentionQuery): Promise<{ readonly runs: number; readonly keys: number }> {
  return withScheduler(pool, async (client) => {
    const { endedBefore, limit } = query;
    const runs = endedBefore === null ? 0 : (await client.query({ ...DELETE_RUNS, values: [endedBefore, runIdAt(Date.parse(endedBefore)), limit] })).rowCount;
    const keys = (await client.query({ ...DELETE_KEYS, values: [limit] })).rowCount;
    return { runs: runs ?? 0, keys: keys ?? 0 };
  });
}
