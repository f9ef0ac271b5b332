/** GET /v1/mcp-servers/{server_id}. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { McpServers } from '../tools/mcp-servers.ts';
import { serverToWire } from './tool-wire.ts';

export const getMcpServer = (servers: McpServers): AgentOrchestratorHandlers['getMcpServer'] =>
  async ({ path, auth, context }) => {
    const server = await servers.get(auth, path.server_id);
    return { status: 200, body: { mcp_server: serverToWire(server), correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
