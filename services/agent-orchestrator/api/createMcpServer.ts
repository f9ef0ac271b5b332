/** POST /v1/mcp-servers. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { McpServers } from '../tools/mcp-servers.ts';
import { requiredId, serverFromWire, serverToWire } from './tool-wire.ts';

export const createMcpServer = (servers: McpServers): AgentOrchestratorHandlers['createMcpServer'] =>
  async ({ body, auth, context }) => {
    const server = await servers.create(auth, serverFromWire(body, requiredId(body.server_id, 'server_id')));
    return { status: 201, body: { mcp_server: serverToWire(server), correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
