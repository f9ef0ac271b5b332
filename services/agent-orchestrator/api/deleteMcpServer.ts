/** DELETE /v1/mcp-servers/{server_id}. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { McpServers } from '../tools/mcp-servers.ts';

export const deleteMcpServer = (servers: McpServers): AgentOrchestratorHandlers['deleteMcpServer'] =>
  async ({ path, auth }) => {
    await servers.delete(auth, path.server_id);
    return { status: 204, body: null };
  };
