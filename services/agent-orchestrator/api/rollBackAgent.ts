/** POST /v1/agents/{agent_id}/rollback: a new version with the definition of an earlier one. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Agents } from '../runtime/agents.ts';
import { agentToWire } from './wire.ts';

export const rollBackAgent = (agents: Agents): AgentOrchestratorHandlers['rollBackAgent'] =>
  async ({ path, body, auth, context }) => {
    const agent = await agents.rollBack(auth, path.agent_id, body.version);
    return { status: 200, body: { agent: agentToWire(agent), correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
