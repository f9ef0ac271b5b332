/** POST /v1/runs/{run_id}:cancel: a queued or running run ends at once; one that has ended is 409 (C-58). */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Runs } from '../runtime/runs.ts';
import { runToWire } from './wire.ts';

export const cancelRun = (runs: Runs): AgentOrchestratorHandlers['cancelRun'] =>
  async ({ path, auth, context }) => {
    const run = await runs.cancel(auth, path.run_id);
    return { status: 200, body: { run: runToWire(run), correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
