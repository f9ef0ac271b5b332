import { MemoryAgents } from '../../../services/agent-orchestrator/adapters/agents-memory.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';

const factory: PortFactory<'agents'> = {
  port: 'agents',
  adapter: 'memory',
  create: async () => ({ agents: new MemoryAgents(), newTenant: async () => freshTenant(), dispose: async () => {} }),
};
export default factory;
