/** DELETE /v1/memory/{namespace}/items/{key} */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { Memory } from '../memory/memory.ts';
import { noSuchItem } from './memory-wire.ts';

export const deleteMemoryItem = (memory: Memory): AgentOrchestratorHandlers['deleteMemoryItem'] =>
  async ({ path, auth }) => {
    if (!(await memory.delete(auth, path.namespace, path.key))) throw noSuchItem(path.namespace, path.key);
    return { status: 204, body: null };
  };
