import { MemoryToolRegistry } from '../../../services/agent-orchestrator/adapters/tool-registry-memory.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';

const factory: PortFactory<'tool-registry'> = {
  port: 'tool-registry',
  adapter: 'memory',
  create: async () => ({ registry: new MemoryToolRegistry(), newTenant: async () => freshTenant(), dispose: async () => {} }),
};
export default factory;
