/** POST /v1/memory/{namespace}:search */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Memory } from '../memory/memory.ts';
import { embedCallOf, memoryItemToWire } from './memory-wire.ts';

export const searchMemory = (memory: Memory): AgentOrchestratorHandlers['searchMemory'] =>
  async ({ path, body, auth, context }) => {
    const { query, mode, limit, filter, min_score: minScore } = body;
    const found = await memory.search(auth, path.namespace, {
      query,
      ...(mode === undefined ? {} : { mode }),
      ...(limit === undefined ? {} : { limit }),
      ...(filter === undefined ? {} : { filter }),
      ...(minScore === undefined ? {} : { minScore }),
    }, embedCallOf(context));
    const results = found.results.map(({ item, score, matched }) => ({ item: memoryItemToWire(item), score, matched }));
    return { status: 200, body: { results, mode: found.mode, correlation_id: context.correlationId, tenant_id: auth.tenant_id } };
  };
