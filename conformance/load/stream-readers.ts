/**
 * A process full of event streams. Told which runs to follow how often, it opens the streams over plain sockets, and
 * when it is asked hands over what arrived: for each event its run, its sequence, and when its bytes were here.
 *
 * The parent sends {port, streams: [tenant, path, run index][]} and later 'collect'; answers are {open} and {arrivals}.
 */
import { connect, type Socket } from 'node:net';

export interface OpenStreams {
  readonly port: number;
  readonly streams: readonly (readonly [tenantId: string, path: string, run: number])[];
}

/** Triples of run index, sequence, and milliseconds since the epoch. */
export interface Arrivals {
  readonly arrivals: Float64Array;
  readonly broken: number;
}

const MAX_OPENING = 50;
const now = (): number => performance.timeOrigin + performance.now();

let arrivals = new Float64Array(3 * 4_096);
let length = 0;
let broken = 0;

function arrived(run: number, sequence: number, atMs: number): void {
  if (length + 3 > arrivals.length) {
    const grown = new Float64Array(arrivals.length * 2);
    grown.set(arrivals);
    arrivals = grown;
  }
  arrivals[length] = run;
  arrivals[length + 1] = sequence;
  arrivals[length + 2] = atMs;
  length += 3;
}

/** Resolves when the first event is here. */
function open(port: number, [tenantId, path, run]: OpenStreams['streams'][number]): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    let rest = '';
    socket.setEncoding('latin1');
    socket.on('connect', () => socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nX-Tenant-Id: ${tenantId}\r\nAccept: text/event-stream\r\n\r\n`));
    socket.on('data', (chunk: string) => {
      const atMs = now();
      const text = rest + chunk;
      let end = 0;
      for (let at = text.indexOf('id: '); at !== -1; at = text.indexOf('id: ', end)) {
        const lineEnd = text.indexOf('\n', at);
        if (lineEnd === -1) break;
        arrived(run, Number(text.slice(at + 4, lineEnd)), atMs);
        end = lineEnd;
        resolve(socket);
      }
      // An id may be cut in two, nothing longer is looked for.
      rest = text.slice(Math.max(end, text.length - 24));
      if (end === 0 && text.startsWith('HTTP/1.1 ') && !text.startsWith('HTTP/1.1 200')) reject(new Error(text.slice(0, 300)));
    });
    socket.on('error', reject);
    socket.on('close', () => {
      broken += 1;
      reject(new Error('closed'));
    });
  });
}

async function openAll({ port, streams }: OpenStreams): Promise<void> {
  let next = 0;
  const opener = async (): Promise<void> => {
    for (let stream = streams[next++]; stream !== undefined; stream = streams[next++]) await open(port, stream);
  };
  await Promise.all(Array.from({ length: MAX_OPENING }, opener));
}

process.on('message', (message: OpenStreams | 'collect' | 'forget') => {
  if (message === 'forget') length = 0;
  else if (message === 'collect') process.send!({ arrivals: arrivals.slice(0, length), broken } satisfies Arrivals);
  else {
    openAll(message).then(
      () => process.send!({ open: message.streams.length }),
      (error: unknown) => process.send!({ failed: String(error) }),
    );
  }
});
process.on('disconnect', () => process.exit(0));
