import { modelPolicyMigrations, MODEL_POLICY_SCHEMA } from '../../../services/model-policy/adapters/migrations/index.ts';
import { PostgresUsage } from '../../../services/model-policy/adapters/usage-postgres.ts';
import { createDatabase } from '../../../services/platform/db/pool.ts';
import { testDatabase } from '../../harness/database.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';
import { outageOf, startStoreGate } from '../store-gate.ts';

const factory: PortFactory<'usage'> = {
  port: 'usage',
  adapter: 'postgres',
  async create() {
    const test = await testDatabase({ migrations: [{ schema: MODEL_POLICY_SCHEMA, migrations: modelPolicyMigrations }] });
    const gate = await startStoreGate(test.url);
    let aheadMs = 0;
    const open = async (url: string) => {
      const database = await createDatabase({ url, applicationName: 'suite', max: 4 });
      const usage = new PostgresUsage({ pool: database.pool, url, aliveMs: 3_000, now: () => Date.now() + aheadMs });
      return {
        usage,
        async close() {
          await usage.close();
          await database.close();
        },
      };
    };
    const first = await open(gate.url);
    return {
      usage: first.usage,
      outage: outageOf(gate),
      another: () => open(test.url),
      turnClock: (ms) => {
        aheadMs += ms;
      },
      newTenant: async () => freshTenant('usage'),
      async dispose() {
        await first.close();
        await gate.close();
        await test.drop();
      },
    };
  },
};
export default factory;
