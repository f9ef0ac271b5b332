import { MemoryAssertionUses } from '../../../services/federation/adapters/assertion-uses-memory.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';

const factory: PortFactory<'assertion-uses'> = {
  port: 'assertion-uses',
  adapter: 'memory',
  async create() {
    return { uses: new MemoryAssertionUses(), newTenant: async () => freshTenant(), dispose: async () => {} };
  },
};
export default factory;
