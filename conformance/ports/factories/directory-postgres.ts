import { createDatabase } from '../../../services/platform/db/pool.ts';
import { directoryMigrations, DIRECTORY_SCHEMA } from '../../../services/platform/tenancy/directory-migrations.ts';
import { PostgresDirectory } from '../../../services/platform/tenancy/directory-postgres.ts';
import { testDatabase } from '../../harness/database.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';

const factory: PortFactory<'directory'> = {
  port: 'directory',
  adapter: 'postgres',
  async create() {
    const test = await testDatabase({ migrations: [{ schema: DIRECTORY_SCHEMA, migrations: directoryMigrations }] });
    const database = await createDatabase({ url: test.url, applicationName: 'suite' });
    return {
      directory: new PostgresDirectory(database.pool),
      staleMs: 1_000,
      newTenant: async () => freshTenant(),
      async dispose() {
        await database.close();
        await test.drop();
      },
    };
  },
};
export default factory;
