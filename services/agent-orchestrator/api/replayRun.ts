/** POST /v1/runs/{run_id}:replay: the decisions of a run once more, from its log alone. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Runs } from '../runtime/runs.ts';

export const replayRun = (runs: Runs): AgentOrchestratorHandlers['replayRun'] =>
  async ({ path, auth, context }) => {
    const { agreed, steps, decisions, missing } = await runs.replay(auth, path.run_id);
    return {
      status: 200,
      body: {
        run_id: path.run_id,
        agreed,
        steps,
        decisions: decisions.map(({ expected, actual, ...decision }) => ({ ...decision, expected: expected === null ? null : { ...expected }, actual: actual === null ? null : { ...actual } })),
        missing: [...missing],
        correlation_id: context.correlationId,
        tenant_id: auth.tenant_id,
      },
    };
  };
