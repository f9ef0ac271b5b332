/** GET /v1/memory:usage */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Memory } from '../memory/memory.ts';

export const getMemoryUsage = (memory: Memory): AgentOrchestratorHandlers['getMemoryUsage'] =>
  async ({ auth, context }) => {
    const { items, bytes, bytesLimit } = await memory.usage(auth);
    return { status: 200, body: { bytes_used: bytes, bytes_limit: bytesLimit, items, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
