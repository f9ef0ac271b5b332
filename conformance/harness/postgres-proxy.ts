/**
 * A proxy on the way to PostgreSQL that can lose the answer to a COMMIT, fall silent, or cut connections.
 *
 * It reads what the server sends, message by message (PostgreSQL manual, "Message Formats"): an answer to COMMIT that
 * is chosen to be lost is swallowed after the server has sent it, so the transaction stands and the service cannot
 * know. A silent connection stays open and carries nothing more in either direction, as one whose other end has
 * vanished does; connections made afterwards work.
 */
import { connect, createServer, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';

export interface PostgresProxy {
  /** The address with this proxy in place of the server. */
  readonly url: string;
  /** Answers to COMMIT that were lost. */
  readonly lostCommits: number;
  /** Names of workers that spoke through here (they send their own with each claim). */
  readonly workers: ReadonlySet<string>;
  /** Asked for each COMMIT that the server has done: true loses the answer. null: none is lost. */
  loseCommits(choose: (() => boolean) | null): void;
  /** Connections that are open now go silent. Answers how many. */
  silence(): number;
  cut(): void;
  close(): Promise<void>;
}

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
}

const WORKER_NAME = /wrk_[0-9a-z]{26}/gi;
const COMMAND_COMPLETE = 0x43;

export async function startPostgresProxy(databaseUrl: string): Promise<PostgresProxy> {
  const target = new URL(databaseUrl);
  const pairs = new Set<Pair>();
  const workers = new Set<string>();
  let choose: (() => boolean) | null = null;
  let lostCommits = 0;
  const end = (pair: Pair): void => {
    pair.client.destroy();
    pair.server.destroy();
    pairs.delete(pair);
  };
  const listener = createServer((client) => {
    const pair = { client, server: connect(Number(target.port), target.hostname) };
    pairs.add(pair);
    client.setNoDelay(true);
    pair.server.setNoDelay(true);
    for (const socket of [client, pair.server]) {
      socket.on('error', () => end(pair));
      socket.on('close', () => end(pair));
    }
    client.on('data', (chunk: Buffer) => {
      // A worker is named once in a connection's life at least; looking at small packets alone costs little.
      if (chunk.length < 4_096) for (const [name] of chunk.toString('latin1').matchAll(WORKER_NAME)) workers.add(name);
      pair.server.write(chunk);
    });
    const commits = commitFinder();
    pair.server.on('data', (chunk: Buffer) => {
      const at = commits(chunk, () => choose?.() ?? false);
      if (at === null) {
        client.write(chunk);
        return;
      }
      lostCommits += 1;
      end(pair);
    });
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const url = new URL(databaseUrl);
  url.hostname = '127.0.0.1';
  url.port = String((listener.address() as AddressInfo).port);
  return {
    url: url.href,
    workers,
    get lostCommits() {
      return lostCommits;
    },
    loseCommits(next) {
      choose = next;
    },
    silence() {
      for (const { client, server } of pairs) {
        for (const socket of [client, server]) socket.removeAllListeners('data').pause();
      }
      return pairs.size;
    },
    cut() {
      for (const pair of [...pairs]) end(pair);
    },
    async close() {
      for (const pair of [...pairs]) end(pair);
      await new Promise<void>((resolve) => listener.close(() => resolve()));
    },
  };
}

/** Walks through the server's messages over chunk borders; answers where a COMMIT stands that `lose` chose, else null. */
function commitFinder(): (chunk: Buffer, lose: () => boolean) => number | null {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk, lose) => {
    const data = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    while (at + 5 <= data.length) {
      const next = at + 1 + data.readUInt32BE(at + 1);
      if (next > data.length) break;
      if (data[at] === COMMAND_COMPLETE && data.toString('latin1', at + 5, next - 1) === 'COMMIT' && lose()) return at;
      at = next;
    }
    rest = data.subarray(at);
    return null;
  };
}
