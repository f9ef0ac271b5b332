/** An HTTP proxy in front of a real service that can be told to misbehave: the service stays what it is, the way to it fails. */
import { createServer, request as forward, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { UpstreamMode } from '../ports/contract.ts';

export interface FaultyProxy {
  readonly url: string;
  setMode(mode: UpstreamMode): void;
  /** Asked once a request: how long it is held back before it is passed on. */
  setDelay(delayMs: () => number): void;
  close(): Promise<void>;
}

export async function startFaultyProxy(target: string): Promise<FaultyProxy> {
  let mode: UpstreamMode = 'answers';
  let delay = (): number => 0;
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    if (mode === 'answers') setTimeout(() => pass(target, request, response), delay());
    else if (mode === 'unavailable') request.socket.destroy();
    else if (mode === 'rate-limited' || mode === 'forbids' || mode === 'fails') refuse(request, response, mode);
    else if (mode === 'babbles') babble(request, response);
    else request.resume();
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    setMode(next) {
      mode = next;
    },
    setDelay(next) {
      delay = next;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function pass(target: string, request: IncomingMessage, response: ServerResponse): void {
  const onward = forward(new URL(request.url ?? '/', target), { method: request.method, headers: { ...request.headers, connection: 'close' } }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', () => request.socket.destroy());
  request.pipe(onward);
}

const REFUSALS = {
  'rate-limited': { status: 429, headers: { 'retry-after': '1' }, error: { code: 'rate_limited', message: 'Too many model calls in this window.', retryable: true, details: {} } },
  forbids: { status: 403, headers: {}, error: { code: 'forbidden', message: 'This principal may not call models.', retryable: false, details: {} } },
  fails: { status: 500, headers: {}, error: { code: 'internal_error', message: 'Something broke.', retryable: false, details: {} } },
} as const;

function refuse(request: IncomingMessage, response: ServerResponse, mode: keyof typeof REFUSALS): void {
  request.resume();
  const { status, headers, error } = REFUSALS[mode];
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify({ error, correlation_id: 'corr_suite' }));
}

function babble(request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Welcome to nginx!</html>');
}
