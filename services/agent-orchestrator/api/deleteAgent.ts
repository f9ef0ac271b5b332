/** DELETE /v1/agents/{agent_id}: removes the agent with its versions; its runs stay. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Agents } from '../runtime/agents.ts';

export const deleteAgent = (agents: Agents): AgentOrchestratorHandlers['deleteAgent'] =>
  async ({ path, auth }) => {
    await agents.delete(auth, path.agent_id);
    return { status: 204, body: null };
  };
