import { PostgresToolRegistry } from '../../../services/agent-orchestrator/adapters/tool-registry-postgres.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';
import { orchestratorDatabase } from '../orchestrator-store.ts';

const factory: PortFactory<'tool-registry'> = {
  port: 'tool-registry',
  adapter: 'postgres',
  async create() {
    const { database, outage, dispose } = await orchestratorDatabase();
    return { registry: new PostgresToolRegistry(database.pool), outage, newTenant: async () => freshTenant(), dispose };
  },
};
export default factory;
