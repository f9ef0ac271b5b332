/**
 * The life of one process as the database sees it: a row that says until when it counts as alive. Leases belong to
 * such a life; when it runs out anybody gives them back, and a process that was merely asleep begins a new one.
 *
 * A life with a journal ends otherwise: calls that it answered may stand there and not in the ledger yet, so its leases
 * stay until the journal is shipped. A journal that nobody ships is given up after a grace, and then they count as spent.
 */
import type pg from 'pg';
import type { Logger } from 'pino';
import { withScheduler } from '../../platform/db/transaction.ts';
import { newId } from '../../platform/ids.ts';

export interface ReplicaOptions {
  readonly pool: pg.Pool;
  /** How long a process counts as alive without a sign. */
  readonly aliveMs: number;
  /** The journal that the process writes; null: none. */
  readonly journalId: string | null;
  /** How long the journal of a process that is gone is waited for. */
  readonly journalGraceMs: number;
  readonly log?: Logger | undefined;
}

/** Part of its time after which a process that could not say so does not count itself as alive any more. */
const TRUST_PART = 0.7;

export class Replica {
  readonly #options: ReplicaOptions;
  #id: string | null = null;
  #trustedUntil = 0;
  /** The database's clock less this process's, milliseconds. */
  clockOffsetMs = 0;

  constructor(options: ReplicaOptions) {
    this.#options = options;
  }

  /** Empty before the first life. */
  get id(): string {
    return this.#id ?? '';
  }

  /** Whether leases of this life may be spent from. */
  get isAlive(): boolean {
    return performance.now() < this.#trustedUntil;
  }

  /** The next `beat` begins a new life. */
  abandon(): void {
    this.#id = null;
    this.#trustedUntil = 0;
  }

  /** Says that the process lives; begins a new life where the last one is over. */
  async beat(): Promise<void> {
    const { pool, aliveMs, journalId } = this.#options;
    const sentAt = performance.now();
    const sentTime = Date.now();
    const id = this.#id ?? newId('rpl');
    const { rows } = this.#id === null
      ? await pool.query<{ now_ms: number }>({ ...BEGIN_LIFE, values: [id, aliveMs, journalId] })
      : await pool.query<{ now_ms: number }>({ ...BEAT, values: [id, aliveMs] });
    if (rows[0] === undefined) {
      this.abandon();
      return this.beat();
    }
    const roundTripMs = performance.now() - sentAt;
    // A clock that agrees to within the round trip is the same clock.
    const offsetMs = rows[0].now_ms - (sentTime + roundTripMs / 2);
    this.clockOffsetMs = Math.abs(offsetMs) <= roundTripMs + 5 ? 0 : offsetMs;
    this.#id = id;
    this.#trustedUntil = sentAt + aliveMs * TRUST_PART;
  }

  /** Signs off; what is still leased comes back when the time is over. */
  async end(): Promise<void> {
    if (this.#id === null) return;
    await releaseLife(this.#options.pool, this.#id);
    await this.#options.pool.query({ ...END_LIFE, values: [this.#id] });
    this.abandon();
  }
}

/** The ledger has every call of this life, so what is left of its leases is nobody's. */
export async function releaseLife(pool: pg.Pool, replicaId: string): Promise<void> {
  await pool.query({ ...RELEASE_LIFE, values: [replicaId] });
}

/** The same for all lives that wrote a journal. @param exact whether the journal was whole */
export async function releaseJournal(pool: pg.Pool, journalId: string, exact: boolean): Promise<void> {
  await pool.query({ ...RELEASE_JOURNAL, values: [journalId, exact] });
}

/** Lives that wrote a journal and have not been given up; `lapsed`: each has been silent for its time and as long again. */
export async function livesOf(pool: pg.Pool, journalId: string, aliveMs: number): Promise<{ readonly replicaIds: ReadonlySet<string>; readonly lapsed: boolean }> {
  const { rows } = await pool.query<{ replica_id: string; lapsed: boolean }>({ ...LIVES, values: [journalId, aliveMs] });
  return { replicaIds: new Set(rows.map((row) => row.replica_id)), lapsed: rows.every((row) => row.lapsed) };
}

const BEGIN_LIFE = { name: 'mp_begin_life', text: "INSERT INTO model_policy.usage_replicas (replica_id, alive_until, journal) VALUES ($1, clock_timestamp() + $2 * interval '1 millisecond', $3) RETURNING (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now_ms" };
const BEAT = { name: 'mp_beat', text: "UPDATE model_policy.usage_replicas SET alive_until = clock_timestamp() + $2 * interval '1 millisecond' WHERE replica_id = $1 RETURNING (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now_ms" };
const END_LIFE = { name: 'mp_end_life', text: 'DELETE FROM model_policy.usage_replicas r WHERE replica_id = $1 AND NOT EXISTS (SELECT FROM model_policy.usage_leases l WHERE l.replica_id = $1)' };

const RELEASE = 'UPDATE model_policy.usage_replicas SET journal = NULL, alive_until = LEAST(alive_until, clock_timestamp())';
const RELEASE_LIFE = { name: 'mp_release_life', text: `${RELEASE}, exact = true WHERE replica_id = $1 AND journal IS NOT NULL` };
const RELEASE_JOURNAL = { name: 'mp_release_journal', text: `${RELEASE}, exact = $2 WHERE journal = $1` };
const LIVES = { name: 'mp_lives', text: "SELECT replica_id, alive_until < clock_timestamp() - $2 * interval '1 millisecond' AS lapsed FROM model_policy.usage_replicas WHERE journal = $1" };

const DEAD = {
  name: 'mp_dead',
  text: `SELECT replica_id FROM model_policy.usage_replicas WHERE alive_until < clock_timestamp() AND (journal IS NULL OR alive_until < clock_timestamp() - $1 * interval '1 millisecond')
    ORDER BY replica_id LIMIT 16 FOR UPDATE SKIP LOCKED`,
};
const LOCK_LEASED = {
  name: 'mp_lock_leased',
  text: `SELECT FROM model_policy.budgets b WHERE EXISTS (SELECT FROM model_policy.usage_leases l WHERE l.replica_id = ANY ($1) AND l.tenant_id = b.tenant_id AND l.scope = b.scope AND l.scope_id = b.scope_id AND l.time_window = b.time_window AND l.window_start = b.window_start)
    ORDER BY b.tenant_id, b.scope, b.scope_id, b.time_window, b.window_start FOR UPDATE OF b`,
};
/**
 * Without a journal, bookings are written out within the second: should the server have gone down since a lease was
 * changed last, what its process had booked in that second may be lost with both of them, so the lease counts as spent.
 * So do those of a journal that was given up or has lost its end. The leases of one that was shipped are exact.
 */
const GIVE_BACK = {
  name: 'mp_give_back',
  text: `WITH gone AS (
      DELETE FROM model_policy.usage_leases l USING model_policy.usage_replicas r WHERE l.replica_id = ANY ($1) AND r.replica_id = l.replica_id
      RETURNING l.*, r.journal IS NOT NULL OR NOT COALESCE(r.exact, l.taken_at >= pg_postmaster_start_time()) AS counts),
    sums AS (
      SELECT tenant_id, scope, scope_id, time_window, window_start, sum(tokens) AS tokens, sum(micro_usd) AS micro_usd,
        sum(tokens) FILTER (WHERE counts) AS lost_tokens, sum(micro_usd) FILTER (WHERE counts) AS lost_micro_usd
      FROM gone GROUP BY 1, 2, 3, 4, 5),
    booked AS (
      UPDATE model_policy.budgets b SET reserved_tokens = b.reserved_tokens - s.tokens, reserved_micro_usd = b.reserved_micro_usd - s.micro_usd,
        spent_tokens = b.spent_tokens + COALESCE(s.lost_tokens, 0), spent_micro_usd = b.spent_micro_usd + COALESCE(s.lost_micro_usd, 0)
      FROM sums s WHERE b.tenant_id = s.tenant_id AND b.scope = s.scope AND b.scope_id = s.scope_id AND b.time_window = s.time_window AND b.window_start = s.window_start)
    SELECT count(*)::int AS leases, count(lost_tokens)::int AS lost FROM sums`,
};
const BURY = { name: 'mp_bury', text: 'DELETE FROM model_policy.usage_replicas WHERE replica_id = ANY ($1)' };
const FORGET_CLAIMS = {
  name: 'mp_forget_claims',
  text: 'DELETE FROM model_policy.request_claims WHERE (tenant_id, request_id) IN (SELECT tenant_id, request_id FROM model_policy.request_claims WHERE expires_at < clock_timestamp() LIMIT 20000)',
};
const FORGET_BUDGETS = {
  name: 'mp_forget_budgets',
  text: `DELETE FROM model_policy.budgets WHERE reserved_tokens = 0 AND reserved_micro_usd = 0
    AND window_start < now() - CASE time_window WHEN 'minute' THEN interval '1 day' WHEN 'hour' THEN interval '30 days' ELSE interval '400 days' END`,
};

/** Gives back the leases of processes that are gone. Any number of processes may do it at once. */
export async function sweepDeadReplicas({ pool, journalGraceMs, log }: Pick<ReplicaOptions, 'pool' | 'journalGraceMs' | 'log'>): Promise<void> {
  await withScheduler(pool, async (client) => {
    const { rows } = await client.query<{ replica_id: string }>({ ...DEAD, values: [journalGraceMs] });
    if (rows.length === 0) return;
    const ids = rows.map((row) => row.replica_id);
    const locked = client.query({ ...LOCK_LEASED, values: [ids] });
    const given = client.query<{ leases: number; lost: number }>({ ...GIVE_BACK, values: [ids] });
    const [, { rows: counts }] = await Promise.all([locked, given, client.query({ ...BURY, values: [ids] })]);
    const { leases, lost } = counts[0]!;
    if (lost > 0) log?.warn({ replicas: ids, leases, lost }, 'Processes are gone, and the end of what they have booked may be missing: what they had set aside counts as spent.');
    else if (leases > 0) log?.info({ replicas: ids, leases }, 'What processes that are gone had set aside of budgets was given back.');
  });
}

/** Deletes request ids whose time is over, and windows that nobody asks about any more; the ledger stays. */
export async function cleanUp({ pool }: Pick<ReplicaOptions, 'pool'>): Promise<void> {
  await withScheduler(pool, async (client) => {
    await Promise.all([client.query(FORGET_CLAIMS), client.query(FORGET_BUDGETS)]);
  });
}
