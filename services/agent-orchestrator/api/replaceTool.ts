/** PUT /v1/tools/{tool_id}. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { ToolCatalog } from '../tools/tool-catalog.ts';
import { toolFromWire, toolToWire } from './tool-wire.ts';

export const replaceTool = (catalog: ToolCatalog): AgentOrchestratorHandlers['replaceTool'] =>
  async ({ path, body, auth, context }) => {
    const { tool, secret } = await catalog.replace(auth, toolFromWire(body, path.tool_id));
    return { status: 200, body: { tool: toolToWire(tool, secret), correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
