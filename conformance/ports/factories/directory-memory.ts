import { MemoryDirectory } from '../../../services/platform/tenancy/directory-memory.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';

const factory: PortFactory<'directory'> = {
  port: 'directory',
  adapter: 'memory',
  async create() {
    return { directory: new MemoryDirectory(), staleMs: 0, newTenant: async () => freshTenant(), dispose: async () => {} };
  },
};
export default factory;
