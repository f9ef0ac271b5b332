import { MemoryReplica } from '../../../services/federation/adapters/replica-memory.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';

const factory: PortFactory<'replica'> = {
  port: 'replica',
  adapter: 'memory',
  create: async () => ({ replica: new MemoryReplica(), newTenant: async () => freshTenant(), dispose: async () => undefined }),
};
export default factory;
