/**
 * A Model Policy that says what a test tells it to: the objects of Appendix E over HTTP, and ways to fail. For
 * scenarios in which what the model answers, or that nobody answers, is the point.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

export interface AskedMessage {
  readonly role: string;
  readonly content: string;
}

export interface Asked {
  readonly modelRef: string;
  readonly messages: readonly AskedMessage[];
  /** What the last user said. */
  readonly said: string;
  /** Tool results since then, newest last. */
  readonly results: readonly string[];
}

/** A text, or tools to be called. */
export type ScriptedAnswer = string | { readonly calls: readonly { readonly tool: string; readonly input: unknown }[] };

export type PolicyMode = 'answers' | 'refuses' | 'hangs' | 'breaks';

export interface ScriptedPolicy {
  readonly url: string;
  /** Requests to invoke a model that arrived. */
  readonly asked: readonly Asked[];
  /** Policy checks that arrived. */
  readonly checked: readonly string[];
  setMode(mode: PolicyMode): void;
  close(): Promise<void>;
}

export async function startScriptedPolicy(answer: (asked: Asked) => ScriptedAnswer | Promise<ScriptedAnswer>): Promise<ScriptedPolicy> {
  const asked: Asked[] = [];
  const checked: string[] = [];
  const sockets = new Set<Socket>();
  let mode: PolicyMode = 'answers';
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await bodyOf(request);
    if (mode === 'hangs') return;
    if (mode === 'refuses') return void request.socket.destroy();
    if (request.url === '/v1/health') return json(response, 200, { status: 'ok' });
    if (mode === 'breaks') return json(response, 502, 'Bad gateway');
    if (request.url === '/v1/policy:check') {
      const { request_id: requestId, content } = body['policy_check'] as { request_id: string; content: { text: string } };
      checked.push(content.text);
      return json(response, 200, { policy_result: { request_id: requestId, decision: 'allowed', reasons: [], redactions: [] } });
    }
    const { request_id: requestId, model_ref: modelRef, input } = body['request'] as { request_id: string; model_ref: string; input: { messages: AskedMessage[] } };
    const lastUser = input.messages.map((message) => message.role).lastIndexOf('user');
    const question: Asked = { modelRef, messages: input.messages, said: input.messages[lastUser]?.content ?? '', results: input.messages.slice(lastUser + 1).filter((message) => message.role === 'tool').map((message) => message.content) };
    asked.push(question);
    return json(response, 200, { response: responseOf(requestId, await answer(question)), correlation_id: 'corr_scripted' });
  };
  const server = createServer((request, response) => void serve(request, response).catch(() => request.socket.destroy()));
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    checked,
    setMode(next) {
      mode = next;
      // Whoever hangs is let go, so that a later mode does not inherit open calls.
      if (next !== 'hangs') for (const socket of sockets) socket.destroy();
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function responseOf(requestId: string, answer: ScriptedAnswer): unknown {
  const calls = typeof answer === 'string' ? [] : answer.calls.map(({ tool, input }, index) => ({ tool_call_id: `call_${index}`, tool_id: tool, name: tool, input }));
  return {
    request_id: requestId,
    status: 'ok',
    output: { type: 'chat', message: { role: 'assistant', content: typeof answer === 'string' ? answer : '' }, tool_calls: calls },
    usage: { input_tokens: 1, output_tokens: 1, total_tokens: 2 },
    latency_ms: 1,
    policy_outcome: { decision: 'allowed', reasons: [], redactions: [] },
    route: { backend: 'scripted', model: 'scripted', node: 'scripted', fallback_used: false },
  };
}

async function bodyOf(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
