import { modelPolicyMigrations, MODEL_POLICY_SCHEMA } from '../../../services/model-policy/adapters/migrations/index.ts';
import { PostgresPolicyRules } from '../../../services/model-policy/adapters/policy-rules-postgres.ts';
import { createDatabase } from '../../../services/platform/db/pool.ts';
import { testDatabase } from '../../harness/database.ts';
import { AUDIT_SET } from '../../harness/migrations.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';
import { outageOf, startStoreGate } from '../store-gate.ts';

const factory: PortFactory<'policy-rules'> = {
  port: 'policy-rules',
  adapter: 'postgres',
  async create() {
    const test = await testDatabase({ migrations: [AUDIT_SET, { schema: MODEL_POLICY_SCHEMA, migrations: modelPolicyMigrations }] });
    const gate = await startStoreGate(test.url);
    const database = await createDatabase({ url: gate.url, applicationName: 'suite' });
    const rules = new PostgresPolicyRules(database.pool);
    return {
      rules,
      staleMs: 1_000,
      outage: outageOf(gate),
      newTenant: async () => freshTenant(),
      async dispose() {
        await database.close();
        await gate.close();
        await test.drop();
      },
    };
  },
};
export default factory;
