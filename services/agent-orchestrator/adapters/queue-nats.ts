/** The queue with its wake-ups over NATS. Leases and order are Postgres's: what NATS loses is found by the next poll. */
import type pg from 'pg';
import type { PortCapabilities } from '../../platform/port.ts';
import type { NatsWake } from './nats-wake.ts';
import { PostgresQueue } from './queue-postgres.ts';

export class NatsQueue extends PostgresQueue {
  constructor(pool: pg.Pool, wake: NatsWake) {
    super(pool, wake);
  }

  override capabilities(): PortCapabilities {
    const store = super.capabilities();
    return { ...store, adapter: 'nats', features: [...store.features, 'hint_replay'] };
  }
}
