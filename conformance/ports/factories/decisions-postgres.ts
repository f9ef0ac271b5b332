import { PostgresDecisions } from '../../../services/model-policy/adapters/decisions-postgres.ts';
import { modelPolicyMigrations, MODEL_POLICY_SCHEMA } from '../../../services/model-policy/adapters/migrations/index.ts';
import { createDatabase } from '../../../services/platform/db/pool.ts';
import { testDatabase } from '../../harness/database.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';
import { outageOf, startStoreGate } from '../store-gate.ts';

const factory: PortFactory<'decisions'> = {
  port: 'decisions',
  adapter: 'postgres',
  async create() {
    const test = await testDatabase({ migrations: [{ schema: MODEL_POLICY_SCHEMA, migrations: modelPolicyMigrations }] });
    const gate = await startStoreGate(test.url);
    const database = await createDatabase({ url: gate.url, applicationName: 'suite' });
    const decisions = new PostgresDecisions({ pool: database.pool, retentionMs: 86_400_000 });
    return {
      decisions,
      outage: outageOf(gate),
      newTenant: async () => freshTenant(),
      async dispose() {
        await decisions.close();
        await database.close();
        await gate.close();
        await test.drop();
      },
    };
  },
};
export default factory;
