/** GET /v1/memory/{namespace}/items: in order of key. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Memory } from '../memory/memory.ts';
import { memoryItemToWire } from './memory-wire.ts';

export const listMemoryItems = (memory: Memory): AgentOrchestratorHandlers['listMemoryItems'] =>
  async ({ path, query, auth, context }) => {
    const found = await memory.list(auth, path.namespace, { ...query, limit: query.limit + 1 });
    const items = found.slice(0, query.limit).map(memoryItemToWire);
    return { status: 200, body: { items, has_more: found.length > query.limit, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
