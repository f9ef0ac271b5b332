import { PostgresMemory } from '../../../services/agent-orchestrator/adapters/memory-postgres.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';
import { orchestratorDatabase } from '../orchestrator-store.ts';

const factory: PortFactory<'memory'> = {
  port: 'memory',
  adapter: 'postgres',
  async create() {
    const { database, outage, dispose } = await orchestratorDatabase();
    return { memory: await PostgresMemory.open(database.pool), outage, newTenant: async () => freshTenant(), dispose };
  },
};
export default factory;
