/** Claims of request ids: of many processes one makes the call. They are made before a backend is asked, and together. */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { FlushRolledBackError } from '../../platform/db/group-commit.ts';
import { fromDatabaseError, isRetryableTransaction } from '../../platform/db/sqlstate.ts';
import { withTenant } from '../../platform/db/transaction.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { CLAIM_TTL_MS, type ClaimOutcome } from '../ports/usage.ts';
import { byClaim, claimId, isAway } from './usage-postgres-bookings.ts';
import { CLAIM, DISOWN_CLAIM, READ_CLAIMS } from './usage-postgres-sql.ts';

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
/** Of a process's time, after which it is not waited for; its journal would have been taken after as much as its time. */
const LOST_PART = 1.5;
const idOf = (row: ClaimRow): string => claimId({ tenantId: row.tenant_id, requestId: row.request_id });

/** @throws FlushRolledBackError, or AgentOsError dependency_unavailable when nobody knows whether they were made. */
export async function flushClaims(pool: pg.Pool, replicaId: string, aliveMs: number, claims: readonly Claim[]): Promise<ClaimOutcome[]> {
  const deadline = performance.now() + PATIENCE_MS;
  for (let again = false, pauseMs = 20; ; pauseMs = Math.min(pauseMs * 2, 500)) {
    try {
      return await tryClaims({ pool, replicaId, lostMs: aliveMs * LOST_PART, again }, claims);
    } catch (error) {
      const away = isAway(error);
      if (!away && !isRetryableTransaction(error) && !isRetryableTransaction((error as Error).cause)) throw new FlushRolledBackError(fromDatabaseError(error));
      again ||= away;
      if (performance.now() + pauseMs > deadline) throw fromDatabaseError(error);
      await sleep(pauseMs);
    }
  }
}

interface Try {
  readonly pool: pg.Pool;
  readonly replicaId: string;
  readonly lostMs: number;
  /** An open claim of this process may be one of these. */
  readonly again: boolean;
}

async function tryClaims({ pool, replicaId, lostMs, again }: Try, claims: readonly Claim[]): Promise<ClaimOutcome[]> {
  const sorted = [...claims].sort(byClaim);
  const tenants = [...new Set(sorted.map((claim) => claim.tenantId))];
  const keys = [sorted.map((claim) => claim.tenantId), sorted.map((claim) => claim.requestId)];
  // The setting is a list: a comma would name two tenants.
  const impossible = tenants.find((tenantId) => tenantId.includes(','));
  if (impossible !== undefined) throw new AgentOsError('not_found', { message: `'${impossible}' cannot be a tenant id: it contains a comma.`, details: {} });
  const made = await pool.query<ClaimRow>({ ...CLAIM, values: [...keys, sorted.map((claim) => claim.requestHash), replicaId, CLAIM_TTL_MS, again, tenants.join(',')] });
  const claimed = new Set(made.rows.map(idOf));
  if (claimed.size === claims.length) return claims.map(() => 'claimed');
  const { rows } = await withTenant(pool, tenants, (client) => client.query<ClaimRow & { request_hash: string; done: boolean; lost: boolean }>({ ...READ_CLAIMS, values: [...keys, lostMs] }));
  const known = new Map(rows.map((row) => [idOf(row), row]));
  return claims.map((claim) => {
    if (claimed.has(claimId(claim))) return 'claimed';
    const row = known.get(claimId(claim));
    if (row !== undefined && row.request_hash !== claim.requestHash) return 'other_request';
    if (row?.done === true) return 'done';
    return row?.lost === true ? 'lost' : 'open';
  });
}

interface Doubtful extends Claim {
  /** One of them has it, if any. */
  readonly replicaIds: readonly string[];
  settling: Promise<void> | null;
}

/**
 * Claims of which nobody knows whether they were made: the connection broke, and did not come back in time. Their callers
 * have been told that nothing was granted, so what stands all the same would be waited for until this process ends.
 */
export class DoubtfulClaims {
  readonly #pool: pg.Pool;
  readonly #claims = new Map<string, Doubtful>();

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  add(claim: Claim, replicaIds: readonly string[]): void {
    const known = this.#claims.get(claimId(claim));
    this.#claims.set(claimId(claim), { ...claim, replicaIds: [...new Set([...(known?.replicaIds ?? []), ...replicaIds])], settling: null });
  }

  /** Resolves when none of this id stands. @throws AgentOsError dependency_unavailable. */
  async settle(id: string): Promise<void> {
    const doubtful = this.#claims.get(id);
    if (doubtful === undefined) return;
    // Who claims the id anew waits for a deletion that is under way, which would else take the new claim.
    doubtful.settling ??= this.#disown(doubtful).finally(() => {
      doubtful.settling = null;
    });
    await doubtful.settling;
  }

  async settleAll(): Promise<void> {
    for (const id of [...this.#claims.keys()]) await this.settle(id);
  }

  async #disown(doubtful: Doubtful): Promise<void> {
    const { tenantId, requestId, requestHash, replicaIds } = doubtful;
    await withTenant(this.#pool, tenantId, (client) => client.query({ ...DISOWN_CLAIM, values: [tenantId, requestId, requestHash, replicaIds] }));
    if (this.#claims.get(claimId(doubtful)) === doubtful) this.#claims.delete(claimId(doubtful));
  }
}
