/** Roll-backs in `model_policy.canary_roll_backs`, a table of the node: one row a canary and version of its rule. */
import type pg from 'pg';
import { fromDatabaseError } from '../../platform/db/sqlstate.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { CanaryRollBack, CanaryStatePort } from '../ports/canary-state.ts';

const COLUMNS = 'name, version, reason, (extract(epoch FROM at) * 1000)::float8 AS "atMs"';

export class PostgresCanaryState implements CanaryStatePort {
  readonly #pool: pg.Pool;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.0', durable: true, features: [] };
  }

  async rolledBack(): Promise<readonly CanaryRollBack[]> {
    return this.#ask({ name: 'mp_canaries', text: `SELECT ${COLUMNS} FROM model_policy.canary_roll_backs ORDER BY at DESC LIMIT 1000`, values: [] });
  }

  async rollBack({ name, version, reason, atMs }: CanaryRollBack): Promise<CanaryRollBack> {
    await this.#ask({
      name: 'mp_roll_back_canary',
      text: 'INSERT INTO model_policy.canary_roll_backs (name, version, reason, at) VALUES ($1, $2, $3, to_timestamp($4 / 1000.0)) ON CONFLICT DO NOTHING',
      values: [name, version, reason, atMs],
    });
    const [stands] = await this.#ask({ name: 'mp_canary', text: `SELECT ${COLUMNS} FROM model_policy.canary_roll_backs WHERE name = $1 AND version = $2`, values: [name, version] });
    return stands!;
  }

  async #ask(query: pg.QueryConfig): Promise<CanaryRollBack[]> {
    try {
      return (await this.#pool.query<CanaryRollBack>(query)).rows;
    } catch (error) {
      throw fromDatabaseError(error);
    }
  }
}
