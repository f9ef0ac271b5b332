import { MemoryMemory } from '../../../services/agent-orchestrator/adapters/memory-memory.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';

const factory: PortFactory<'memory'> = {
  port: 'memory',
  adapter: 'memory',
  create: async () => ({ memory: new MemoryMemory(), newTenant: async () => freshTenant(), dispose: async () => {} }),
};
export default factory;
