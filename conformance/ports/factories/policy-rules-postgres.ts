import { modelPolicyMigrations, MODEL_POLICY_SCHEMA } from '../../../services/model-policy/adapters/migrations/index.ts';
import { PostgresPolicyRules } from '../../../services/model-policy/adapters/policy-rules-postgres.ts';
import { AUDIT_SET } from '../../harness/migrations.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';
import { gatedDatabase } from '../gated-database.ts';

const factory: PortFactory<'policy-rules'> = {
  port: 'policy-rules',
  adapter: 'postgres',
  async create() {
    const { database, outage, dispose } = await gatedDatabase([AUDIT_SET, { schema: MODEL_POLICY_SCHEMA, migrations: modelPolicyMigrations }]);
    const rules = new PostgresPolicyRules(database.pool);
    return {
      rules,
      staleMs: 1_000,
      outage,
      newTenant: async () => freshTenant(),
      dispose,
    };
  },
};
export default factory;
