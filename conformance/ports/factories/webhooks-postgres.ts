import { PostgresWebhooks } from '../../../services/agent-orchestrator/adapters/webhooks-postgres.ts';
import { createDatabase } from '../../../services/platform/db/pool.ts';
import { createSecretBox } from '../../../services/platform/secrets/secret-box.ts';
import { testDatabase } from '../../harness/database.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';
import { openPostgresRunStores, orchestratorMigrations } from '../orchestrator-store.ts';
import { outageOf, startStoreGate } from '../store-gate.ts';

const factory: PortFactory<'webhooks'> = {
  port: 'webhooks',
  adapter: 'postgres',
  async create() {
    const test = await testDatabase({ migrations: orchestratorMigrations });
    const gate = await startStoreGate(test.url);
    const stores = await openPostgresRunStores(gate.url);
    const database = await createDatabase({ url: gate.url, applicationName: 'suite-webhooks' });
    const webhooks = new PostgresWebhooks(database.pool, createSecretBox('the signing key of the suite, 32 bytes'));
    return {
      ...stores,
      webhooks,
      outage: outageOf(gate),
      newTenant: async () => freshTenant(),
      async dispose() {
        await webhooks.close();
        await database.close();
        await stores.close();
        await gate.close();
        await test.drop();
      },
    };
  },
};
export default factory;
