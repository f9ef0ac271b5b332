import { MemoryEvents } from '../../../services/agent-orchestrator/adapters/events-memory.ts';
import { MemoryQueue } from '../../../services/agent-orchestrator/adapters/queue-memory.ts';
import { MemoryRunState } from '../../../services/agent-orchestrator/adapters/run-state-memory.ts';
import { MemoryRunStore } from '../../../services/agent-orchestrator/adapters/run-store-memory.ts';
import { MemoryWebhooks } from '../../../services/agent-orchestrator/adapters/webhooks-memory.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';

const factory: PortFactory<'webhooks'> = {
  port: 'webhooks',
  adapter: 'memory',
  async create() {
    const store = new MemoryRunStore();
    return {
      runState: new MemoryRunState(store),
      queue: new MemoryQueue(store),
      events: new MemoryEvents(store),
      webhooks: new MemoryWebhooks(store),
      newTenant: async () => freshTenant(),
      dispose: async () => {},
    };
  },
};
export default factory;
