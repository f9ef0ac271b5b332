/**
 * Uses of assertions in `federation.peer_assertions`, a table of the node: the primary key decides who was first.
 *
 * Its COMMIT does not wait for the disk, which would cost every call of a peer as much as what it asks for. A use is seen
 * by all processes at once and outlives any of them; a database server that breaks down may forget those of its last
 * second. Each process remembers its own as well, so it would take that, and another process or a restart of this one,
 * all within the minute that an assertion lives. Whoever then sent it again would need the key of the certificate that
 * it is bound to (on a connection over which the same certificate is presented), and can sign a new one with that anyway.
 */
import type pg from 'pg';
import { fromDatabaseError } from '../../platform/db/sqlstate.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AssertionUse, AssertionUsesPort } from '../ports/assertion-uses.ts';

/** The setting lasts as long as the transaction, which is this statement. */
const USE = {
  name: 'fed_use_assertion',
  text: `WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
    INSERT INTO federation.peer_assertions (issuer, jti, expires_at) SELECT $1, $2, to_timestamp($3::float8 / 1000) FROM quick ON CONFLICT DO NOTHING`,
};

/** Between two times that this process deletes what has expired, while it is being asked. */
const CLEAN_MS = 30_000;
const BATCH = 10_000;
const KEPT_AFTER_EXPIRY_MS = 60_000;

export class PostgresAssertionUses implements AssertionUsesPort {
  readonly #pool: pg.Pool;
  readonly #cleanMs: number;
  readonly #batch: number;
  #closed = false;
  #nextCleanMs: number;
  /** Those of this process, with their expiry. */
  readonly #own = new Map<string, number>();
  #cleaning: Promise<unknown> = Promise.resolve();

  constructor(pool: pg.Pool, { cleanMs = CLEAN_MS, batch = BATCH }: { readonly cleanMs?: number; readonly batch?: number } = {}) {
    this.#pool = pool;
    this.#cleanMs = cleanMs;
    this.#batch = batch;
    this.#nextCleanMs = Date.now() + cleanMs;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.0', durable: true, features: [] };
  }

  async use({ issuer, jti, expiresAtMs }: AssertionUse): Promise<boolean> {
    const key = `${issuer}\n${jti}`;
    if (this.#own.has(key)) return false;
    try {
      const { rowCount } = await this.#pool.query({ ...USE, values: [issuer, jti, expiresAtMs] });
      this.#own.set(key, expiresAtMs);
      this.#clean();
      return rowCount === 1;
    } catch (error) {
      throw fromDatabaseError(error);
    }
  }

  /** Nothing waits for it; call it before the pool is closed. */
  close(): Promise<unknown> {
    this.#closed = true;
    return this.#cleaning;
  }

  /** A minute after its expiry a row says nothing: by then no clock of this node takes the assertion for good. */
  #clean(): void {
    const now = Date.now();
    if (now < this.#nextCleanMs) return;
    this.#nextCleanMs = now + this.#cleanMs;
    for (const [key, expiresAtMs] of this.#own) if (expiresAtMs + KEPT_AFTER_EXPIRY_MS < now) this.#own.delete(key);
    this.#cleaning = this.#cleaning.then(() => this.#deleteExpired()).catch(() => undefined);
  }

  /** In parts that lock little, until none is left: a batch each time would fall behind a busy peer for ever. */
  async #deleteExpired(): Promise<void> {
    const text = `DELETE FROM federation.peer_assertions WHERE (issuer, jti) IN (
      SELECT issuer, jti FROM federation.peer_assertions WHERE expires_at < clock_timestamp() - interval '1 minute' ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)`;
    for (let deleted = this.#batch; deleted === this.#batch && !this.#closed;) deleted = (await this.#pool.query(text, [this.#batch])).rowCount ?? 0;
  }
}
