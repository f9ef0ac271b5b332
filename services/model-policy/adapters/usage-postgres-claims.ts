/** Claims of request ids: of many processes one makes the call. They are made before a backend is asked, and together. */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { FlushRolledBackError } from '../../platform/db/group-commit.ts';
import { fromDatabaseError, isRetryableTransaction } from '../../platform/db/sqlstate.ts';
import { withTenant } from '../../platform/db/transaction.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { CLAIM_TTL_MS, type ClaimOutcome } from '../ports/usage.ts';
import { byClaim, claimId, isAway } from './usage-postgres-bookings.ts';
import { CLAIM, READ_CLAIMS } from './usage-postgres-sql.ts';

export interface Claim {
  readonly tenantId: string;
  readonly requestId: string;
  readonly requestHash: string;
}

interface ClaimRow extends pg.QueryResultRow {
  readonly tenant_id: string;
  readonly request_id: string;
}

const PATIENCE_MS = 3_000;
const idOf = (row: ClaimRow): string => claimId({ tenantId: row.tenant_id, requestId: row.request_id });

/** @throws FlushRolledBackError, or AgentOsError dependency_unavailable when nobody knows whether they were made. */
export async function flushClaims(pool: pg.Pool, replicaId: string, claims: readonly Claim[]): Promise<ClaimOutcome[]> {
  const deadline = performance.now() + PATIENCE_MS;
  for (let again = false, pauseMs = 20; ; pauseMs = Math.min(pauseMs * 2, 500)) {
    try {
      return await tryClaims(pool, replicaId, claims, again);
    } catch (error) {
      const away = isAway(error);
      if (!away && !isRetryableTransaction(error) && !isRetryableTransaction((error as Error).cause)) throw new FlushRolledBackError(fromDatabaseError(error));
      again ||= away;
      if (performance.now() + pauseMs > deadline) throw fromDatabaseError(error);
      await sleep(pauseMs);
    }
  }
}

/** @param again an open claim of this process may be one of these */
async function tryClaims(pool: pg.Pool, replicaId: string, claims: readonly Claim[], again: boolean): Promise<ClaimOutcome[]> {
  const sorted = [...claims].sort(byClaim);
  const tenants = [...new Set(sorted.map((claim) => claim.tenantId))];
  const keys = [sorted.map((claim) => claim.tenantId), sorted.map((claim) => claim.requestId)];
  // The setting is a list: a comma would name two tenants.
  const impossible = tenants.find((tenantId) => tenantId.includes(','));
  if (impossible !== undefined) throw new AgentOsError('not_found', { message: `'${impossible}' cannot be a tenant id: it contains a comma.`, details: {} });
  const made = await pool.query<ClaimRow>({ ...CLAIM, values: [...keys, sorted.map((claim) => claim.requestHash), replicaId, CLAIM_TTL_MS, again, tenants.join(',')] });
  const claimed = new Set(made.rows.map(idOf));
  if (claimed.size === claims.length) return claims.map(() => 'claimed');
  const { rows } = await withTenant(pool, tenants, (client) => client.query<ClaimRow & { request_hash: string; done: boolean }>({ ...READ_CLAIMS, values: keys }));
  const known = new Map(rows.map((row) => [idOf(row), row]));
  return claims.map((claim) => {
    if (claimed.has(claimId(claim))) return 'claimed';
    const row = known.get(claimId(claim));
    if (row !== undefined && row.request_hash !== claim.requestHash) return 'other_request';
    return row?.done === true ? 'done' : 'open';
  });
}
