/** GET /v1/runs: the tenant's runs by what is asked of them, newest first where nothing else is said (C-63). */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Runs } from '../runtime/runs.ts';
import { runListQuery } from './run-list-query.ts';
import { runToWire } from './wire.ts';

export const listRuns = (runs: Runs): AgentOrchestratorHandlers['listRuns'] =>
  async ({ query, auth, context }) => {
    const asked = runListQuery(query);
    const found = asked === null ? { runs: [], hasMore: false } : await runs.list(auth, asked);
    return { status: 200, body: { runs: found.runs.map(runToWire), has_more: found.hasMore, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
