import { PostgresAssertionUses } from '../../../services/federation/adapters/assertion-uses-postgres.ts';
import { federationMigrations, FEDERATION_SCHEMA } from '../../../services/federation/adapters/migrations/index.ts';
import { createDatabase } from '../../../services/platform/db/pool.ts';
import { testDatabase } from '../../harness/database.ts';
import { AUDIT_SET } from '../../harness/migrations.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';
import { outageOf, startStoreGate } from '../store-gate.ts';

const factory: PortFactory<'assertion-uses'> = {
  port: 'assertion-uses',
  adapter: 'postgres',
  async create() {
    const test = await testDatabase({ migrations: [AUDIT_SET, { schema: FEDERATION_SCHEMA, migrations: federationMigrations }] });
    const gate = await startStoreGate(test.url);
    const open = async (url: string) => {
      const database = await createDatabase({ url, applicationName: 'suite' });
      // Cleaned at every use, so that the suite sees what cleaning leaves.
      const uses = new PostgresAssertionUses(database.pool, { cleanMs: 0 });
      return {
        uses,
        close: async () => {
          await uses.close();
          await database.close();
        },
      };
    };
    const first = await open(gate.url);
    return {
      uses: first.uses,
      another: () => open(test.url),
      outage: outageOf(gate),
      newTenant: async () => freshTenant(),
      async dispose() {
        await first.close();
        await gate.close();
        await test.drop();
      },
    };
  },
};
export default factory;
