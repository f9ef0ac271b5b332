/** GET /v1/agents/{agent_id}/runs: newest first; an agent that was never run has none (C-63). */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Runs } from '../runtime/runs.ts';
import { runToWire } from './wire.ts';

export const listAgentRuns = (runs: Runs): AgentOrchestratorHandlers['listAgentRuns'] =>
  async ({ path, query, auth, context }) => {
    const found = await runs.list(auth, { ...query, agentId: path.agent_id });
    return { status: 200, body: { runs: found.runs.map(runToWire), has_more: found.hasMore, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
