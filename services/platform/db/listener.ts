/**
 * LISTEN on a connection of its own, which comes back by itself when the server does.
 *
 * Notifications are hints: whoever waits for one also polls, because those sent while the connection was down are gone.
 */
import pg from 'pg';
import type { Logger } from 'pino';
import { connectionOptions } from './pool.ts';

export interface ListenerOptions {
  readonly url: string;
  readonly applicationName: string;
  readonly channels: readonly string[];
  readonly onNotification: (channel: string, payload: string) => void;
  /** Called after each (re)connection: what was sent meanwhile was missed. */
  readonly onConnect?: () => void;
  readonly log?: Logger;
}

export interface Listener {
  close(): Promise<void>;
}

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
    const next = new pg.Client({ ...connectionOptions({ url: options.url, applicationName: options.applicationName }), statement_timeout: 0 });
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

  void connect();
  return {
    async close() {
      closed = true;
      if (timer !== null) clearTimeout(timer);
      const current = client;
      client = null;
      await current?.end().catch(() => undefined);
    },
  };
}
