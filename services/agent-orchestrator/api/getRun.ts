/** GET /v1/runs/{run_id} (Appendix D.3). */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Runs } from '../runtime/runs.ts';
import { runToWire } from './wire.ts';

export const getRun = (runs: Runs): AgentOrchestratorHandlers['getRun'] =>
  async ({ path, auth, context }) => {
    const run = await runs.get(auth, path.run_id);
    return { status: 200, body: { run: runToWire(run), correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
