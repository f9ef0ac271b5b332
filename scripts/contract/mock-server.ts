/**
 * `npm run mocks`: the three services as mocks, answering from the contract's examples on ports 4010, 4011 and 4012.
 *
 * Prism answers everything but streams, which it does not know: it would send the example as one text. So a small front
 * stands before each Prism, answers the operations that stream with their example's frames, one by one and after the
 * cursor that was asked for, and passes all else on.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request as httpRequest, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createNetServer } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { dereference, isJson, listOperations, type OpenApiDocument, type OperationView } from './openapi.ts';
import { repositoryRoot, type ServiceName } from './paths.ts';

const PORTS: Readonly<Record<ServiceName, number>> = { 'agent-orchestrator': 4010, 'model-policy': 4011, federation: 4012 };
const EVENT_STREAM = 'text/event-stream';
const PRISM_START_TIMEOUT_MS = 60_000;
const FRAME_DELAY_MS = 20;
const LARGEST_BODY_BYTES = 1024 * 1024;

export interface StreamMock {
  readonly method: string;
  readonly path: RegExp;
  /** Whether the operation answers in JSON unless the body asks for a stream. */
  readonly onRequestOnly: boolean;
  readonly frames: readonly string[];
}

/** The operations that stream, with the frames of their first example. */
export function streamMocks(document: OpenApiDocument): StreamMock[] {
  return listOperations(document).flatMap((operation) => {
    const content = operation.responses.find(([status]) => status.startsWith('2'))?.[1].content ?? {};
    const media = content[EVENT_STREAM];
    const entry = Object.values(media?.examples ?? {})[0];
    if (media === undefined || entry === undefined) return [];
    const { value } = dereference<{ value?: unknown }>(document, entry as never);
    const frames = String(value).split(/\n\n+/).filter((frame) => frame.trim() !== '');
    return [{ method: operation.method.toUpperCase(), path: pathPattern(operation), onRequestOnly: Object.keys(content).some(isJson), frames }];
  });
}

function pathPattern(operation: OperationView): RegExp {
  const parts = operation.path.split(/\{[^}]+\}/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('[^/]+')}/?$`);
}

/** The last sequence that the reader knows, from the header or the query; 0 without one. */
function cursorOf(request: IncomingMessage, url: URL): number {
  const text = request.headers['last-event-id'] ?? url.searchParams.get('after_sequence') ?? url.searchParams.get('from_sequence') ?? '0';
  return Number(Array.isArray(text) ? text[0] : text) || 0;
}

function frameSequence(frame: string): number {
  return Number(/^id: ?(\d+)$/m.exec(frame)?.[1] ?? Infinity);
}

async function sendFrames(response: ServerResponse, frames: readonly string[]): Promise<void> {
  response.writeHead(200, { 'content-type': `${EVENT_STREAM}; charset=utf-8`, 'cache-control': 'no-store', 'x-accel-buffering': 'no' });
  for (const frame of frames) {
    if (response.destroyed) return;
    response.write(`${frame.trimEnd()}\n\n`);
    await new Promise((resolve) => setTimeout(resolve, FRAME_DELAY_MS));
  }
  response.end();
}

/** A front that streams what it knows and passes the rest to `upstream`. */
export function createFront(mocks: readonly StreamMock[], upstream: URL): Server {
  return createServer((request, response) => {
    answer(request, response, mocks, upstream).catch((error: unknown) => {
      if (!response.headersSent) response.writeHead(502, { 'content-type': 'text/plain' });
      response.end(`The mock behind this front does not answer: ${String(error)}\n`);
    });
  });
}

async function answer(request: IncomingMessage, response: ServerResponse, mocks: readonly StreamMock[], upstream: URL): Promise<void> {
  const url = new URL(request.url ?? '/', upstream);
  const body = await readBody(request);
  const mock = mocks.find(({ method, path }) => method === request.method && path.test(url.pathname));
  if (mock !== undefined && (!mock.onRequestOnly || asksForStream(body))) {
    const cursor = cursorOf(request, url);
    await sendFrames(response, mock.frames.filter((frame) => frameSequence(frame) > cursor));
    return;
  }
  await passOn(request, response, body, url);
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > LARGEST_BODY_BYTES) throw new Error(`the body is larger than ${LARGEST_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function asksForStream(body: Buffer): boolean {
  try {
    return (JSON.parse(body.toString('utf8')) as { stream?: unknown } | null)?.stream === true;
  } catch {
    return false;
  }
}

function passOn(request: IncomingMessage, response: ServerResponse, body: Buffer, url: URL): Promise<void> {
  return new Promise((resolve, reject) => {
    const onward = httpRequest(url, { method: request.method ?? 'GET', headers: { ...request.headers, host: url.host } }, (reply) => {
      response.writeHead(reply.statusCode ?? 502, reply.headers);
      reply.pipe(response).on('finish', resolve).on('error', reject);
    });
    onward.on('error', reject);
    onward.end(body);
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createNetServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

async function startPrism(service: ServiceName, children: ChildProcess[]): Promise<URL> {
  const port = await freePort();
  const cli = join(repositoryRoot, 'node_modules', '@stoplight', 'prism-cli', 'dist', 'index.js');
  const child = spawn(process.execPath, [cli, 'mock', join(repositoryRoot, 'generated', 'openapi', `${service}.json`), '--port', String(port), '--host', '127.0.0.1'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`Prism for ${service} did not listen within ${PRISM_START_TIMEOUT_MS} ms`)), PRISM_START_TIMEOUT_MS);
    child.once('exit', (code) => reject(new Error(`Prism for ${service} ended with code ${String(code)} before it listened`)));
    child.stdout.on('data', (chunk: Buffer) => {
      if (!chunk.toString().includes('is listening')) return;
      clearTimeout(timer);
      resolve();
    });
  });
  return new URL(`http://127.0.0.1:${port}`);
}

async function main(): Promise<void> {
  const children: ChildProcess[] = [];
  const stop = (): void => {
    for (const child of children) child.kill();
    process.exit(0);
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  process.once('exit', () => children.forEach((child) => child.kill()));
  process.stdout.write('Starting three mocks; Prism takes some ten seconds …\n');
  await Promise.all(
    (Object.entries(PORTS) as Array<[ServiceName, number]>).map(async ([service, port]) => {
      const document = JSON.parse(readFileSync(join(repositoryRoot, 'generated', 'openapi', `${service}.json`), 'utf8')) as OpenApiDocument;
      const front = createFront(streamMocks(document), await startPrism(service, children));
      await new Promise<void>((resolve, reject) => front.once('error', reject).listen(port, '127.0.0.1', resolve));
      process.stdout.write(`${service.padEnd(20)} http://127.0.0.1:${port}\n`);
    }),
  );
  process.stdout.write('Try: curl -s -H "X-Tenant-Id: tnt_demo" http://127.0.0.1:4010/v1/agents     Stop: Ctrl+C\n');
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  main().catch((error: unknown) => {
    process.stderr.write(`The mocks did not start: ${error instanceof Error ? error.message : String(error)}\nIs a port of ${Object.values(PORTS).join(', ')} taken? Is generated/ there (npm run generate)?\n`);
    process.exit(1);
  });
}
