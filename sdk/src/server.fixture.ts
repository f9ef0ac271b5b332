/** A real server on a real socket that answers as it is told. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach } from 'vitest';
import { AgentOS } from './index.ts';

export type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void;

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(cleanUp);

/** Closes the servers of this test. */
export async function cleanUp(): Promise<void> {
  for (const cleanup of cleanups.splice(0)) await cleanup();
}

/** A server that gives the answers in order (the last one again and again) and remembers what it was asked. */
export async function serverThat(...answers: Answer[]): Promise<{ client: AgentOS; seen: Seen[]; url: string }> {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      seen.push({ method: request.method!, url: request.url!, headers: request.headers, body });
      answers[Math.min(seen.length, answers.length) - 1]!(request, response, body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { client: new AgentOS({ baseUrl: url, tenantId: 'tnt_demo' }), seen, url };
}

export function json(status: number, body: unknown, headers: Record<string, string> = {}): Answer {
  return (_request, response) => response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

export function failure(status: number, code: string, headers: Record<string, string> = {}): Answer {
  return json(status, { error: { code, message: 'refused', retryable: status >= 429, details: { why: 'test' } }, correlation_id: 'corr_1' }, headers);
}
