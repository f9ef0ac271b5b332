import { MemoryUsage } from '../../../services/model-policy/adapters/usage-memory.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';

const factory: PortFactory<'usage'> = {
  port: 'usage',
  adapter: 'memory',
  async create() {
    let aheadMs = 0;
    return {
      usage: new MemoryUsage(() => Date.now() + aheadMs),
      turnClock: (ms) => {
        aheadMs += ms;
      },
      newTenant: async () => freshTenant('usage'),
      dispose: async () => {},
    };
  },
};
export default factory;
