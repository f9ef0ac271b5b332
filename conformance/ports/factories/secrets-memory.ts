import { MemorySecrets } from '../../../services/platform/secrets/secrets-memory.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';

const factory: PortFactory<'secrets'> = {
  port: 'secrets',
  adapter: 'memory',
  async create() {
    const secrets = new MemorySecrets();
    return {
      secrets,
      async put(id, value) {
        secrets.put(id, { value });
        return `${id}#value`;
      },
      remove: async (id) => secrets.remove(id),
      newTenant: async () => freshTenant('secrets'),
      dispose: () => secrets.close(),
    };
  },
};
export default factory;
