/**
 * The model server that every contender stands before: it answers at once, in OpenAI's form, 200 tokens whole or as a
 * stream of fifty chunks five milliseconds apart. A process of its own; it tells its parent the port.
 */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const TOKENS = 200;
const CHUNKS = 50;
const BETWEEN_MS = 5;
const WORDS = 'the report covers three regions and shows that demand grew while supply stayed flat over most of the year'.split(' ');
const HEAD = { id: 'chatcmpl-bench', created: 1_732_147_200, model: 'bench-model', system_fingerprint: 'fp_bench' };
const USAGE = { prompt_tokens: 60, completion_tokens: TOKENS, total_tokens: 60 + TOKENS };

const words = Array.from({ length: TOKENS }, (_, index) => `${WORDS[index % WORDS.length]!} `);
const whole = Buffer.from(JSON.stringify({
  ...HEAD, object: 'chat.completion', usage: USAGE,
  choices: [{ index: 0, message: { role: 'assistant', content: words.join('').trimEnd(), refusal: null }, logprobs: null, finish_reason: 'stop' }],
}));
const models = Buffer.from(JSON.stringify({ object: 'list', data: [{ id: HEAD.model, object: 'model', created: HEAD.created, owned_by: 'bench' }] }));

const sse = (data: unknown): Buffer => Buffer.from(`data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`);
const delta = (content: unknown, reason: string | null = null): Buffer => sse({ ...HEAD, object: 'chat.completion.chunk', choices: [{ index: 0, delta: content, logprobs: null, finish_reason: reason }] });
const pieces = Array.from({ length: CHUNKS }, (_, index) => {
  const share = TOKENS / CHUNKS;
  return delta({ ...(index === 0 ? { role: 'assistant' } : {}), content: words.slice(index * share, (index + 1) * share).join('') });
});
const tail = Buffer.concat([delta({}, 'stop'), sse({ ...HEAD, object: 'chat.completion.chunk', choices: [], usage: USAGE }), sse('[DONE]')]);

function json(response: ServerResponse, body: Buffer): void {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length }).end(body);
}

function stream(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  response.write(pieces[0]!);
  let next = 1;
  const timer = setInterval(() => {
    if (next < CHUNKS) response.write(pieces[next++]!);
    else response.end(tail);
  }, BETWEEN_MS);
  response.once('close', () => clearInterval(timer));
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    if (request.url!.endsWith('/models')) json(response, models);
    else if (Buffer.concat(chunks).includes('"stream":true')) stream(response);
    else json(response, whole);
  });
});
server.keepAliveTimeout = 600_000;
server.listen(0, '127.0.0.1', () => process.send!({ port: (server.address() as AddressInfo).port }));
process.on('disconnect', () => process.exit(0));
