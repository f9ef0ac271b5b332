/** The tools of this service: where calls of them go, and how a tenant's people see and change theirs. */
import type { Logger } from 'pino';
import type { EgressClient } from '../platform/egress/egress-client.ts';
import type { SecretBox } from '../platform/secrets/secret-box.ts';
import type { AuthContext } from '../platform/tenancy/auth-context.ts';
import type { DirectoryPort } from '../platform/tenancy/directory.ts';
import { BuiltinTools } from './adapters/tool-builtin.ts';
import { CompositeTools } from './adapters/tool-composite.ts';
import { McpTools, allowedOf, descriptorOf as mcpDescriptorOf, mcpToolId } from './adapters/tool-mcp.ts';
import { WebhookTools, descriptorOf as webhookDescriptorOf, secretPlaceOf } from './adapters/tool-webhook.ts';
import type { BuiltinTool } from './adapters/tools/builtin-tool.ts';
import { httpFetchTool } from './adapters/tools/http-fetch.ts';
import { McpConnections } from './adapters/tools/mcp-connections.ts';
import type { McpCommands } from './adapters/tools/mcp-commands.ts';
import { memorySearchTool } from './adapters/tools/memory-search.ts';
import { schemaProblem } from './adapters/tools/schema-check.ts';
import { sqlQueryTool } from './adapters/tools/sql-query.ts';
import { createSqlSources, type SqlSource } from './adapters/tools/sql-sources.ts';
import { TenantTools } from './adapters/tools/tenant-tools.ts';
import type { Memory } from './memory/memory.ts';
import type { ToolPort } from './ports/tool.ts';
import type { McpServerRecord, ToolRegistryPort } from './ports/tool-registry.ts';
import { toolEntitlement } from './tenancy/quotas.ts';
import { createMcpServers, openHeaders, type McpServers } from './tools/mcp-servers.ts';
import { createToolCatalog, type ToolCatalog } from './tools/tool-catalog.ts';

export interface OpenToolsOptions {
  readonly registry: ToolRegistryPort;
  readonly memory: Memory;
  readonly directory: DirectoryPort;
  readonly egress: EgressClient;
  readonly secrets: SecretBox;
  readonly log: Logger;
  readonly sqlSources?: readonly SqlSource[];
  readonly mcpCommands?: McpCommands;
  /** Calls a minute for tenants without a quota of their own; null: not limited. */
  readonly callsPerMinute?: number | null;
  /** Further tools of the node. */
  readonly more?: readonly BuiltinTool[];
}

export interface NodeTools {
  readonly tools: ToolPort;
  readonly catalog: ToolCatalog;
  readonly mcpServers: McpServers;
  close(): Promise<void>;
}

export function openTools(options: OpenToolsOptions): NodeTools {
  const { registry, memory, directory, egress, secrets, log, callsPerMinute = null } = options;
  const commands = options.mcpCommands ?? new Map();
  const sources = createSqlSources(options.sqlSources ?? []);
  const builtin = new BuiltinTools(memory, [memorySearchTool(memory), httpFetchTool(egress), sqlQueryTool(sources), ...(options.more ?? [])]);
  const tenantTools = new TenantTools(registry);
  const connections: McpConnections = new McpConnections({
    egress, commands, log,
    headersOf: (tenantId, server) => openHeaders(secrets, tenantId, server),
    onToolsChanged: (auth, server) => void mcp.refresh(auth, server).catch((error: unknown) => log.warn({ err: error, server_id: server.serverId }, 'What an MCP server has could not be asked again.')),
  });
  const mcp: McpTools = new McpTools({ tenantTools, connections, log });
  const webhook = new WebhookTools({ tenantTools, egress, secrets });
  const tools = new CompositeTools({
    builtin, webhook, mcp, tenantTools,
    callsPerMinute: async (auth) => (await directory.getTenant(auth, auth.tenant_id))?.quotas?.tools?.tool_calls_per_minute ?? callsPerMinute,
  });
  const onChanged = (auth: AuthContext): void => tenantTools.forget(auth);
  const allowedTools = (server: McpServerRecord) => allowedOf(server, server.tools);
  return {
    tools,
    catalog: createToolCatalog({
      registry, nodeTools: builtin, secrets, secretPlaceOf, egressPolicy: egress.policy, onChanged,
      descriptions: { webhook: webhookDescriptorOf, mcp: (server) => allowedTools(server).map((tool) => ({ descriptor: mcpDescriptorOf(server, tool), toolName: tool.name })), schemaProblem },
      entitlement: async (auth) => toolEntitlement(await directory.getTenant(auth, auth.tenant_id)),
    }),
    mcpServers: createMcpServers({
      registry, secrets, egressPolicy: egress.policy, onChanged,
      hasCommand: (commandId) => commands.has(commandId),
      toolIdsOf: (server) => allowedTools(server).map((tool) => mcpToolId(server, tool)),
      refresh: (auth, server) => mcp.refresh(auth, server),
    }),
    async close() {
      await Promise.all([connections.close(), sources.close()]);
    },
  };
}
