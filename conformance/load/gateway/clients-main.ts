/**
 * The clients of the gateway benchmark: plain sockets with prepared requests, so that a client costs little beside what
 * it measures. Each connection sends its next request when the answer to the one before is whole.
 *
 * The parent sends a Volley and gets its Times.
 */
import { connect, type Socket } from 'node:net';

export interface Volley {
  readonly port: number;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly streamed: boolean;
  readonly connections: number;
  readonly requests: number;
}

/** Milliseconds, in the order of completion; the first two only for streams. */
export interface Times {
  /** To the first event of the stream. */
  readonly firstByteMs: Float64Array;
  /** To the first event that says something. */
  readonly firstContentMs: Float64Array;
  readonly wholeMs: Float64Array;
  readonly elapsedMs: number;
  readonly failures: readonly string[];
}

const MAX_FAILURES = 20;
const MESSAGES = [
  { role: 'system', content: 'You are a careful analyst. Answer in plain words, and say what the figures do not show.' },
  { role: 'user', content: 'Summarise the quarterly report for the three regions in two paragraphs, and name the one change that mattered most.' },
];

function requestOf({ path, headers, streamed }: Volley): Buffer {
  const body = JSON.stringify({ model: 'bench-model', messages: MESSAGES, max_tokens: 400, ...(streamed ? { stream: true } : {}) });
  const lines = Object.entries({ host: '127.0.0.1', 'content-type': 'application/json', 'content-length': String(body.length), ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`);
}

interface Answer {
  readonly firstByteMs: number;
  readonly firstContentMs: number;
  readonly wholeMs: number;
}

class Connection {
  readonly #port: number;
  #socket: Socket | null = null;
  #onData: (chunk: string) => void = () => undefined;
  #onLost: (error: Error) => void = () => undefined;

  constructor(port: number) {
    this.#port = port;
  }

  ask(request: Buffer, streamed: boolean): Promise<Answer> {
    const socket = (this.#socket ??= this.#open());
    return new Promise((resolve, reject) => {
      const started = performance.now();
      let text = '';
      let bodyAt = -1;
      let isWhole: (text: string) => boolean = () => false;
      let firstByteMs = Number.NaN;
      let firstContentMs = Number.NaN;
      this.#onLost = reject;
      this.#onData = (chunk) => {
        text += chunk;
        if (bodyAt === -1) {
          bodyAt = text.indexOf('\r\n\r\n') + 4;
          if (bodyAt === 3) return void (bodyAt = -1);
          isWhole = endOf(text.slice(0, bodyAt).toLowerCase(), bodyAt);
        }
        if (streamed && Number.isNaN(firstByteMs) && text.includes('data: ', bodyAt)) firstByteMs = performance.now() - started;
        if (streamed && Number.isNaN(firstContentMs) && /"content":"[^"]/.test(text)) firstContentMs = performance.now() - started;
        if (!isWhole(text)) return;
        this.#onLost = () => undefined;
        const fault = faultIn(text, streamed);
        if (fault === null) resolve({ firstByteMs, firstContentMs, wholeMs: performance.now() - started });
        else reject(new Error(fault));
      };
      socket.write(request);
    });
  }

  close(): void {
    this.#socket?.destroy();
  }

  #open(): Socket {
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true });
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => this.#onData(chunk));
    socket.on('error', (error) => this.#onLost(error));
    socket.on('close', () => {
      this.#socket = null;
      this.#onLost(new Error('the connection was closed before the answer was whole'));
    });
    return socket;
  }
}

function endOf(head: string, bodyAt: number): (text: string) => boolean {
  const length = /\r\ncontent-length: *(\d+)/.exec(head);
  if (length !== null) return (text) => text.length >= bodyAt + Number(length[1]);
  return (text) => text.endsWith('\r\n0\r\n\r\n');
}

/** An answer that is not the upstream's whole answer does not count, however fast it came. */
function faultIn(text: string, streamed: boolean): string | null {
  const isGood = text.startsWith('HTTP/1.1 200') && /"finish_reason": ?"stop"/.test(text) && (!streamed || text.includes('[DONE]'));
  return isGood ? null : `not the whole answer: ${text.slice(0, 600)}`;
}

async function fire(volley: Volley): Promise<Times> {
  const request = requestOf(volley);
  const answers: Answer[] = [];
  const failures: string[] = [];
  let left = volley.requests;
  const started = performance.now();
  await Promise.all(Array.from({ length: volley.connections }, async () => {
    const connection = new Connection(volley.port);
    while (left-- > 0 && failures.length < MAX_FAILURES) await connection.ask(request, volley.streamed).then((answer) => answers.push(answer), (error: unknown) => failures.push(String(error)));
    connection.close();
  }));
  const elapsedMs = performance.now() - started;
  const column = (name: keyof Answer): Float64Array => Float64Array.from(answers, (answer) => answer[name]);
  return { firstByteMs: column('firstByteMs'), firstContentMs: column('firstContentMs'), wholeMs: column('wholeMs'), elapsedMs, failures };
}

process.on('message', (volley: Volley) => void fire(volley).then((times) => process.send!(times)));
process.on('disconnect', () => process.exit(0));
