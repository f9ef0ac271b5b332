/**
 * A server that speaks OpenAI's chat completions and embeddings as far as the suites need: it answers, hangs, refuses
 * or drops the connection as it is told, and records what it was asked.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { UpstreamMode } from '../ports/contract.ts';

export interface RecordedCall {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Record<string, unknown> | null;
}

export interface OpenAiServer {
  /** With `/v1`. */
  readonly url: string;
  readonly calls: readonly RecordedCall[];
  setMode(mode: UpstreamMode): void;
  close(): Promise<void>;
}

const MODELS = [{ id: 'suite-chat' }, { id: 'suite-embed' }];

export async function startOpenAiServer(): Promise<OpenAiServer> {
  let mode: UpstreamMode = 'answers';
  const calls: RecordedCall[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    void readBody(request).then((body) => {
      calls.push({ method: request.method ?? '', path: request.url ?? '', headers: request.headers, body });
      if (mode === 'unavailable') request.socket.destroy();
      else if (mode === 'rate-limited') json(response, 429, { error: { message: 'Too many requests.', type: 'rate_limit_error', param: null, code: 'rate_limit_exceeded' } }, { 'retry-after': '2' });
      else if (mode === 'answers') answer(request.url ?? '', body, response);
      // `hangs`: nothing is ever answered.
    });
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    calls,
    setMode(next) {
      mode = next;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function answer(path: string, body: Record<string, unknown> | null, response: ServerResponse): void {
  if (path === '/v1/models') return json(response, 200, { object: 'list', data: MODELS });
  const model = String(body?.['model']);
  if (!MODELS.some((known) => known.id === model)) {
    return json(response, 404, { error: { message: `The model ${model} does not exist.`, type: 'invalid_request_error', param: 'model', code: 'model_not_found' } });
  }
  if (path === '/v1/chat/completions') return json(response, 200, completion(model, body));
  if (path === '/v1/embeddings') return json(response, 200, embeddings(model, body));
  json(response, 404, { error: { message: 'Unknown path.', type: 'invalid_request_error', param: null, code: null } });
}

function completion(model: string, body: Record<string, unknown> | null): unknown {
  const messages = body?.['messages'] as { content: string }[];
  return {
    id: 'chatcmpl-suite', object: 'chat.completion', model,
    choices: [{ index: 0, message: { role: 'assistant', content: `You said: ${messages.at(-1)?.content ?? ''}` }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 },
  };
}

/** A vector is a function of its text, so that equal texts can be told from different ones. */
function embeddings(model: string, body: Record<string, unknown> | null): unknown {
  const texts = [body?.['input']].flat() as string[];
  const vector = (text: string): number[] => [...createHash('sha256').update(text).digest().subarray(0, 8)].map((byte) => byte / 255);
  return { object: 'list', model, data: texts.map((text, index) => ({ object: 'embedding', index, embedding: vector(text) })), usage: { prompt_tokens: 3 * texts.length, total_tokens: 3 * texts.length } };
}

async function readBody(request: IncomingMessage): Promise<Record<string, unknown> | null> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return chunks.length === 0 ? null : (JSON.parse(Buffer.concat(chunks).toString('utf8')) as Record<string, unknown>);
}

function json(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}
