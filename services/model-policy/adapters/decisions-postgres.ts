/**
 * Decisions in `model_policy.decisions`, on the way of what finished calls leave behind (usage-call-writer.ts): with the
 * ledger row of the same call, and before its caller is answered.
 */
import type pg from 'pg';
import type { Logger } from 'pino';
import type { ModelDecision } from '../../../generated/types/index.ts';
import { storableJson } from '../../platform/db/storable.ts';
import { withScheduler, withTenant } from '../../platform/db/transaction.ts';
import type { AuditTrail } from '../../platform/audit/audit-trail.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { DecisionQuery, DecisionsPort } from '../ports/decisions.ts';
import { deedOf } from './decisions-audit.ts';
import { noSuchDecision, servedBy } from './decisions-memory.ts';
import type { CallWriter } from './usage-call-writer.ts';
import type { Booking } from './usage-postgres-bookings.ts';
import { DatabaseWriter } from './usage-postgres-writer.ts';

export interface PostgresDecisionsOptions {
  readonly pool: pg.Pool;
  /** Milliseconds that a decision is kept. */
  readonly retentionMs: number;
  readonly log?: Logger;
  /** As the ledger uses it; its owner closes it. One of its own, straight into the database, when absent. */
  readonly writer?: CallWriter;
  /** Writes a record of each call into the audit log, with its decision. */
  readonly trail?: AuditTrail;
}

const UPKEEP_MS = 500;
const CLEANING_MS = 300_000;
const CLEANED_AT_ONCE = 5_000;
/** Flushes of one cleaning, so that it ends before the next one begins. */
const CLEANING_ROUNDS = 50;

export class PostgresDecisions implements DecisionsPort {
  readonly #pool: pg.Pool;
  readonly #retentionMs: number;
  readonly #log: Logger | undefined;
  readonly #writer: CallWriter;
  readonly #trail: AuditTrail | null;
  /** Where nobody else keeps it up. */
  readonly #ownUpkeep: NodeJS.Timeout | null;
  readonly #timer: NodeJS.Timeout;
  #cleaning: Promise<void> | null = null;

  constructor({ pool, retentionMs, log, writer, trail }: PostgresDecisionsOptions) {
    this.#trail = trail?.enabled === true ? trail : null;
    this.#pool = pool;
    this.#retentionMs = retentionMs;
    this.#log = log;
    this.#writer = writer ?? new DatabaseWriter({ pool, log });
    this.#ownUpkeep = writer !== undefined ? null : setInterval(() => void this.#writer.upkeep().catch(() => undefined), UPKEEP_MS).unref();
    this.#timer = setInterval(() => {
      this.#cleaning ??= this.forgetOld().catch((error: unknown) => this.#log?.warn({ err: error }, 'Old decisions could not be deleted; it is tried again.')).finally(() => {
        this.#cleaning = null;
      });
    }, CLEANING_MS).unref();
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.0', durable: true, features: [] };
  }

  record(auth: AuthContext, decision: ModelDecision): Promise<void> {
    const record = decision.tenant_id === auth.tenant_id ? decision : { ...decision, tenant_id: auth.tenant_id };
    const call = { tenantId: auth.tenant_id, decisionId: record.decision_id };
    const trace: Booking = { kind: 'trace', ...call, model: servedBy(record), record: storableJson(record) };
    if (this.#trail === null) return this.#writer.book([trace]);
    return this.#writer.book([trace, { kind: 'audit', ...call, row: storableJson(this.#trail.row(auth, deedOf(record))) }]);
  }

  async get(auth: AuthContext, requestId: string): Promise<ModelDecision> {
    await this.#writer.flushAll();
    const { rows } = await withTenant(this.#pool, auth.tenant_id, (client) => client.query<{ record: ModelDecision }>({
      name: 'mp_get_decision',
      text: 'SELECT record FROM model_policy.decisions WHERE tenant_id = $1 AND request_id = $2 ORDER BY decision_id DESC LIMIT 1',
      values: [auth.tenant_id, requestId],
    }));
    if (rows[0] === undefined) throw noSuchDecision(requestId);
    return rows[0].record;
  }

  async list(auth: AuthContext, { limit, after, decision, model, fromMs, toMs }: DecisionQuery) {
    await this.#writer.flushAll();
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
    if (this.#ownUpkeep !== null) {
      clearInterval(this.#ownUpkeep);
      await this.#writer.close();
    }
    await this.#cleaning;
  }
}
