import { MemoryDecisions } from '../../../services/model-policy/adapters/decisions-memory.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';

const factory: PortFactory<'decisions'> = {
  port: 'decisions',
  adapter: 'memory',
  async create() {
    return { decisions: new MemoryDecisions(), newTenant: async () => freshTenant(), dispose: async () => {} };
  },
};
export default factory;
