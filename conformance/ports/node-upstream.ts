/**
 * A node as the adapters of the peer port meet it: runs by tenant, created once a key, with streams. It serves the paths
 * of Agent Orchestrator and those of Federation, and can be told to misbehave. Callers are believed what their token
 * says: whether tokens are looked at is for the tests of trust.
 */
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Event, Run } from '../../generated/types/index.ts';
import type { AuthContext } from '../../services/platform/tenancy/auth-context.ts';
import type { StoreOutage } from './contract.ts';

/**
 * `breaks` and `fails` do what they were asked for, and then cut the connection or answer 500; `refuses` is its 409,
 * `distrusts` its 401, `babbles` a 200 that is no answer, `lies` an answer about another tenant, `misdirects` one with an events URL
 * on a host that nobody knows, `hangs` none at all.
 */
export type NodeMode = 'answers' | 'fails' | 'breaks' | 'refuses' | 'distrusts' | 'babbles' | 'lies' | 'misdirects' | 'hangs' | ToldRefusal;

/** An error that it answers everything with. */
export interface ToldRefusal {
  readonly status: number;
  readonly code: string;
  readonly message?: string;
  readonly details?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface SeenRequest {
  readonly auth: AuthContext;
  readonly headers: IncomingMessage['headers'];
  readonly path: string;
  readonly body: Record<string, unknown> | null;
}

export interface NodeUpstream {
  /** `http://127.0.0.1:…` or, with certificates, `https://…`. */
  readonly url: string;
  readonly outage: StoreOutage;
  set(mode: NodeMode): void;
  /** Requests so far. */
  readonly seen: readonly SeenRequest[];
  /** Runs of all tenants. */
  runs(): number;
  /** Appends an event of the type to the run, for its streams. `as`: what it says that it is of. */
  emit(runId: string, type: string, as?: Partial<Event>): void;
  /** Cuts the streams that are open. */
  cutStreams(): void;
  openStreams(): number;
  close(): Promise<void>;
}

interface StoredRun {
  run: Run;
  readonly key: string;
  readonly events: Event[];
}

const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const CAPABILITIES = { supports: { runs_forward: true, events_stream: true, tenant_isolation: true, tool_hosting: false, time_travel: true }, limits: { max_concurrent_runs: 3, max_event_streams: 4 }, models: { tiers: ['fast'], backends: ['vllm'], max_context_tokens: 9 } };

export async function startNodeUpstream(stackId: string, tls: ServerOptions | null = null): Promise<NodeUpstream> {
  const node = new UpstreamNode(stackId);
  const listener = (request: IncomingMessage, response: ServerResponse): void => void node.answer(request, response).catch(() => response.destroy());
  const server: Server = tls === null ? createHttpServer(listener) : createHttpsServer(tls, listener);
  const listen = (port: number): Promise<void> => new Promise((resolve) => void server.listen(port, '127.0.0.1', resolve));
  const shut = (): Promise<void> => new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
  await listen(0);
  const { port } = server.address() as AddressInfo;
  node.url = `${tls === null ? 'http' : 'https'}://127.0.0.1:${port}`;
  return {
    url: node.url,
    outage: { begin: shut, end: () => listen(port), limitMs: 5_000 },
    set: (mode) => void (node.mode = mode),
    seen: node.seen,
    runs: () => node.runs.size,
    emit: (runId, type, as) => node.emit(runId, type, as),
    cutStreams: () => node.streams.forEach(({ response }) => response.destroy()),
    openStreams: () => node.streams.size,
    close: async () => (server.listening ? shut() : undefined),
  };
}

class UpstreamNode {
  url = '';
  mode: NodeMode = 'answers';
  readonly seen: SeenRequest[] = [];
  readonly runs = new Map<string, StoredRun>();
  readonly streams = new Set<{ readonly runId: string; readonly after: number; readonly response: ServerResponse }>();
  readonly stackId: string;

  constructor(stackId: string) {
    this.stackId = stackId;
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const [path, query] = request.url!.split('?') as [string, string?];
    if (path === '/v1/federation/health') return json(response, 200, { status: 'ok' });
    const body = chunks.length === 0 ? null : (JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>);
    const auth = JSON.parse(Buffer.from(request.headers.authorization!.split('.')[1]!, 'base64url').toString()).auth as AuthContext;
    this.seen.push({ auth, headers: request.headers, path: request.url!, body });
    const error = (status: number, code: string, details = {}): void => json(response, status, { error: { code, message: `It is ${code}.`, retryable: false, details }, correlation_id: 'corr_node' });
    if (this.mode === 'hangs') return;
    if (typeof this.mode === 'object') {
      const { status, code, message = 'It says no.', details = {}, headers = {} } = this.mode;
      return void response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify({ error: { code, message, retryable: false, details }, correlation_id: 'corr_node' }));
    }
    if (this.mode === 'refuses') return error(409, 'conflict', { reason: 'because' });
    if (this.mode === 'distrusts') return error(401, 'unauthorized', { reason: 'peer_untrusted' });
    if (this.mode === 'babbles') return void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>');
    const answer = this.#serve(request.method!, path.replace('/v1/federation/runs', '/v1/runs'), new URLSearchParams(query), auth, body, response);
    if (answer === 'stream') return;
    if (this.mode === 'fails') return error(500, 'internal_error');
    if (this.mode === 'breaks') return void request.socket.destroy();
    if (answer === null) return error(404, 'not_found', { resource: 'run' });
    json(response, 200, answer);
  }

  /** null: there is no such thing. */
  #serve(method: string, path: string, query: URLSearchParams, auth: AuthContext, body: Record<string, unknown> | null, response: ServerResponse): object | 'stream' | null {
    const told = this.mode === 'lies' ? { ...auth, tenant_id: 'tnt_somebody_else' } : auth;
    if (path === '/v1/federation/peer') return { peer: { stack_id: this.mode === 'lies' ? 'stk_impostor' : this.stackId, environment: 'test', region: 'eu-9', api_versions: ['v1', 'v7'], endpoints: { 'agent-orchestrator_base_url': this.url, 'model-policy_base_url': this.url }, build: { version: '9', git_sha: 'x', timestamp: '2026-01-01T00:00:00Z' }, mood: 'good' } };
    if (path === '/v1/federation/peer/capabilities') return { capabilities: CAPABILITIES, peer_id: this.stackId, protocol: '9.0', event_backhaul: { mode: 'pigeons' } };
    if (path === '/v1/runs:forward') {
      const forward = body!['forward'] as { readonly run_request: Record<string, unknown> };
      const { run } = this.#create(auth, forward.run_request['agent_id'] as string, forward.run_request);
      return { forwarded: { tenant_id: told.tenant_id, remote_stack_id: this.stackId, remote_run_id: run.run_id, remote_events_url: `${this.mode === 'misdirects' ? 'https://elsewhere.example' : this.url}/v1/runs/${run.run_id}/events`, status: run.status }, correlation_id: 'corr_node' };
    }
    const created = /^\/v1\/agents\/([^/]+)\/runs$/.exec(path);
    if (created !== null) return this.#wire(this.#create(auth, decodeURIComponent(created[1]!), body!), told);
    const [, runId, verb] = /^\/v1\/runs\/([^/:]+)(\/events|:cancel)?$/.exec(decodeURIComponent(path)) ?? [];
    const stored = this.runs.get(runId ?? '');
    if (stored === undefined || stored.run.tenant_id !== auth.tenant_id) return null;
    if (verb === '/events') return this.#stream(stored, Number(query.get('after_sequence')), response);
    if (verb === ':cancel' && method === 'POST') stored.run = { ...stored.run, status: 'canceled' };
    return this.#wire(stored, told);
  }

  #create(auth: AuthContext, agentId: string, body: Record<string, unknown>): StoredRun {
    const key = `${auth.tenant_id}\n${auth.principal.principal_id}\n${String(body['idempotency_key'])}`;
    const known = [...this.runs.values()].find((stored) => stored.key === key);
    if (known !== undefined) return known;
    const runId = `run_node_${this.runs.size + 1}`;
    const stored: StoredRun = { key, events: [], run: { tenant_id: auth.tenant_id, agent_id: agentId, run_id: runId, status: 'queued', created_at: '2026-01-01T00:00:00Z' } };
    this.runs.set(runId, stored);
    this.emit(runId, 'test.created');
    return stored;
  }

  #wire({ run }: StoredRun, auth: AuthContext): object {
    return { run: { ...run, tenant_id: auth.tenant_id }, correlation_id: 'corr_node' };
  }

  emit(runId: string, type: string, as: Partial<Event> = {}): void {
    const { run, events } = this.runs.get(runId)!;
    const event: Event = { event_id: `evt_${runId}_${events.length + 1}`, sequence: events.length + 1, time: '2026-01-01T00:00:00Z', type, tenant_id: run.tenant_id, agent_id: run.agent_id, run_id: runId, step_id: null, trace: { traceparent: TRACEPARENT, span_id: '00f067aa0ba902b7' }, payload: {}, ...as };
    events.push(event);
    for (const stream of this.streams) if (stream.runId === runId && !(event.sequence <= stream.after)) sendFrame(stream.response, event);
  }

  #stream({ run, events }: StoredRun, after: number, response: ServerResponse): 'stream' {
    const stream = { runId: run.run_id, after, response };
    this.streams.add(stream);
    response.on('close', () => this.streams.delete(stream));
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(': hello\n\n');
    for (const event of events) if (!(event.sequence <= after)) sendFrame(response, event);
    return 'stream';
  }
}

function sendFrame(response: ServerResponse, event: Event): void {
  response.write(`id: ${event.sequence}\nevent: agentos.event\ndata: ${JSON.stringify({ event })}\n\n`);
  if (event.type === 'test.ended') response.end();
}

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
