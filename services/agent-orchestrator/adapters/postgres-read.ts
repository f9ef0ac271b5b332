/** Reading as one tenant, and what the connections of this service are told. */
import type { Duplex } from 'node:stream';
import type pg from 'pg';
import { fromDatabaseError } from '../../platform/db/sqlstate.ts';
import { withTenant } from '../../platform/db/transaction.ts';

export interface Statement {
  /** Prepared once a connection under this name; equal names must mean equal texts. */
  readonly name: string;
  readonly text: string;
}

/** Rows of one statement that row-level security confines to `tenantId`. @throws AgentOsError for database errors. */
export function readAsTenant<Row extends pg.QueryResultRow>(pool: pg.Pool, tenantId: string, statement: Statement, values: readonly unknown[]): Promise<Row[]> {
  return withTenant(pool, tenantId, async (client) => (await client.query<Row>({ ...statement, values: [...values] })).rows);
}

/**
 * A read that sets its tenant itself, in the one statement that is its transaction: what is read most is then one
 * statement and not four. `body` names the tenant as `s.tenant_id`, which it cannot read before it is set: OFFSET 0
 * keeps the planner from turning the two around. Were it to happen all the same, row-level security would show
 * nothing.
 */
export function scoped(name: string, body: string): Statement {
  return { name, text: `SELECT x.* FROM (SELECT set_config('app.tenant_ids', $1, true) AS tenant_id OFFSET 0) s CROSS JOIN LATERAL (${body} OFFSET 0) x` };
}

/** Rows of a `scoped` statement; the first value is the tenant. @throws AgentOsError for database errors. */
export async function readScoped<Row extends pg.QueryResultRow>(pool: pg.Pool, statement: Statement, values: readonly [tenantId: string, ...others: unknown[]]): Promise<Row[]> {
  // The setting is a list: a comma would name two tenants.
  if (values[0].includes(',')) return [];
  try {
    return (await pool.query<Row>({ ...statement, values: [...values] })).rows;
  } catch (error) {
    throw fromDatabaseError(error);
  }
}

/**
 * Tells each connection of the pool, before its first use, what this service's statements need.
 *
 * Every statement finds its rows by key. A plan made while the tables were small would read them whole, and a prepared
 * statement would keep that plan while they grow; so the planner is told to prefer keys.
 *
 * Statements that are sent without awaiting each other leave in one packet: the driver writes each to the socket by
 * itself, and a system call costs more than most of these statements do.
 */
export function tuneConnections(pool: pg.Pool): void {
  const told = new WeakSet<pg.PoolClient>();
  // Not on `connect`: connections that exist already are told as well.
  pool.on('acquire', (client) => {
    if (told.has(client)) return;
    told.add(client);
    gatherWrites(client);
    client
      .query('SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; SET plan_cache_mode = force_generic_plan')
      // A connection that breaks at once reports that to whoever uses it first.
      .catch(() => undefined);
  });
}

function gatherWrites(client: pg.PoolClient): void {
  const { stream } = (client as unknown as { connection: { stream: Duplex } }).connection;
  const write = stream.write.bind(stream) as (...data: unknown[]) => boolean;
  let gathering = false;
  stream.write = (...data: unknown[]): boolean => {
    if (!gathering) {
      gathering = true;
      stream.cork();
      process.nextTick(() => {
        gathering = false;
        stream.uncork();
      });
    }
    return write(...data);
  };
}
