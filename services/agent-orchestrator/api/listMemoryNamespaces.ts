/** GET /v1/memory: the namespaces that hold something, in order of name. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Memory } from '../memory/memory.ts';

export const listMemoryNamespaces = (memory: Memory): AgentOrchestratorHandlers['listMemoryNamespaces'] =>
  async ({ query, auth, context }) => {
    const found = await memory.namespaces(auth, { ...query, limit: query.limit + 1 });
    const namespaces = found.slice(0, query.limit).map((one) => ({ ...one }));
    return { status: 200, body: { namespaces, has_more: found.length > query.limit, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
