import { PostgresDecisions } from '../../../services/model-policy/adapters/decisions-postgres.ts';
import { modelPolicyMigrations, MODEL_POLICY_SCHEMA } from '../../../services/model-policy/adapters/migrations/index.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';
import { gatedDatabase } from '../gated-database.ts';

const factory: PortFactory<'decisions'> = {
  port: 'decisions',
  adapter: 'postgres',
  async create() {
    const { database, outage, dispose } = await gatedDatabase([{ schema: MODEL_POLICY_SCHEMA, migrations: modelPolicyMigrations }]);
    const decisions = new PostgresDecisions({ pool: database.pool, retentionMs: 86_400_000 });
    return {
      decisions,
      outage,
      newTenant: async () => freshTenant(),
      async dispose() {
        await decisions.close();
        await dispose();
      },
    };
  },
};
export default factory;
