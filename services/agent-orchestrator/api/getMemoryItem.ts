/** GET /v1/memory/{namespace}/items/{key} */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Memory } from '../memory/memory.ts';
import { memoryItemToWire, noSuchItem } from './memory-wire.ts';

export const getMemoryItem = (memory: Memory): AgentOrchestratorHandlers['getMemoryItem'] =>
  async ({ path, auth, context }) => {
    const item = await memory.get(auth, path.namespace, path.key);
    if (item === null) throw noSuchItem(path.namespace, path.key);
    return { status: 200, body: { item: memoryItemToWire(item), correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
