/** DELETE /v1/tools/{tool_id}. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { ToolCatalog } from '../tools/tool-catalog.ts';

export const deleteTool = (catalog: ToolCatalog): AgentOrchestratorHandlers['deleteTool'] =>
  async ({ path, auth }) => {
    await catalog.delete(auth, path.tool_id);
    return { status: 204, body: null };
  };
