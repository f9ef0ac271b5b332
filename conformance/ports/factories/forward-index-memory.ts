import { MemoryForwardIndex } from '../../../services/federation/adapters/forward-index-memory.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';

const factory: PortFactory<'forward-index'> = {
  port: 'forward-index',
  adapter: 'memory',
  async create() {
    let turnedMs = 0;
    return {
      index: new MemoryForwardIndex(() => Date.now() + turnedMs),
      now: () => Date.now() + turnedMs,
      letHoursPass: async (hours) => void (turnedMs += hours * 3_600_000),
      newTenant: async () => freshTenant(),
      dispose: async () => {},
    };
  },
};
export default factory;
