/** POST /v1/agents: registers version 1. The same definition under the same id and key is the same request. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Agents } from '../runtime/agents.ts';
import { agentToWire } from './wire.ts';

export const createAgent = (agents: Agents): AgentOrchestratorHandlers['createAgent'] =>
  async ({ body, auth, context }) => {
    const { agent, replayed } = await agents.create(auth, body, body.idempotency_key ?? context.idempotencyKey);
    const answer = { agent: agentToWire(agent), correlation_id: context.correlationId, tenant_id: auth.tenant_id };
    return replayed ? { status: 200, body: answer, headers: { 'Idempotency-Replayed': 'true' } } : { status: 201, body: answer };
  };
