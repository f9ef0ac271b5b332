/**
 * The statements of replicas in Postgres. Each names the tenant; row-level security stands behind them.
 *
 * Those that join a batch with the table have no name, so they are planned each time: a plan that was kept from when the
 * table was small reads all of it once for each event of the batch.
 */

export interface HolderRow {
  readonly event_id: string;
  readonly run_id: string;
  /** bigint. */
  readonly sequence: string;
  readonly digest: string;
}

/** $1 tenant, $2 the node that sends, $3 runs in order: locks are taken in one order by everybody. */
export const ENTER_RUNS = {
  name: 'fed_replica_enter_runs',
  text: `INSERT INTO federation.replica_runs (tenant_id, run_id, source_stack_id)
    SELECT $1, r.run_id, $2 FROM unnest($3::text[]) AS r (run_id) ORDER BY r.run_id ON CONFLICT DO NOTHING`,
};

export const LOCK_RUNS = {
  text: `SELECT run_id, source_stack_id FROM federation.replica_runs WHERE tenant_id = $1 AND run_id = ANY ($2::text[]) ORDER BY run_id FOR UPDATE`,
};

/** $1 tenant, $2 event ids, $3 and $4 places. */
export const HOLDERS = {
  text: `SELECT event_id, run_id, sequence, digest FROM federation.replica_events WHERE tenant_id = $1 AND event_id = ANY ($2::text[])
    UNION
    SELECT e.event_id, e.run_id, e.sequence, e.digest FROM unnest($3::text[], $4::bigint[]) AS p (run_id, sequence)
    JOIN federation.replica_events e ON e.tenant_id = $1 AND e.run_id = p.run_id AND e.sequence = p.sequence`,
};

export const INSERT_EVENTS = {
  name: 'fed_replica_insert_events',
  text: `INSERT INTO federation.replica_events (tenant_id, run_id, sequence, event_id, digest, event)
    SELECT $1, e.run_id, e.sequence, e.event_id, e.digest, e.event::json
    FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[]) AS e (run_id, sequence, event_id, digest, event)
    ON CONFLICT DO NOTHING RETURNING event_id`,
};

/** $1 tenant, $2 runs, $3 whether the last event of each is among the new ones. Looks only at what stands behind the whole part. */
export const EXTEND_RUNS = {
  text: `UPDATE federation.replica_runs r SET
      stored_at = clock_timestamp(),
      ended = r.ended OR n.ended,
      contiguous_to = coalesce((
        SELECT max(g.sequence) FROM (
          SELECT e.sequence, e.sequence - row_number() OVER (ORDER BY e.sequence) AS base FROM federation.replica_events e
          WHERE e.tenant_id = r.tenant_id AND e.run_id = r.run_id AND e.sequence > r.contiguous_to
        ) g WHERE g.base = r.contiguous_to), r.contiguous_to)
    FROM unnest($2::text[], $3::boolean[]) AS n (run_id, ended) WHERE r.tenant_id = $1 AND r.run_id = n.run_id`,
};

/** A run that was entered and got none of its events. $1 tenant. */
export const DROP_EMPTY_RUNS = {
  text: `DELETE FROM federation.replica_runs r WHERE r.tenant_id = $1 AND r.run_id = ANY ($2::text[])
      AND NOT EXISTS (SELECT FROM federation.replica_events e WHERE e.tenant_id = r.tenant_id AND e.run_id = r.run_id)`,
};

export const READ_EVENTS = {
  name: 'fed_replica_read_events',
  text: `SELECT event FROM federation.replica_events WHERE tenant_id = $1 AND run_id = $2 AND sequence > $3 ORDER BY sequence LIMIT $4`,
};

export const READ_EXTENT = {
  name: 'fed_replica_read_extent',
  text: `SELECT source_stack_id, contiguous_to, ended FROM federation.replica_runs WHERE tenant_id = $1 AND run_id = $2`,
};

/** $1 the moment, $2 how many. Several processes may do it at once. */
export const DELETE_EXPIRED = {
  text: `WITH victims AS (
      SELECT tenant_id, run_id FROM federation.replica_runs WHERE stored_at < $1 ORDER BY stored_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ), e AS (
      DELETE FROM federation.replica_events e USING victims v WHERE e.tenant_id = v.tenant_id AND e.run_id = v.run_id
    )
    DELETE FROM federation.replica_runs r USING victims v WHERE r.tenant_id = v.tenant_id AND r.run_id = v.run_id`,
};
