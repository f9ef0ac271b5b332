/** POST /v1/runs/{run_id}:retry: a new run of what an ended run was made of. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Runs } from '../runtime/runs.ts';
import { runToWire } from './wire.ts';

export const retryRun = (runs: Runs): AgentOrchestratorHandlers['retryRun'] =>
  async ({ path, body, auth, context }) => {
    const { correlationId, traceparent, idempotencyKey } = context;
    const { run, replayed } = await runs.retry(auth, path.run_id, { body: body ?? {}, idempotencyKey, correlationId, traceparent });
    const answer = { run: runToWire(run), correlation_id: correlationId, tenant_id: auth.tenant_id };
    return replayed ? { status: 200, body: answer, headers: { 'Idempotency-Replayed': 'true' } } : { status: 201, body: answer };
  };
