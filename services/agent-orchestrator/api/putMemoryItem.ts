/** PUT /v1/memory/{namespace}/items/{key}: replaces what stands there, whole. */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Memory } from '../memory/memory.ts';
import { embedCallOf, memoryItemToWire } from './memory-wire.ts';

export const putMemoryItem = (memory: Memory): AgentOrchestratorHandlers['putMemoryItem'] =>
  async ({ path, body, auth, context }) => {
    const { created, ...item } = await memory.put(auth, {
      ...path,
      value: body.value,
      ...(body.metadata === undefined ? {} : { metadata: body.metadata }),
      ...(body.ttl_seconds === undefined ? {} : { ttlSeconds: body.ttl_seconds }),
      ...(body.text === undefined ? {} : { text: body.text }),
      embed: body.embed ?? false,
    }, embedCallOf(context));
    return { status: created ? 201 : 200, body: { item: memoryItemToWire(item), correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
