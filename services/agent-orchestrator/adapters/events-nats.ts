/** Events with their announcements over NATS. What is read comes from Postgres: what NATS loses is found by the next poll. */
import type pg from 'pg';
import type { PortCapabilities } from '../../platform/port.ts';
import { PostgresEvents } from './events-postgres.ts';
import type { NatsWake } from './nats-wake.ts';

export class NatsEvents extends PostgresEvents {
  constructor(pool: pg.Pool, wake: NatsWake) {
    super(pool, wake);
  }

  override capabilities(): PortCapabilities {
    const store = super.capabilities();
    return { ...store, adapter: 'nats', features: [...store.features, 'hint_replay'] };
  }
}
