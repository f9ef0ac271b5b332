/** POST /v1/runs: as createRun, with the agent named in the body. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Runs } from '../runtime/runs.ts';
import { runToWire } from './wire.ts';

export const createRunForAgent = (runs: Runs): AgentOrchestratorHandlers['createRunForAgent'] =>
  async ({ body, auth, context }) => {
    const { correlationId, traceparent, idempotencyKey } = context;
    const { run, replayed } = await runs.create(auth, { agentId: body.agent_id, body, idempotencyKey, correlationId, traceparent });
    const answer = { run: runToWire(run), correlation_id: correlationId, tenant_id: auth.tenant_id };
    return replayed ? { status: 200, body: answer, headers: { 'Idempotency-Replayed': 'true' } } : { status: 201, body: answer };
  };
