/** What `agentos up` seeds, and agents that only tests need. */
import { PostgresAgents } from '../../services/agent-orchestrator/adapters/agents-postgres.ts';
import type { AgentDefinition } from '../../services/agent-orchestrator/ports/agents.ts';
import { SEED_AGENTS, SEED_AUTH, seedNode } from '../../services/agent-orchestrator/seed.ts';
import { createDatabase } from '../../services/platform/db/pool.ts';
import { PostgresDirectory } from '../../services/platform/tenancy/directory-postgres.ts';

/** Seeds a node's database with the code that seeds every node. */
export async function seedDatabase(url: string): Promise<void> {
  const database = await createDatabase({ url, applicationName: 'agentos-test-seed', max: 2 });
  try {
    await seedNode(new PostgresDirectory(database.pool), new PostgresAgents(database.pool));
  } finally {
    await database.close();
  }
}

/** Puts an agent into a tenant; what `overrides` leaves out is as in the demo agent. */
export async function putAgent(url: string, tenantId: string, overrides: Partial<AgentDefinition> & Pick<AgentDefinition, 'agentId'>): Promise<void> {
  const database = await createDatabase({ url, applicationName: 'agentos-test-seed', max: 1 });
  try {
    const base = SEED_AGENTS.find((agent) => agent.agentId === 'agt_demo')!;
    await new PostgresAgents(database.pool).put({ ...SEED_AUTH, tenant_id: tenantId }, { ...base, toolChoice: 'auto', ...overrides, status: 'active' });
  } finally {
    await database.close();
  }
}
