/** PUT /v1/agents/{agent_id}: makes the definition the newest version. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Agents } from '../runtime/agents.ts';
import { agentToWire } from './wire.ts';

export const updateAgent = (agents: Agents): AgentOrchestratorHandlers['updateAgent'] =>
  async ({ path, body, auth, context }) => {
    const agent = await agents.replace(auth, path.agent_id, body);
    return { status: 200, body: { agent: agentToWire(agent), correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
