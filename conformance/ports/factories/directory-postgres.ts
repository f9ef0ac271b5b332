import { createDatabase } from '../../../services/platform/db/pool.ts';
import { directoryMigrations, DIRECTORY_SCHEMA } from '../../../services/platform/tenancy/directory-migrations.ts';
import { PostgresDirectory } from '../../../services/platform/tenancy/directory-postgres.ts';
import { testDatabase } from '../../harness/database.ts';
import { AUDIT_SET } from '../../harness/migrations.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';
import { outageOf, startStoreGate } from '../store-gate.ts';

const factory: PortFactory<'directory'> = {
  port: 'directory',
  adapter: 'postgres',
  async create() {
    const test = await testDatabase({ migrations: [AUDIT_SET, { schema: DIRECTORY_SCHEMA, migrations: directoryMigrations }] });
    const gate = await startStoreGate(test.url);
    const database = await createDatabase({ url: gate.url, applicationName: 'suite' });
    const directory = new PostgresDirectory(database.pool);
    return {
      directory,
      staleMs: 1_000,
      outage: outageOf(gate),
      newTenant: async () => freshTenant(),
      async dispose() {
        await directory.close();
        await database.close();
        await gate.close();
        await test.drop();
      },
    };
  },
};
export default factory;
