/**
 * Tools of MCP servers. What a server has is remembered in the registry, so that offering its tools needs no connection
 * to it: a run meets a dead server as a tool call that fails, not as a run that hangs. The list is asked for when it is
 * not known yet, when it has grown old, and when the server says that it changed.
 */
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import type { Logger } from 'pino';
import { AgentOsError } from '../../platform/errors.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { ToolDescriptor, ToolInvocation, ToolPort } from '../ports/tool.ts';
import type { McpServerRecord, McpTool } from '../ports/tool-registry.ts';
import { noSuchTool } from './tool-registrations.ts';
import { withinTime } from './tools/call-time.ts';
import type { McpConnections } from './tools/mcp-connections.ts';
import { checkInput, checkOutput, schemaProblem } from './tools/schema-check.ts';
import type { TenantTools } from './tools/tenant-tools.ts';
import { distinctNames, modelNameOf } from './tools/tool-names.ts';

export const MCP_PREFIX = 'tool.mcp.';

/** How long a list of tools is good, and how long a server that did not answer is left alone. */
const FRESH_MS = 5 * 60_000;
const LEFT_ALONE_MS = 30_000;
/** What a run waits at most for the first list of a server. */
const FIRST_LIST_MS = 5_000;
const LIST_MS = 15_000;
/** All descriptions of one server, as JSON. */
const MAX_LISTING_BYTES = 1024 * 1024;

export interface McpToolsOptions {
  readonly tenantTools: TenantTools;
  readonly connections: McpConnections;
  readonly log: Logger;
}

export interface McpListing {
  readonly state: 'connected' | 'unreachable';
  readonly tools: readonly McpTool[];
  readonly error: string | null;
}

export class McpTools implements ToolPort {
  readonly #options: McpToolsOptions;
  readonly #refreshing = new Map<string, Promise<McpListing>>();

  constructor(options: McpToolsOptions) {
    this.#options = options;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'mcp', contractVersion: '1.0', durable: false, features: [] };
  }

  async list(auth: AuthContext, wanted?: readonly string[]): Promise<readonly ToolDescriptor[]> {
    const { servers } = await this.#options.tenantTools.get(auth);
    const used = servers.filter((server) => server.enabled && (wanted === undefined || wanted.some((id) => id.startsWith(prefixOf(server.serverId)))));
    const listed = await Promise.all(used.map(async (server) => ({ server, tools: await this.#toolsOf(auth, server) })));
    return distinctNames(listed.flatMap(({ server, tools }) => allowedOf(server, tools).map((tool) => descriptorOf(server, tool))));
  }

  async invoke(auth: AuthContext, invocation: ToolInvocation): Promise<unknown> {
    const { toolId } = invocation;
    const { servers } = await this.#options.tenantTools.get(auth);
    const server = servers.find((one) => one.enabled && toolId.startsWith(prefixOf(one.serverId)));
    const tool = server === undefined ? undefined : allowedOf(server, await this.#toolsOf(auth, server)).find(({ name }) => toolId === prefixOf(server.serverId) + name);
    if (server === undefined || tool === undefined) throw noSuchTool(toolId);
    checkInput(toolId, tool.inputSchema, invocation.input);
    const output = await withinTime(invocation, (signal) => {
      const call = { timeoutMs: Math.min(server.timeoutMs, invocation.timeoutMs), signal };
      const meta = { 'agentos/tool_call_id': invocation.toolCallId, traceparent: invocation.traceparent };
      return this.#options.connections.use(auth, server, call, async (client) => outputOf(toolId, tool, await client.callTool(tool.name, invocation.input, meta, call)));
    });
    checkOutput(toolId, tool.outputSchema, output);
    return output;
  }

  /** Asks the server what it has and stores the answer. Does not reject for a server that cannot be reached. */
  refresh(auth: AuthContext, server: McpServerRecord): Promise<McpListing> {
    const key = JSON.stringify([auth.tenant_id, server.serverId, server.updatedAt]);
    const known = this.#refreshing.get(key);
    if (known !== undefined) return known;
    const listing = this.#refresh(auth, server).finally(() => this.#refreshing.delete(key));
    this.#refreshing.set(key, listing);
    return listing;
  }

  async #refresh(auth: AuthContext, server: McpServerRecord): Promise<McpListing> {
    const { tenantTools, connections } = this.#options;
    const seen = await connections.use(auth, server, { timeoutMs: LIST_MS }, (client) => client.listTools({ timeoutMs: Math.min(LIST_MS, server.timeoutMs) })).then(
      usable,
      (error: unknown) => ({ state: 'unreachable' as const, tools: null, error: error instanceof AgentOsError ? error.message.slice(0, 2_000) : 'It failed in an unexpected way.' }),
    );
    await tenantTools.registry.recordServer(auth, server, seen);
    tenantTools.forget(auth);
    return { ...seen, tools: seen.tools ?? server.tools };
  }

  async #toolsOf(auth: AuthContext, server: McpServerRecord): Promise<readonly McpTool[]> {
    const { state, checkedAt } = server.status;
    const ageMs = checkedAt === null ? Infinity : Date.now() - Date.parse(checkedAt);
    if (ageMs <= (state === 'connected' ? FRESH_MS : LEFT_ALONE_MS)) return server.tools;
    const refreshed = this.refresh(auth, server).then(({ tools }) => tools, (error: unknown) => {
      this.#options.log.warn({ err: error, tenant_id: auth.tenant_id, server_id: server.serverId }, 'What an MCP server has could not be stored.');
      return server.tools;
    });
    if (server.tools.length > 0) return server.tools;
    let timer: NodeJS.Timeout | undefined;
    const enough = new Promise<readonly McpTool[]>((resolve) => (timer = setTimeout(resolve, FIRST_LIST_MS, server.tools)));
    return Promise.race([refreshed, enough]).finally(() => clearTimeout(timer));
  }
}

const prefixOf = (serverId: string): string => `${MCP_PREFIX}${serverId}.`;

export const mcpToolId = (server: Pick<McpServerRecord, 'serverId'>, tool: Pick<McpTool, 'name'>): string => prefixOf(server.serverId) + tool.name;

/** What of a server's tools the tenant lets in. */
export const allowedOf = (server: McpServerRecord, tools: readonly McpTool[]): readonly McpTool[] =>
  server.toolsAllowed === null ? tools : tools.filter((tool) => server.toolsAllowed!.includes(tool.name));

export function descriptorOf(server: McpServerRecord, tool: McpTool): ToolDescriptor {
  const toolId = mcpToolId(server, tool);
  return {
    toolId, name: modelNameOf(toolId), kind: 'mcp', title: tool.name, description: tool.description, inputSchema: tool.inputSchema, outputSchema: tool.outputSchema,
    sideEffects: tool.sideEffects, timeoutMs: server.timeoutMs,
  };
}

/** A tool whose schemas cannot be checked against is not offered: its input would go out unchecked. */
function usable(tools: readonly McpTool[]): { readonly state: 'connected'; readonly tools: readonly McpTool[]; readonly error: string | null } {
  const problems = tools.map((tool) => schemaProblem(tool.inputSchema) ?? (tool.outputSchema === null ? null : schemaProblem(tool.outputSchema)));
  const kept: McpTool[] = [];
  let bytes = 0;
  for (const [index, tool] of tools.entries()) {
    bytes += Buffer.byteLength(JSON.stringify(tool));
    if (problems[index] === null && bytes <= MAX_LISTING_BYTES) kept.push(tool);
  }
  const left = tools.filter((tool) => !kept.includes(tool)).map((tool) => tool.name);
  return { state: 'connected', tools: kept, error: left.length === 0 ? null : `Left out, because their schemas cannot be used: ${left.join(', ')}.`.slice(0, 2_000) };
}

function outputOf(toolId: string, tool: McpTool, result: CallToolResult): unknown {
  const texts = result.content.map((item) => (item.type === 'text' ? item.text : null));
  if (result.isError === true) {
    const said = texts.filter((text) => text !== null).join('\n').slice(0, 1_000);
    throw new AgentOsError('tool_failed', { message: said === '' ? `${toolId} says that it failed.` : `${toolId} says that it failed: ${said}`, details: { tool_id: toolId } });
  }
  if (result.structuredContent !== undefined) return result.structuredContent;
  if (tool.outputSchema !== null) throw new AgentOsError('tool_failed', { message: `${toolId} has an output schema and answered no structured content.`, details: { tool_id: toolId, reason: 'output_does_not_fit' } });
  if (texts.every((text) => text !== null)) return texts.join('\n');
  return { content: result.content.map(withoutBytes) };
}

/** Pictures and sounds say that they are there; a model of text cannot read more of them. */
function withoutBytes(item: CallToolResult['content'][number]): unknown {
  if (item.type !== 'image' && item.type !== 'audio') return item;
  const { data, ...rest } = item;
  return { ...rest, bytes: Math.floor((data.length * 3) / 4) };
}
