/**
 * What stands behind a tenant's tools in tests: one HTTP server with webhook endpoints that verify the signature, and an
 * MCP server made with the official SDK. Tools `echo`, `slow`, `failing` and `misfit` exist in both worlds.
 */
import { createServer, type IncomingMessage, type Server as HttpServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { randomUUID } from 'node:crypto';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { CallToolRequestSchema, ListToolsRequestSchema, type CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { pino } from 'pino';
import { EgressClient } from '../../services/platform/egress/egress-client.ts';
import { EgressPolicy } from '../../services/platform/egress/egress-policy.ts';
import { createSecretBox } from '../../services/platform/secrets/secret-box.ts';
import type { AuthContext } from '../../services/platform/tenancy/auth-context.ts';
import { newWebhookSecret, verifyWebhook } from '../../services/platform/webhooks/standard-webhooks.ts';
import { MemoryToolRegistry } from '../../services/agent-orchestrator/adapters/tool-registry-memory.ts';
import { McpTools } from '../../services/agent-orchestrator/adapters/tool-mcp.ts';
import { WebhookTools, secretPlaceOf } from '../../services/agent-orchestrator/adapters/tool-webhook.ts';
import { McpConnections } from '../../services/agent-orchestrator/adapters/tools/mcp-connections.ts';
import type { McpCommands } from '../../services/agent-orchestrator/adapters/tools/mcp-commands.ts';
import { TenantTools } from '../../services/agent-orchestrator/adapters/tools/tenant-tools.ts';
import type { ToolRegistryPort, WebhookTool } from '../../services/agent-orchestrator/ports/tool-registry.ts';
import { openHeaders } from '../../services/agent-orchestrator/tools/mcp-servers.ts';
import { freshTenant } from './fixtures.ts';

export const TEXT_INPUT = { type: 'object', properties: { text: { type: 'string' } }, required: ['text'], additionalProperties: false } as const;
export const TEXT_OUTPUT = { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] } as const;

export interface SeenRequest {
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  /** Of a webhook: whether the signature was right. */
  readonly verified: boolean;
}

export interface ToolUpstream {
  readonly port: number;
  readonly origin: string;
  readonly secret: string;
  readonly requests: SeenRequest[];
  /** MCP sessions that are open. */
  readonly sessions: number;
  /** Statuses for the next webhook calls, before the endpoint answers as usual. */
  readonly failNext: number[];
  /** The server forgets its MCP sessions, as one that was restarted. */
  forgetSessions(): void;
  /** Tells every session that the list has changed, and lists this tool beside the others. */
  addMcpTool(name: string): Promise<void>;
  close(): Promise<void>;
}

const read = async (request: IncomingMessage): Promise<string> => {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) body += chunk as string;
  return body;
};

export async function startToolUpstream(): Promise<ToolUpstream> {
  const secret = newWebhookSecret();
  const requests: SeenRequest[] = [];
  const failNext: number[] = [];
  const mcp = mcpBehind();
  const server: HttpServer = createServer((request, response) => {
    void (async () => {
      if (request.url!.startsWith('/mcp')) return mcp.handle(request, response, requests);
      const body = await read(request);
      const verified = isSigned(request, body, secret);
      requests.push({ path: request.url!, headers: request.headers, body, verified });
      const status = failNext.shift();
      if (status !== undefined) return response.writeHead(status, status === 429 ? { 'retry-after': '0' } : {}).end('try later');
      return verified ? answerWebhook(request.url!, body, response) : response.writeHead(401).end('not signed by you');
    })().catch((error: unknown) => response.destroy(error as Error));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port, origin: `http://127.0.0.1:${port}`, secret, requests, failNext,
    get sessions() {
      return mcp.sessions.size;
    },
    forgetSessions: () => mcp.sessions.clear(),
    addMcpTool: (name) => mcp.add(name),
    async close() {
      mcp.sessions.clear();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function isSigned(request: IncomingMessage, body: string, secret: string): boolean {
  try {
    verifyWebhook({ headers: request.headers, body, secrets: [secret] });
    return true;
  } catch {
    return false;
  }
}

function answerWebhook(path: string, body: string, response: ServerResponse): void {
  const { data } = JSON.parse(body) as { data: { input: unknown } };
  if (path === '/slow') return;
  if (path === '/failing') response.writeHead(422).end('no such city');
  else if (path === '/misfit') response.writeHead(200, { 'content-type': 'application/json' }).end('{"text":7}');
  else if (path === '/text') response.writeHead(200, { 'content-type': 'text/plain' }).end('plain');
  else if (path === '/html') response.writeHead(200, { 'content-type': 'text/html' }).end('<p>no</p>');
  else if (path === '/empty') response.writeHead(204).end();
  else if (path === '/redirect') response.writeHead(302, { location: '/echo' }).end();
  else if (path === '/large') response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ text: 'x'.repeat(300_000) }));
  else response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(data.input));
}

function mcpBehind() {
  const sessions = new Map<string, { readonly transport: StreamableHTTPServerTransport; readonly server: Server }>();
  const names = ['echo', 'slow', 'failing', 'misfit', 'plain', 'picture'];
  const open = async (): Promise<StreamableHTTPServerTransport> => {
    const server = mcpServer(() => names);
    const transport: StreamableHTTPServerTransport = new StreamableHTTPServerTransport({ sessionIdGenerator: () => randomUUID(), onsessioninitialized: (id) => void sessions.set(id, { transport, server }) });
    transport.onclose = () => void sessions.delete(transport.sessionId ?? '');
    await server.connect(transport as Transport);
    return transport;
  };
  return {
    sessions,
    async add(name: string) {
      names.push(name);
      await Promise.all([...sessions.values()].map(({ server }) => server.sendToolListChanged()));
    },
    async handle(request: IncomingMessage, response: ServerResponse, requests: SeenRequest[]) {
      const body = request.method === 'POST' ? await read(request) : '';
      requests.push({ path: request.url!, headers: request.headers, body, verified: false });
      if (request.url === '/mcp-guarded' && request.headers['x-api-key'] !== 'opensesame') return response.writeHead(401).end();
      const sessionId = request.headers['mcp-session-id'] as string | undefined;
      const session = sessionId === undefined ? undefined : sessions.get(sessionId);
      if (sessionId !== undefined && session === undefined) return response.writeHead(404).end();
      return (session?.transport ?? (await open())).handleRequest(request, response, body === '' ? undefined : JSON.parse(body));
    },
  };
}

function mcpServer(names: () => readonly string[]): Server {
  const server = new Server({ name: 'upstream', version: '1.0.0' }, { capabilities: { tools: { listChanged: true } } });
  const withOutput = new Set(['echo', 'misfit']);
  server.setRequestHandler(ListToolsRequestSchema, ({ params }) => {
    // Two pages, so that both are read.
    const [from, to] = params?.cursor === 'rest' ? [2, undefined] : [0, 2];
    const tools = names().slice(from, to).map((name) => ({ name, description: `The tool ${name} of a test.`, inputSchema: { ...TEXT_INPUT, required: [...TEXT_INPUT.required] }, ...(withOutput.has(name) ? { outputSchema: { ...TEXT_OUTPUT, required: [...TEXT_OUTPUT.required] } } : {}), annotations: { readOnlyHint: name === 'echo' } }));
    return { tools, ...(to === undefined ? {} : { nextCursor: 'rest' }) };
  });
  server.setRequestHandler(CallToolRequestSchema, ({ params }, { signal }) => callMcpTool(params.name, (params.arguments ?? {}) as { text: string }, signal));
  return server;
}

async function callMcpTool(name: string, input: { readonly text: string }, signal: AbortSignal): Promise<CallToolResult> {
  const text = (said: string): CallToolResult['content'][number] => ({ type: 'text', text: said });
  if (name === 'slow') await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  if (name === 'failing') return { content: [text('no such city')], isError: true };
  if (name === 'misfit') return { content: [text('7')], structuredContent: { text: 7 } };
  if (name === 'plain') return { content: [text('one'), text('two')] };
  if (name === 'picture') return { content: [text('a picture'), { type: 'image', data: 'AAAA', mimeType: 'image/png' }] };
  return { content: [text(JSON.stringify(input))], structuredContent: { ...input } };
}

export interface TenantToolsUnderTest {
  readonly upstream: ToolUpstream;
  readonly registry: ToolRegistryPort;
  readonly tenantTools: TenantTools;
  readonly webhook: WebhookTools;
  readonly mcp: McpTools;
  readonly connections: McpConnections;
  readonly secrets: ReturnType<typeof createSecretBox>;
  /** A tenant with the webhook tools `tool.echo`-alike and the MCP server `up`. */
  newTenant(): Promise<AuthContext>;
  dispose(): Promise<void>;
}

export const upstreamWebhook = (upstream: ToolUpstream, name: string, changes: Partial<WebhookTool> = {}): WebhookTool => ({
  toolId: `tool.up.${name}`, title: name, description: `The tool ${name} of a test.`, inputSchema: TEXT_INPUT, outputSchema: name === 'echo' || name === 'misfit' || name === 'large' ? TEXT_OUTPUT : null, sideEffects: false,
  timeoutMs: 5_000, attempts: 1, rateLimitPerMinute: null, url: `${upstream.origin}/${name}`, ...changes,
});

/** Registry in memory, real HTTP behind it. */
export async function tenantToolsUnderTest(options: { readonly commands?: McpCommands; readonly maxPerTenant?: number; readonly idleMs?: number } = {}): Promise<TenantToolsUnderTest> {
  const upstream = await startToolUpstream();
  const registry = new MemoryToolRegistry();
  const tenantTools = new TenantTools(registry);
  const egress = new EgressClient({ policy: new EgressPolicy({ allow: [`127.0.0.1:${upstream.port}`] }) });
  const secrets = createSecretBox('a signing key of at least thirty-two bytes');
  const log = pino({ level: 'silent' });
  const { commands = new Map(), ...bounds } = options;
  const connections: McpConnections = new McpConnections({
    egress, commands, log, ...bounds, headersOf: (tenantId, server) => openHeaders(secrets, tenantId, server), onToolsChanged: (auth, server) => void mcp.refresh(auth, server),
  });
  const mcp: McpTools = new McpTools({ tenantTools, connections, log });
  return {
    upstream, registry, tenantTools, connections, mcp, secrets,
    webhook: new WebhookTools({ tenantTools, egress, secrets }),
    async newTenant() {
      const tenant = freshTenant('tools');
      for (const name of ['echo', 'slow', 'failing', 'misfit']) {
        const tool = upstreamWebhook(upstream, name);
        await registry.createTool(tenant, tool, secrets.seal(upstream.secret, secretPlaceOf(tenant, tool.toolId)));
      }
      await registry.createServer(tenant, { serverId: 'up', transport: { type: 'streamable_http', url: `${upstream.origin}/mcp` }, toolsAllowed: null, timeoutMs: 5_000, enabled: true }, null);
      return tenant;
    },
    async dispose() {
      await connections.close();
      await egress.close();
      await upstream.close();
    },
  };
}
