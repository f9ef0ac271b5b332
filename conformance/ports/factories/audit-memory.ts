import { MemoryAudit } from '../../../services/platform/audit/audit-memory.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';

const factory: PortFactory<'audit'> = {
  port: 'audit',
  adapter: 'memory',
  async create() {
    return { audit: new MemoryAudit(), newTenant: async () => freshTenant(), dispose: async () => {} };
  },
};
export default factory;
