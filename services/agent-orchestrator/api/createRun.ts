/** POST /v1/agents/{agent_id}/runs (Appendix D.1, D.2). */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Runs } from '../runtime/runs.ts';
import { runToWire } from './wire.ts';

export const createRun = (runs: Runs): AgentOrchestratorHandlers['createRun'] =>
  async ({ path, body, auth, context }) => {
    const { correlationId, traceparent, idempotencyKey } = context;
    const { run, replayed } = await runs.create(auth, { agentId: path.agent_id, body, idempotencyKey, correlationId, traceparent });
    const answer = { run: runToWire(run), correlation_id: correlationId, tenant_id: auth.tenant_id };
    return replayed ? { status: 200, body: answer, headers: { 'Idempotency-Replayed': 'true' } } : { status: 201, body: answer };
  };
