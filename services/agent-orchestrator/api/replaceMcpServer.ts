/** PUT /v1/mcp-servers/{server_id}. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { McpServers } from '../tools/mcp-servers.ts';
import { serverFromWire, serverToWire } from './tool-wire.ts';

export const replaceMcpServer = (servers: McpServers): AgentOrchestratorHandlers['replaceMcpServer'] =>
  async ({ path, body, auth, context }) => {
    const server = await servers.replace(auth, serverFromWire(body, path.server_id));
    return { status: 200, body: { mcp_server: serverToWire(server), correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
