/** GET /v1/tools: everything that agents of the tenant may be given, in order of ids. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { ToolCatalog } from '../tools/tool-catalog.ts';
import { toolToWire } from './tool-wire.ts';

export const listTools = (catalog: ToolCatalog): AgentOrchestratorHandlers['listTools'] =>
  async ({ query, auth, context }) => {
    const found = await catalog.list(auth, query);
    return { status: 200, body: { tools: found.tools.map((tool) => toolToWire(tool)), has_more: found.hasMore, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
