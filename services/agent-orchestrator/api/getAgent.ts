/** GET /v1/agents/{agent_id}. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { AgentPort } from '../ports/agents.ts';
import { agentToWire } from './wire.ts';

export const getAgent = (agents: AgentPort): AgentOrchestratorHandlers['getAgent'] =>
  async ({ path, auth, context }) => {
    const agent = await agents.get(auth, path.agent_id);
    return { status: 200, body: { agent: agentToWire(agent), correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
