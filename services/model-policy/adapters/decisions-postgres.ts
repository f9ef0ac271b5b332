/**
 * Decisions in `model_policy.decisions`, written in group commits.
 *
 * As with the ledger (docs/adr/0008-budget-leases.md), a flush does not wait for the disk: a record is seen by every
 * process and outlives this one when `record` resolves, and PostgreSQL writes it out within the second. A flush whose
 * fate is unknown is sent again; a record that stands already is passed over.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Logger } from 'pino';
import type { ModelDecision } from '../../../generated/types/index.ts';
import { FlushRolledBackError, GroupCommit } from '../../platform/db/group-commit.ts';
import { fromDatabaseError, isConnectionError } from '../../platform/db/sqlstate.ts';
import { withScheduler, withTenant } from '../../platform/db/transaction.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { DecisionQuery, DecisionsPort } from '../ports/decisions.ts';
import { noSuchDecision, servedBy } from './decisions-memory.ts';

export interface PostgresDecisionsOptions {
  readonly pool: pg.Pool;
  /** Milliseconds that a decision is kept. */
  readonly retentionMs: number;
  readonly log?: Logger;
}

/** How long callers wait for a database that is away. */
const PATIENCE_MS = 3_000;
const CLEANING_MS = 300_000;
const CLEANED_AT_ONCE = 5_000;
/** Flushes of one cleaning, so that it ends before the next one begins. */
const CLEANING_ROUNDS = 50;

export class PostgresDecisions implements DecisionsPort {
  readonly #pool: pg.Pool;
  readonly #retentionMs: number;
  readonly #log: Logger | undefined;
  readonly #commits: GroupCommit<ModelDecision, 'kept'>;
  readonly #timer: NodeJS.Timeout;
  #cleaning: Promise<void> | null = null;

  constructor({ pool, retentionMs, log }: PostgresDecisionsOptions) {
    this.#pool = pool;
    this.#retentionMs = retentionMs;
    this.#log = log;
    this.#commits = new GroupCommit({ flush: (decisions) => this.#flush(decisions), maxBatch: 256, maxWaiting: 20_000 });
    this.#timer = setInterval(() => {
      this.#cleaning ??= this.forgetOld().catch((error: unknown) => this.#log?.warn({ err: error }, 'Old decisions could not be deleted; it is tried again.')).finally(() => {
        this.#cleaning = null;
      });
    }, CLEANING_MS).unref();
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.0', durable: true, features: [] };
  }

  async record(auth: AuthContext, decision: ModelDecision): Promise<void> {
    await this.#commits.submit({ ...decision, tenant_id: auth.tenant_id });
  }

  async get(auth: AuthContext, requestId: string): Promise<ModelDecision> {
    const { rows } = await withTenant(this.#pool, auth.tenant_id, (client) => client.query<{ record: ModelDecision }>({
      name: 'mp_get_decision',
      text: 'SELECT record FROM model_policy.decisions WHERE tenant_id = $1 AND request_id = $2 ORDER BY decision_id DESC LIMIT 1',
      values: [auth.tenant_id, requestId],
    }));
    if (rows[0] === undefined) throw noSuchDecision(requestId);
    return rows[0].record;
  }

  async list(auth: AuthContext, { limit, after, decision, model, fromMs, toMs }: DecisionQuery) {
    const { rows } = await withTenant(this.#pool, auth.tenant_id, (client) => client.query<{ record: ModelDecision }>({
      text: `SELECT record FROM model_policy.decisions d WHERE d.tenant_id = $1 AND ($2::text IS NULL OR d.decision_id < $2) AND ($3::text IS NULL OR d.decision = $3)
          AND ($4::text IS NULL OR d.model = $4) AND ($5::float8 IS NULL OR d.at >= to_timestamp($5 / 1000.0)) AND ($6::float8 IS NULL OR d.at < to_timestamp($6 / 1000.0))
        ORDER BY d.decision_id DESC LIMIT $7`,
      values: [auth.tenant_id, after ?? null, decision ?? null, model ?? null, fromMs ?? null, toMs ?? null, limit + 1],
    }));
    return { decisions: rows.slice(0, limit).map(({ record }) => record), hasMore: rows.length > limit };
  }

  /** Deletes what is older than the time decisions are kept. */
  async forgetOld(): Promise<void> {
    for (let round = 0; round < CLEANING_ROUNDS; round += 1) {
      const { rowCount } = await withScheduler(this.#pool, (client) => client.query(
        `DELETE FROM model_policy.decisions WHERE (tenant_id, decision_id) IN (
          SELECT tenant_id, decision_id FROM model_policy.decisions WHERE at < clock_timestamp() - $1 * interval '1 millisecond' LIMIT ${CLEANED_AT_ONCE} FOR UPDATE SKIP LOCKED)`,
        [this.#retentionMs],
      ));
      if ((rowCount ?? 0) < CLEANED_AT_ONCE) return;
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#commits.close();
    await this.#cleaning;
  }

  async #flush(decisions: readonly ModelDecision[]): Promise<'kept'[]> {
    const deadline = performance.now() + PATIENCE_MS;
    for (let pauseMs = 20; ; pauseMs = Math.min(pauseMs * 2, 500)) {
      try {
        await this.#insert(decisions);
        return decisions.map(() => 'kept');
      } catch (error) {
        const isAway = isConnectionError(error) || isConnectionError((error as Error).cause);
        if (!isAway) throw new FlushRolledBackError(fromDatabaseError(error));
        if (performance.now() + pauseMs > deadline) throw fromDatabaseError(error);
        await sleep(pauseMs);
      }
    }
  }

  async #insert(decisions: readonly ModelDecision[]): Promise<void> {
    const tenants = [...new Set(decisions.map((decision) => decision.tenant_id))].sort();
    const values = [
      decisions.map((each) => each.tenant_id), decisions.map((each) => each.decision_id), decisions.map((each) => each.request_id), decisions.map((each) => each.at),
      decisions.map((each) => each.policy.decision), decisions.map(servedBy), decisions.map(toJson),
    ];
    // Both travel together, and COMMIT right behind them; a statement that fails is told of by its own promise.
    const sent: Promise<unknown>[] = [];
    await withTenant(this.#pool, tenants, async (client) => {
      sent.push(client.query({ name: 'mp_decisions_async', text: "SELECT set_config('synchronous_commit', 'off', true)" }), client.query({ ...INSERT, values }));
      for (const each of sent) each.catch(() => undefined);
    }, { attempts: 1 }).catch(async (error: unknown) => {
      await Promise.all(sent);
      throw error;
    });
  }
}

const INSERT = {
  name: 'mp_insert_decisions',
  text: `INSERT INTO model_policy.decisions (tenant_id, decision_id, request_id, at, decision, model, record)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::jsonb[]) ON CONFLICT DO NOTHING`,
};

/** What no jsonb can hold, NUL and halves of characters, is replaced: the record of a strange name is still a record. */
function toJson(decision: ModelDecision): string {
  return JSON.stringify(decision).replace(/\\u(?:0000|d[89a-f][0-9a-f]{2})/g, '\\ufffd');
}
