import { PostgresAudit } from '../../../services/platform/audit/audit-postgres.ts';
import { createDatabase } from '../../../services/platform/db/pool.ts';
import { testDatabase } from '../../harness/database.ts';
import { AUDIT_SET } from '../../harness/migrations.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';
import { outageOf, startStoreGate } from '../store-gate.ts';

const factory: PortFactory<'audit'> = {
  port: 'audit',
  adapter: 'postgres',
  async create() {
    const test = await testDatabase({ migrations: [AUDIT_SET] });
    const gate = await startStoreGate(test.url);
    const database = await createDatabase({ url: gate.url, applicationName: 'suite', keyedStatements: true });
    return {
      // Few records a look, so that searches come back with nothing and go on.
      audit: new PostgresAudit(database.pool, undefined, { scan: 7 }),
      outage: outageOf(gate),
      newTenant: async () => freshTenant(),
      async dispose() {
        await database.close();
        await gate.close();
        await test.drop();
      },
    };
  },
};
export default factory;
