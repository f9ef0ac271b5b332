/** The in-memory run store: three ports over one store, as the Postgres family shares its tables. */
import { MemoryEvents } from '../../services/agent-orchestrator/adapters/events-memory.ts';
import { MemoryQueue } from '../../services/agent-orchestrator/adapters/queue-memory.ts';
import { MemoryRunState } from '../../services/agent-orchestrator/adapters/run-state-memory.ts';
import { MemoryRunStore } from '../../services/agent-orchestrator/adapters/run-store-memory.ts';
import type { RunStoreHarness } from './contract.ts';
import { freshTenant } from './fixtures.ts';

export async function memoryRunStore(): Promise<RunStoreHarness> {
  const store = new MemoryRunStore();
  return {
    runState: new MemoryRunState(store),
    queue: new MemoryQueue(store),
    events: new MemoryEvents(store),
    newTenant: async () => freshTenant(),
    dispose: async () => {},
  };
}
