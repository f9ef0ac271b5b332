/** The Postgres store of Agent Orchestrator as a service composes it, over a database of the suite's own. */
import { createDatabase } from '../../services/platform/db/pool.ts';
import { PostgresEvents } from '../../services/agent-orchestrator/adapters/events-postgres.ts';
import { PostgresQueue } from '../../services/agent-orchestrator/adapters/queue-postgres.ts';
import { PostgresRunState } from '../../services/agent-orchestrator/adapters/run-state-postgres.ts';
import { PostgresWake } from '../../services/agent-orchestrator/adapters/postgres-wake.ts';
import { migrations, SCHEMA } from '../../services/agent-orchestrator/adapters/migrations/index.ts';
import { AUDIT_SET } from '../harness/migrations.ts';
import { testDatabase, type MigrationSet } from '../harness/database.ts';
import type { RunStoreHarness, RunStores } from './contract.ts';
import { freshTenant } from './fixtures.ts';
import { gatedDatabase, type GatedDatabase } from './gated-database.ts';
import { outageOf, startStoreGate } from './store-gate.ts';

export const orchestratorMigrations: readonly MigrationSet[] = [AUDIT_SET, { schema: SCHEMA, migrations }];

export const orchestratorDatabase = (): Promise<GatedDatabase> => gatedDatabase(orchestratorMigrations);

/** Run state, queue and events as one process holds them. */
export async function openPostgresRunStores(url: string): Promise<RunStores & { close(): Promise<void> }> {
  const database = await createDatabase({ url, applicationName: 'suite' });
  const wake = new PostgresWake({ pool: database.pool, url });
  const runState = new PostgresRunState(database.pool);
  return {
    runState,
    queue: new PostgresQueue(database.pool, wake),
    events: new PostgresEvents(database.pool, wake),
    async close() {
      await runState.close();
      await wake.close();
      await database.close();
    },
  };
}

export async function postgresRunStore(): Promise<RunStoreHarness> {
  const test = await testDatabase({ migrations: orchestratorMigrations });
  const gate = await startStoreGate(test.url);
  const stores = await openPostgresRunStores(gate.url);
  return {
    ...stores,
    outage: outageOf(gate),
    newTenant: async () => freshTenant(),
    restart: () => openPostgresRunStores(test.url),
    async dispose() {
      await stores.close();
      await gate.close();
      await test.drop();
    },
  };
}
