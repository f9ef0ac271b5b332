import { PostgresAgents } from '../../../services/agent-orchestrator/adapters/agents-postgres.ts';
import type { PortFactory } from '../contract.ts';
import { freshTenant } from '../fixtures.ts';
import { orchestratorDatabase } from '../orchestrator-store.ts';

const factory: PortFactory<'agents'> = {
  port: 'agents',
  adapter: 'postgres',
  async create() {
    const { database, outage, dispose } = await orchestratorDatabase();
    return { agents: new PostgresAgents(database.pool), outage, newTenant: async () => freshTenant(), dispose };
  },
};
export default factory;
