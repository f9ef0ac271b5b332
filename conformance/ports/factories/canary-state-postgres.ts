import { PostgresCanaryState } from '../../../services/model-policy/adapters/canary-state-postgres.ts';
import { modelPolicyMigrations, MODEL_POLICY_SCHEMA } from '../../../services/model-policy/adapters/migrations/index.ts';
import { createDatabase } from '../../../services/platform/db/pool.ts';
import { testDatabase } from '../../harness/database.ts';
import { AUDIT_SET } from '../../harness/migrations.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';
import { outageOf, startStoreGate } from '../store-gate.ts';

const factory: PortFactory<'canary-state'> = {
  port: 'canary-state',
  adapter: 'postgres',
  async create() {
    const test = await testDatabase({ migrations: [AUDIT_SET, { schema: MODEL_POLICY_SCHEMA, migrations: modelPolicyMigrations }] });
    const gate = await startStoreGate(test.url);
    const database = await createDatabase({ url: gate.url, applicationName: 'suite' });
    const canaryState = new PostgresCanaryState(database.pool);
    return {
      canaryState,
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
