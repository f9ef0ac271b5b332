import { PostgresAudit } from '../../../services/platform/audit/audit-postgres.ts';
import { AUDIT_SET } from '../../harness/migrations.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';
import { gatedDatabase } from '../gated-database.ts';

const factory: PortFactory<'audit'> = {
  port: 'audit',
  adapter: 'postgres',
  async create() {
    const { database, outage, dispose } = await gatedDatabase([AUDIT_SET], { keyedStatements: true });
    return {
      // Few records a look, so that searches come back with nothing and go on.
      audit: new PostgresAudit(database.pool, undefined, { scan: 7 }),
      outage,
      newTenant: async () => freshTenant(),
      dispose,
    };
  },
};
export default factory;
