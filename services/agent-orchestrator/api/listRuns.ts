/** GET /v1/runs: newest first (C-63). */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Runs } from '../runtime/runs.ts';
import { runToWire } from './wire.ts';

export const listRuns = (runs: Runs): AgentOrchestratorHandlers['listRuns'] =>
  async ({ query, auth, context }) => {
    const found = await runs.list(auth, query);
    return { status: 200, body: { runs: found.runs.map(runToWire), has_more: found.hasMore, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
