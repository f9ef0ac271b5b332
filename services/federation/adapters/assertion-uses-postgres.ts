/** Uses of assertions in `federation.peer_assertions`, a table of the node: the primary key decides who was first. */
import type pg from 'pg';
import { fromDatabaseError } from '../../platform/db/sqlstate.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AssertionUse, AssertionUsesPort } from '../ports/assertion-uses.ts';

/** Between two times that this process deletes what has expired, while it is being asked. */
const CLEAN_MS = 30_000;

export class PostgresAssertionUses implements AssertionUsesPort {
  readonly #pool: pg.Pool;
  readonly #cleanMs: number;
  #nextCleanMs: number;
  #cleaning: Promise<unknown> = Promise.resolve();

  constructor(pool: pg.Pool, { cleanMs = CLEAN_MS }: { readonly cleanMs?: number } = {}) {
    this.#pool = pool;
    this.#cleanMs = cleanMs;
    this.#nextCleanMs = Date.now() + cleanMs;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.0', durable: true, features: [] };
  }

  async use({ issuer, jti, expiresAtMs }: AssertionUse): Promise<boolean> {
    try {
      const { rowCount } = await this.#pool.query({
        name: 'fed_use_assertion',
        text: 'INSERT INTO federation.peer_assertions (issuer, jti, expires_at) VALUES ($1, $2, to_timestamp($3::float8 / 1000)) ON CONFLICT DO NOTHING',
        values: [issuer, jti, expiresAtMs],
      });
      this.#clean();
      return rowCount === 1;
    } catch (error) {
      throw fromDatabaseError(error);
    }
  }

  /** Nothing waits for it; call it before the pool is closed. */
  close(): Promise<unknown> {
    return this.#cleaning;
  }

  /** A minute after its expiry a row says nothing: by then no clock of this node takes the assertion for good. */
  #clean(): void {
    const now = Date.now();
    if (now < this.#nextCleanMs) return;
    this.#nextCleanMs = now + this.#cleanMs;
    const text = `DELETE FROM federation.peer_assertions WHERE (issuer, jti) IN (
      SELECT issuer, jti FROM federation.peer_assertions WHERE expires_at < clock_timestamp() - interval '1 minute' ORDER BY expires_at LIMIT 10000 FOR UPDATE SKIP LOCKED)`;
    this.#cleaning = this.#pool.query(text).catch(() => undefined);
  }
}
