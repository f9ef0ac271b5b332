import { federationMigrations, FEDERATION_SCHEMA } from '../../../services/federation/adapters/migrations/index.ts';
import { PostgresReplica } from '../../../services/federation/adapters/replica-postgres.ts';
import { createDatabase } from '../../../services/platform/db/pool.ts';
import { testDatabase } from '../../harness/database.ts';
import { AUDIT_SET } from '../../harness/migrations.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';
import { outageOf, startStoreGate } from '../store-gate.ts';

const factory: PortFactory<'replica'> = {
  port: 'replica',
  adapter: 'postgres',
  async create() {
    const test = await testDatabase({ migrations: [AUDIT_SET, { schema: FEDERATION_SCHEMA, migrations: federationMigrations }] });
    const gate = await startStoreGate(test.url);
    const database = await createDatabase({ url: gate.url, applicationName: 'suite' });
    return {
      replica: new PostgresReplica(database.pool),
      outage: outageOf(gate),
      newTenant: async () => freshTenant(),
      async another() {
        const other = await createDatabase({ url: gate.url, applicationName: 'suite-other' });
        return { replica: new PostgresReplica(other.pool), close: () => other.close() };
      },
      async dispose() {
        await database.close();
        await gate.close();
        await test.drop();
      },
    };
  },
};
export default factory;
