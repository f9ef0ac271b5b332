/** POST /v1/tools: an endpoint of the tenant becomes a tool. The answer holds its secret, this once. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { ToolCatalog } from '../tools/tool-catalog.ts';
import { requiredId, toolFromWire, toolToWire } from './tool-wire.ts';

export const createTool = (catalog: ToolCatalog): AgentOrchestratorHandlers['createTool'] =>
  async ({ body, auth, context }) => {
    const { tool, secret } = await catalog.create(auth, toolFromWire(body, requiredId(body.tool_id, 'tool_id')));
    return { status: 201, body: { tool: toolToWire(tool, secret), correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
