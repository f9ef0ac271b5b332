/** GET /v1/agents/{agent_id}/runs: as the list of all runs, of one agent. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Runs } from '../runtime/runs.ts';
import { runListQuery } from './run-list-query.ts';
import { runToWire } from './wire.ts';

export const listAgentRuns = (runs: Runs): AgentOrchestratorHandlers['listAgentRuns'] =>
  async ({ path, query, auth, context }) => {
    const asked = runListQuery({ ...query, agent_id: path.agent_id });
    const found = asked === null ? { runs: [], hasMore: false } : await runs.list(auth, asked);
    return { status: 200, body: { runs: found.runs.map(runToWire), has_more: found.hasMore, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
