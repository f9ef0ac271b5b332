/** POST /v1/mcp-servers/{server_id}:refresh: what the server has, asked now. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { AuditPort } from '../../platform/audit/audit.ts';
import { recorded } from '../../platform/audit/recorded.ts';
import type { McpServers } from '../tools/mcp-servers.ts';
import { serverToWire } from './tool-wire.ts';

export const refreshMcpServer = (servers: McpServers, audit: AuditPort): AgentOrchestratorHandlers['refreshMcpServer'] =>
  async ({ path, auth, context }) => {
    const facts = { action: 'mcp_server.refresh', resource: { type: 'mcp_server', id: path.server_id } };
    const server = await recorded({ audit, service: 'agent-orchestrator' }, auth, facts, () => servers.refresh(auth, path.server_id));
    const toolIds = server.server.status.state === 'connected' ? [...server.toolIds] : [];
    return { status: 200, body: { mcp_server: serverToWire(server), tool_ids: toolIds, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
