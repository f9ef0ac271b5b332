/** Somebody's endpoint for webhooks: a real HTTP server that remembers what came and answers as it is told. */
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Json } from './client.ts';

export interface ReceivedWebhook {
  readonly headers: IncomingHttpHeaders;
  /** Exactly as it came. */
  readonly raw: string;
  readonly body: Json;
  readonly at: number;
  /** What was answered; null while it is not. */
  status: number | null;
}

export interface ReceiverAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface WebhookReceiver {
  readonly url: string;
  /** As AGENTOS_EGRESS_ALLOW names it. */
  readonly allow: string;
  readonly received: readonly ReceivedWebhook[];
  /** Deliveries that are being answered now, and the most there were at once. */
  readonly concurrency: { readonly now: number; readonly most: number };
  answer(decide: (received: ReceivedWebhook, index: number) => ReceiverAnswer | Promise<ReceiverAnswer>): void;
  /** Resolves when `enough` says so of what came. @throws Error when it does not in time. */
  until(enough: (received: readonly ReceivedWebhook[]) => boolean, timeoutMs?: number): Promise<void>;
  close(): Promise<void>;
}

export async function startReceiver(): Promise<WebhookReceiver> {
  const received: ReceivedWebhook[] = [];
  const concurrency = { now: 0, most: 0 };
  let decide: (received: ReceivedWebhook, index: number) => ReceiverAnswer | Promise<ReceiverAnswer> = () => ({ status: 204 });
  const server = createServer((request, response) => {
    concurrency.now += 1;
    concurrency.most = Math.max(concurrency.most, concurrency.now);
    response.once('close', () => (concurrency.now -= 1));
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const raw = Buffer.concat(chunks).toString('utf8');
      const item: ReceivedWebhook = { headers: request.headers, raw, body: JSON.parse(raw), at: Date.now(), status: null };
      received.push(item);
      void Promise.resolve(decide(item, received.length - 1)).then(({ status, headers }) => {
        item.status = status;
        response.writeHead(status, headers ?? {}).end();
      });
    });
    request.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/hook`,
    allow: `127.0.0.1:${port}`,
    received,
    concurrency,
    answer(next) {
      decide = next;
    },
    async until(enough, timeoutMs = 10_000) {
      const deadline = Date.now() + timeoutMs;
      while (!enough(received)) {
        if (Date.now() > deadline) throw new Error(`The receiver waited ${timeoutMs} ms in vain; ${received.length} deliveries came: ${received.map(({ body, status }) => `${body.type} ${body.sequence} → ${status}`).join(', ')}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
