/**
 * HTTP by hand, over a plain socket: for requests that no client library would send, and for seeing exactly what a
 * server answers, including whether it closes the connection.
 */
import { connect } from 'node:net';

export interface WireRequest {
  readonly method: string;
  /** Request target, sent as it is. */
  readonly path: string;
  /** Name and value in order; a name may occur twice. */
  readonly headers: ReadonlyArray<readonly [string, string]>;
  readonly body?: string | Buffer;
}

export interface WireAnswer {
  readonly status: number;
  /** Lower-case names; repeated ones joined with a comma. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Whether the server closed the connection, and did so within the time allowed. */
  readonly closed: boolean;
}

/** The bytes of a request, with Host, Content-Length and Connection unless they are among its headers. */
function encodeRequest(request: WireRequest, host: string): Buffer {
  const names = new Set(request.headers.map(([name]) => name.toLowerCase()));
  const body = request.body === undefined ? Buffer.alloc(0) : Buffer.from(request.body);
  const lines = [`${request.method} ${request.path} HTTP/1.1`];
  if (!names.has('host')) lines.push(`Host: ${host}`);
  for (const [name, value] of request.headers) lines.push(`${name}: ${value}`);
  if (!names.has('content-length') && !names.has('transfer-encoding') && request.body !== undefined) lines.push(`Content-Length: ${body.length}`);
  if (!names.has('connection')) lines.push('Connection: close');
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), body]);
}

/** Sends bytes and reads until the server closes, or until `timeoutMs` have passed. */
export function exchange(url: string, bytes: Buffer, timeoutMs = 10_000): Promise<WireAnswer> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect({ host: hostname, port: Number(port) });
    const finish = (closed: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      try {
        resolve({ ...parseAnswer(Buffer.concat(chunks)), closed });
      } catch (error) {
        reject(error as Error);
      }
    };
    const timer = setTimeout(() => finish(false), timeoutMs);
    socket.on('connect', () => socket.write(bytes));
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('end', () => finish(true));
    // A server that refuses a long body may reset the connection after its answer; what came before counts.
    socket.on('error', (error) => {
      if (chunks.length > 0) finish(true);
      else {
        clearTimeout(timer);
        reject(error);
      }
    });
  });
}

export function send(url: string, request: WireRequest, timeoutMs?: number): Promise<WireAnswer> {
  return exchange(url, encodeRequest(request, new URL(url).host), timeoutMs);
}

/** The first response in the bytes. @throws Error when there is none. */
function parseAnswer(bytes: Buffer): Omit<WireAnswer, 'closed'> {
  const end = bytes.indexOf('\r\n\r\n');
  if (end === -1) throw new Error(`The server answered no complete head: ${JSON.stringify(bytes.toString('latin1').slice(0, 200))}`);
  const [statusLine = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(statusLine)?.[1]);
  if (status === 100) return parseAnswer(bytes.subarray(end + 4));
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  const rest = bytes.subarray(end + 4);
  const body = headers['transfer-encoding']?.includes('chunked') ? dechunk(rest) : rest.subarray(0, Number(headers['content-length'] ?? rest.length));
  return { status, headers, body: body.toString('utf8') };
}

function dechunk(bytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; ;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd === -1) break;
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16);
    if (!Number.isFinite(size) || size === 0) break;
    parts.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = lineEnd + 2 + size + 2;
  }
  return Buffer.concat(parts);
}
