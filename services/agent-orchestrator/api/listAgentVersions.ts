/** GET /v1/agents/{agent_id}/versions: one agent object a version, newest first. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Agents } from '../runtime/agents.ts';
import { agentToWire } from './wire.ts';

export const listAgentVersions = (agents: Agents): AgentOrchestratorHandlers['listAgentVersions'] =>
  async ({ path, query, auth, context }) => {
    const found = await agents.versions(auth, path.agent_id, { limit: query.limit, ...(query.after === undefined ? {} : { after: query.after }) });
    return { status: 200, body: { agents: found.agents.map(agentToWire), has_more: found.hasMore, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
