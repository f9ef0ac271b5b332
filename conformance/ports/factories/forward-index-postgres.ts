import { PostgresForwardIndex } from '../../../services/federation/adapters/forward-index-postgres.ts';
import { federationMigrations, FEDERATION_SCHEMA } from '../../../services/federation/adapters/migrations/index.ts';
import { createDatabase } from '../../../services/platform/db/pool.ts';
import { testDatabase } from '../../harness/database.ts';
import { AUDIT_SET } from '../../harness/migrations.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';
import { outageOf, startStoreGate } from '../store-gate.ts';

const factory: PortFactory<'forward-index'> = {
  port: 'forward-index',
  adapter: 'postgres',
  async create() {
    const test = await testDatabase({ migrations: [AUDIT_SET, { schema: FEDERATION_SCHEMA, migrations: federationMigrations }] });
    const gate = await startStoreGate(test.url);
    const open = async () => {
      const database = await createDatabase({ url: gate.url, applicationName: 'suite-forward-index', max: 5 });
      return { index: new PostgresForwardIndex(database.pool), close: () => database.close() };
    };
    const { index, close } = await open();
    return {
      index,
      restart: open,
      now: Date.now,
      // The database's clock cannot be turned, so what it has written is.
      letHoursPass: (hours) => test.asSuperuser(async (client) => {
        await client.query("UPDATE federation.forwards SET created_at = created_at - $1 * interval '1 hour', key_expires_at = key_expires_at - $1 * interval '1 hour'", [hours]);
      }),
      outage: outageOf(gate),
      newTenant: async () => freshTenant(),
      async dispose() {
        await close();
        await gate.close();
        await test.drop();
      },
    };
  },
};
export default factory;
