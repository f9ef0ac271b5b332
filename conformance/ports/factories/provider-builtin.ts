import { BuiltinProvider } from '../../../services/model-policy/adapters/provider-builtin.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';

const factory: PortFactory<'provider'> = {
  port: 'provider',
  adapter: 'builtin',
  async create() {
    return { provider: new BuiltinProvider('stk_suite'), newTenant: async () => freshTenant(), dispose: async () => {} };
  },
};
export default factory;
