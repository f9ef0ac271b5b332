/** Tools and MCP servers, between the objects of the contract and those of this service. */
import type { McpServer as WireServer, McpServerWrite, Tool as WireTool, ToolWrite } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { McpTransport } from '../ports/tool-registry.ts';
import type { McpServerInput, McpServerView } from '../tools/mcp-servers.ts';
import { misfit, type CatalogTool, type WebhookToolInput } from '../tools/tool-catalog.ts';

const DEFAULT_TIMEOUT_MS = 30_000;

export function toolToWire(tool: CatalogTool, secret: string | null = null): WireTool {
  const { webhook, mcp } = tool;
  const registered = webhook ?? mcp?.server;
  return {
    tool_id: tool.toolId,
    kind: tool.kind ?? 'builtin',
    name: tool.title ?? tool.name,
    description: tool.description,
    input_schema: { ...tool.inputSchema },
    output_schema: tool.outputSchema === undefined || tool.outputSchema === null ? null : { ...tool.outputSchema },
    side_effects: tool.sideEffects ?? true,
    rate_limit_per_minute: tool.rateLimitPerMinute ?? null,
    timeout_ms: tool.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    ...(webhook === undefined ? {} : { attempts: webhook.attempts, webhook: { url: webhook.url, ...(secret === null ? {} : { secret }) } }),
    ...(mcp === undefined ? {} : { mcp: { server_id: mcp.server.serverId, tool_name: mcp.toolName } }),
    created_at: registered?.createdAt ?? null,
    updated_at: registered?.updatedAt ?? null,
  };
}

export function toolFromWire(body: ToolWrite, toolId: string): WebhookToolInput {
  if (body.tool_id !== undefined && body.tool_id !== toolId) throw misfit('/tool_id', `The path names ${toolId}.`);
  return {
    toolId,
    title: body.name ?? toolId,
    description: body.description,
    inputSchema: body.input_schema,
    outputSchema: body.output_schema ?? null,
    sideEffects: body.side_effects ?? true,
    timeoutMs: body.timeout_ms ?? DEFAULT_TIMEOUT_MS,
    attempts: body.attempts ?? 1,
    rateLimitPerMinute: body.rate_limit_per_minute ?? null,
    url: body.webhook.url,
    ...(body.webhook.secret === undefined ? {} : { secret: body.webhook.secret }),
  };
}

export function serverToWire({ server, headerNames, toolIds }: McpServerView): WireServer {
  const { transport, status } = server;
  return {
    server_id: server.serverId,
    transport: transport.type === 'stdio' ? { type: 'stdio', command_id: transport.commandId } : { type: 'streamable_http', url: transport.url, header_names: [...headerNames] },
    tools_allowed: server.toolsAllowed === null ? null : [...server.toolsAllowed],
    timeout_ms: server.timeoutMs,
    enabled: server.enabled,
    status: { state: status.state, tools: toolIds.length, error: status.error, checked_at: status.checkedAt },
    created_at: server.createdAt,
    updated_at: server.updatedAt,
  };
}

export function serverFromWire(body: McpServerWrite, serverId: string): McpServerInput {
  if (body.server_id !== undefined && body.server_id !== serverId) throw misfit('/server_id', `The path names ${serverId}.`);
  const given = body.transport;
  const transport: McpTransport = given.type === 'stdio' ? { type: 'stdio', commandId: given.command_id } : { type: 'streamable_http', url: given.url };
  return {
    serverId,
    transport,
    toolsAllowed: body.tools_allowed ?? null,
    timeoutMs: body.timeout_ms ?? DEFAULT_TIMEOUT_MS,
    enabled: body.enabled ?? true,
    ...(given.type === 'streamable_http' && given.headers !== undefined ? { headers: given.headers } : {}),
  };
}

/** The id that a creation must bring, because no path names it. */
export function requiredId(value: string | undefined, member: 'tool_id' | 'server_id'): string {
  if (value !== undefined) return value;
  throw new AgentOsError('invalid_request', { message: `/${member}: must be there; the caller chooses it.`, details: { errors: [{ path: `/${member}`, message: 'must be there' }] } });
}
