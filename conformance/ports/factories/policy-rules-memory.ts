import { MemoryPolicyRules } from '../../../services/model-policy/adapters/policy-rules-memory.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';

const factory: PortFactory<'policy-rules'> = {
  port: 'policy-rules',
  adapter: 'memory',
  async create() {
    const rules = new MemoryPolicyRules();
    return { rules, staleMs: 0, newTenant: async () => freshTenant(), dispose: async () => {} };
  },
};
export default factory;
