import { modelPolicyMigrations, MODEL_POLICY_SCHEMA } from '../../../services/model-policy/adapters/migrations/index.ts';
import { PostgresPolicyRules } from '../../../services/model-policy/adapters/policy-rules-postgres.ts';
import { createDatabase } from '../../../services/platform/db/pool.ts';
import { testDatabase } from '../../harness/database.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';

const factory: PortFactory<'policy-rules'> = {
  port: 'policy-rules',
  adapter: 'postgres',
  async create() {
    const test = await testDatabase({ migrations: [{ schema: MODEL_POLICY_SCHEMA, migrations: modelPolicyMigrations }] });
    const database = await createDatabase({ url: test.url, applicationName: 'suite' });
    const rules = new PostgresPolicyRules(database.pool);
    return {
      rules,
      put: (auth, set) => rules.put(auth, set),
      staleMs: 1_000,
      newTenant: async () => freshTenant(),
      async dispose() {
        await database.close();
        await test.drop();
      },
    };
  },
};
export default factory;
