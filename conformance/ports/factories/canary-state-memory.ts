import { MemoryCanaryState } from '../../../services/model-policy/adapters/canary-state-memory.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';

const factory: PortFactory<'canary-state'> = {
  port: 'canary-state',
  adapter: 'memory',
  async create() {
    return { canaryState: new MemoryCanaryState(), newTenant: async () => freshTenant(), dispose: async () => {} };
  },
};
export default factory;
