/** GET /v1/tools/{tool_id}. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { ToolCatalog } from '../tools/tool-catalog.ts';
import { toolToWire } from './tool-wire.ts';

export const getTool = (catalog: ToolCatalog): AgentOrchestratorHandlers['getTool'] =>
  async ({ path, auth, context }) => {
    const tool = await catalog.get(auth, path.tool_id);
    return { status: 200, body: { tool: toolToWire(tool), correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
