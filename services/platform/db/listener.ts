/**
 * LISTEN on a connection of its own, which comes back by itself when the server does.
 *
 * Notifications are hints: whoever waits for one also polls, because those sent while the connection was down are gone.
 */
import pg from 'pg';
import type { Logger } from 'pino';
import { connectionOptions, type DatabaseUrl } from './pool.ts';

export interface ListenerOptions {
  readonly url: DatabaseUrl;
  readonly applicationName: string;
  readonly channels: readonly string[];
  readonly onNotification: (channel: string, payload: string) => void;
  /** Called after each (re)connection: what was sent meanwhile was missed. */
  readonly onConnect?: () => void;
  /** How often the server is asked whether it is still there; 15,000 when absent. It may take a third of it to answer. */
  readonly pulseMs?: number;
  readonly log?: Logger;
}

export interface Listener {
  /**
   * NOTIFY over this very connection: a pool that is busy delays no hint. Waits for no disk, since losing a hint in a
   * crash costs a poll. Rejects when there is no connection, or when the server does not answer in time.
   */
  notify(channel: string, payload: string): Promise<void>;
  close(): Promise<void>;
}

const NOTIFY_LIMIT_MS = 5_000;
/** $1 channel, $2 payload. The transaction waits for no disk. */
export const NOTIFY = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)";

/** A listener only hears: whether anybody is still at the other end it has to ask. */
const PULSE_MS = 15_000;

/** Starts listening in the background; never throws for a server that is away. */
export function listen(options: ListenerOptions): Listener {
  let client: pg.Client | null = null;
  let timer: NodeJS.Timeout | null = null;
  let closed = false;
  let delayMs = 100;

  const reconnect = (): void => {
    if (closed || timer !== null) return;
    timer = setTimeout(() => {
      timer = null;
      void connect();
    }, delayMs);
    delayMs = Math.min(delayMs * 2, 2_000);
  };

  const connect = async (): Promise<void> => {
    // Notices and a pulse may be on their way at once.
    const config: pg.ClientConfig & { pipeline: boolean } = { ...connectionOptions({ url: options.url, applicationName: options.applicationName }), statement_timeout: 0, pipeline: true };
    const next = new pg.Client(config);
    client = next;
    const lost = (error?: Error): void => {
      if (client !== next) return;
      client = null;
      if (!closed) options.log?.warn({ err: error }, 'The notification connection was lost; reconnecting.');
      next.end().catch(() => undefined);
      reconnect();
    };
    next.on('error', lost);
    next.on('end', () => lost());
    next.on('notification', (message) => options.onNotification(message.channel, message.payload ?? ''));
    try {
      await next.connect();
      for (const channel of options.channels) await next.query(`LISTEN ${next.escapeIdentifier(channel)}`);
      delayMs = 100;
      options.onConnect?.();
    } catch (error) {
      lost(error as Error);
    }
  };

  const pulseMs = options.pulseMs ?? PULSE_MS;
  const pulse = setInterval(() => {
    const asked = client;
    // The connection that answers nothing is given up; the error makes its own way to `lost`.
    const silent = setTimeout(() => asked?.emit('error', new Error('The notification connection answers no more.')), pulseMs / 3).unref();
    const heard = (): void => clearTimeout(silent);
    if (asked === null) heard();
    else asked.query('SELECT 1').then(heard, heard);
  }, pulseMs).unref();

  void connect();
  return {
    async notify(channel, payload) {
      if (client === null) throw new Error('The notification connection is not there.');
      const query: pg.QueryConfig & { query_timeout: number } = { text: NOTIFY, values: [channel, payload], query_timeout: NOTIFY_LIMIT_MS };
      await client.query(query);
    },
    async close() {
      closed = true;
      clearInterval(pulse);
      if (timer !== null) clearTimeout(timer);
      const current = client;
      client = null;
      await current?.end().catch(() => undefined);
    },
  };
}
