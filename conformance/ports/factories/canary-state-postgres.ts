import { PostgresCanaryState } from '../../../services/model-policy/adapters/canary-state-postgres.ts';
import { modelPolicyMigrations, MODEL_POLICY_SCHEMA } from '../../../services/model-policy/adapters/migrations/index.ts';
import { AUDIT_SET } from '../../harness/migrations.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';
import { gatedDatabase } from '../gated-database.ts';

const factory: PortFactory<'canary-state'> = {
  port: 'canary-state',
  adapter: 'postgres',
  async create() {
    const { database, outage, dispose } = await gatedDatabase([AUDIT_SET, { schema: MODEL_POLICY_SCHEMA, migrations: modelPolicyMigrations }]);
    const canaryState = new PostgresCanaryState(database.pool);
    return {
      canaryState,
      outage,
      newTenant: async () => freshTenant(),
      dispose,
    };
  },
};
export default factory;
