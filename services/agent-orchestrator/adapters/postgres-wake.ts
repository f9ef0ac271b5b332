/**
 * Hints over LISTEN and NOTIFY: nothing to install beside the database. Hints of one moment share one NOTIFY, outside
 * the transactions that caused them, because a NOTIFY inside each would serialise the commits.
 */
import type pg from 'pg';
import type { Logger } from 'pino';
import { listen, NOTIFY } from '../../platform/db/listener.ts';
import type { DatabaseUrl } from '../../platform/db/pool.ts';
import { RunWake, type HintChannel, type HintReceiver } from './run-wake.ts';

const WAKE_CHANNEL = 'agentos_orchestrator';

/** PostgreSQL refuses payloads of 8,000 bytes and more. */
const MAX_PAYLOAD_BYTES = 7_800;

export interface PostgresWakeOptions {
  readonly pool: pg.Pool;
  readonly url: DatabaseUrl;
  /** Time in which hints gather. */
  readonly coalesceMs?: number;
  /** False hears nothing from other processes; for tests. */
  readonly listen?: boolean;
  readonly log?: Logger;
}

export class PostgresWake extends RunWake {
  constructor(options: PostgresWakeOptions) {
    super({ open: (receiver) => openChannel(options, receiver), hears: options.listen ?? true, coalesceMs: options.coalesceMs ?? 5, maxMessageBytes: MAX_PAYLOAD_BYTES, log: options.log });
  }
}

function openChannel({ pool, url, log, ...options }: PostgresWakeOptions, receiver: HintReceiver): HintChannel {
  const listener =
    options.listen === false
      ? null
      : listen({
          url,
          applicationName: 'agentos-orchestrator-wake',
          channels: [WAKE_CHANNEL],
          onNotification: (_channel, payload) => receiver.received(payload),
          onConnect: () => receiver.connected(),
          ...(log === undefined ? {} : { log }),
        });
  return {
    async send(message) {
      // Not through the pool: a process whose pool is busy would seem to be gone, and the others would stop hinting.
      if (listener !== null) await listener.notify(WAKE_CHANNEL, message);
      else await pool.query(NOTIFY, [WAKE_CHANNEL, message]);
    },
    async close() {
      await listener?.close();
    },
  };
}
