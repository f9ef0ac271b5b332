/** GET /v1/agents: registered agents, in order of their ids. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { AgentPort } from '../ports/agents.ts';
import { agentToWire } from './wire.ts';

export const listAgents = (agents: AgentPort): AgentOrchestratorHandlers['listAgents'] =>
  async ({ query, auth, context }) => {
    const found = await agents.list(auth, query);
    return { status: 200, body: { agents: found.agents.map(agentToWire), has_more: found.hasMore, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
