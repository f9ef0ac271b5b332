/** GET /v1/mcp-servers: the MCP servers of the tenant, in order of ids. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { McpServers } from '../tools/mcp-servers.ts';
import { serverToWire } from './tool-wire.ts';

export const listMcpServers = (servers: McpServers): AgentOrchestratorHandlers['listMcpServers'] =>
  async ({ query, auth, context }) => {
    const found = await servers.list(auth, query);
    return { status: 200, body: { mcp_servers: found.servers.map(serverToWire), has_more: found.hasMore, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
