import { EnvironmentSecrets } from '../../../services/platform/secrets/secrets-environment.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';

const factory: PortFactory<'secrets'> = {
  port: 'secrets',
  adapter: 'environment',
  async create() {
    const env: Record<string, string> = {};
    const secrets = new EnvironmentSecrets(env);
    return {
      secrets,
      async put(id, value) {
        env[id] = value;
        return id;
      },
      remove: async (id) => void delete env[id],
      newTenant: async () => freshTenant('secrets'),
      dispose: () => secrets.close(),
    };
  },
};
export default factory;
