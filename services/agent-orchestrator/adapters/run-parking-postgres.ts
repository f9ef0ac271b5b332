/**
 * Runs that wait without a worker. A parked run keeps its status and gets a lease that nobody holds: it runs out when
 * the wait is over, and is then claimed as any lease that ran out. Waking moves that moment to now.
 */
import type pg from 'pg';
import { withTenant } from '../../platform/db/transaction.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { RunLease } from '../ports/run-state.ts';

const NOBODY = 'parked';

/** A run that got as far as waiting is not one that breaks its workers. */
const PARK = {
  name: 'ao_park',
  text: `UPDATE orchestrator.runs r SET lease_token = gen_random_uuid()::text, lease_owner = '${NOBODY}', fruitless_claims = 0,
      lease_until = clock_timestamp() + $4::float8 * interval '1 millisecond'
    WHERE r.tenant_id = $1 AND r.run_id = $2 AND r.lease_token = $3`,
};

const UNPARK = {
  name: 'ao_unpark',
  text: `UPDATE orchestrator.runs r SET lease_until = statement_timestamp() - interval '1 millisecond'
    WHERE r.tenant_id = $1 AND r.run_id = $2 AND r.lease_token IS NOT NULL AND r.lease_owner = '${NOBODY}'`,
};

/** False when the lease is no longer held. */
export async function parkRun(pool: pg.Pool, lease: RunLease, maxWaitMs: number): Promise<boolean> {
  const { rowCount } = await withTenant(pool, lease.tenantId, (client) => client.query({ ...PARK, values: [lease.tenantId, lease.runId, lease.token, maxWaitMs] }));
  return rowCount === 1;
}

/** True when the run was parked and can be claimed now. */
export async function unparkRun(pool: pg.Pool, auth: AuthContext, runId: string): Promise<boolean> {
  const { rowCount } = await withTenant(pool, auth.tenant_id, (client) => client.query({ ...UNPARK, values: [auth.tenant_id, runId] }));
  return rowCount === 1;
}
