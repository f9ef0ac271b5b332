/** The way to a store, which can be closed: connections are cut and new ones refused, as when the server is away. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type { StoreOutage } from './contract.ts';

export interface StoreGate {
  /** The store's address with the gate in its place. */
  readonly url: string;
  shut(): Promise<void>;
  open(): Promise<void>;
  close(): Promise<void>;
}

export async function startStoreGate(storeUrl: string): Promise<StoreGate> {
  const target = new URL(storeUrl);
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const onward = connect(Number(target.port === '' ? 5432 : target.port), target.hostname);
    const end = (): void => {
      client.destroy();
      onward.destroy();
    };
    for (const socket of [client, onward]) {
      sockets.add(socket.setNoDelay(true));
      socket.on('error', end).on('close', end).on('close', () => sockets.delete(socket));
    }
    client.pipe(onward).pipe(client);
  });
  const listen = (port: number): Promise<void> => new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', () => {
    server.off('error', reject);
    resolve();
  }));
  const shut = (): Promise<void> => new Promise((resolve) => {
    server.close(() => resolve());
    for (const socket of sockets) socket.destroy();
  });
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const url = new URL(storeUrl);
  url.hostname = '127.0.0.1';
  url.port = String(port);
  return { url: url.href, shut, open: () => listen(port), close: async () => (server.listening ? shut() : undefined) };
}

/** Longer than the pool's own patience for a connection would be a call that nobody ends. */
const LIMIT_MS = 6_000;

export const outageOf = (gate: StoreGate): StoreOutage => ({ begin: () => gate.shut(), end: () => gate.open(), limitMs: LIMIT_MS });
