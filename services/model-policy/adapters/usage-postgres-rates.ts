/** Requests a minute over all processes: the row of a tenant is locked, read, decided and written in one transaction. */
import type pg from 'pg';
import { FlushRolledBackError } from '../../platform/db/group-commit.ts';
import { withTenant } from '../../platform/db/transaction.ts';
import { takeFromRate, usedOfRate } from '../budgets/request-rate.ts';
import { LOCK_RATES, OPEN_RATES, SET_RATES } from './usage-postgres-sql.ts';

export interface RateTake {
  readonly tenantId: string;
  readonly perMinute: number;
}

export type RateVerdict = { readonly allowed: true } | { readonly allowed: false; readonly retryAfterMs: number };

interface RateRow extends pg.QueryResultRow {
  readonly tenant_id: string;
  readonly arrival_ms: number;
  readonly now_ms: number;
}

/** Not waiting for the disk: a crash of the server may forget the requests of the last second, nothing else does. */
export async function flushRates(pool: pg.Pool, takes: readonly RateTake[]): Promise<RateVerdict[]> {
  const tenants = [...new Set(takes.map((take) => take.tenantId))].sort();
  try {
    return await withTenant(pool, tenants, async (client) => {
      const opened = client.query({ ...OPEN_RATES, values: [tenants] });
      const [{ rows }] = await Promise.all([client.query<RateRow>({ ...LOCK_RATES, values: [tenants] }), opened]);
      const arrivals = new Map(rows.map((row) => [row.tenant_id, row.arrival_ms]));
      const nowMs = rows[0]!.now_ms;
      const verdicts = takes.map(({ tenantId, perMinute }): RateVerdict => {
        const { allowed, arrivalMs, retryAfterMs } = takeFromRate(arrivals.get(tenantId)!, nowMs, perMinute);
        arrivals.set(tenantId, arrivalMs);
        return allowed ? { allowed } : { allowed, retryAfterMs };
      });
      if (verdicts.some((verdict) => verdict.allowed)) await client.query({ ...SET_RATES, values: [[...arrivals.keys()], [...arrivals.values()]] });
      return verdicts;
    }, { asynchronous: true });
  } catch (error) {
    // A request that was counted and not made costs a tenant one of its minute.
    throw new FlushRolledBackError(error);
  }
}

export async function readRate(pool: pg.Pool, { tenantId, perMinute }: RateTake): Promise<number> {
  const { rows } = await withTenant(pool, tenantId, (client) => client.query<{ arrival_ms: number; now_ms: number }>({
    text: 'SELECT arrival_ms, (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now_ms FROM model_policy.request_rates WHERE tenant_id = $1',
    values: [tenantId],
  }));
  return rows[0] === undefined ? 0 : usedOfRate(rows[0].arrival_ms, rows[0].now_ms, perMinute);
}
