/** The store of `orchestrator-store.ts` with its hints over a NATS server of the suite's own. */
import { NatsEvents } from '../../services/agent-orchestrator/adapters/events-nats.ts';
import { NatsWake, databaseScope } from '../../services/agent-orchestrator/adapters/nats-wake.ts';
import { NatsQueue } from '../../services/agent-orchestrator/adapters/queue-nats.ts';
import { PostgresRunState } from '../../services/agent-orchestrator/adapters/run-state-postgres.ts';
import { createDatabase } from '../../services/platform/db/pool.ts';
import { testDatabase } from '../harness/database.ts';
import { planNats } from '../harness/nats.ts';
import type { RunStoreHarness, RunStores } from './contract.ts';
import { freshTenant } from './fixtures.ts';
import { orchestratorMigrations } from './orchestrator-store.ts';

export interface NatsRunStores extends RunStores {
  /** Resolves when hints travel, or no longer do. */
  untilConnected(connected: boolean): Promise<void>;
  close(): Promise<void>;
}

/** Run state, queue and events as one process holds them. */
async function openNatsRunStores(databaseUrl: string, natsUrl: string): Promise<NatsRunStores> {
  const database = await createDatabase({ url: databaseUrl, applicationName: 'suite' });
  let connected = false;
  let changed: () => void = () => undefined;
  const onConnected = (now: boolean): void => {
    connected = now;
    changed();
  };
  const wake = new NatsWake({ url: natsUrl, scope: () => databaseScope(database.pool), onConnected });
  const runState = new PostgresRunState(database.pool);
  return {
    runState,
    queue: new NatsQueue(database.pool, wake),
    events: new NatsEvents(database.pool, wake),
    async untilConnected(wanted) {
      while (connected !== wanted) await new Promise<void>((resolve) => (changed = resolve));
    },
    async close() {
      await runState.close();
      await wake.close();
      await database.close();
    },
  };
}

export async function natsRunStore(): Promise<RunStoreHarness> {
  const [test, nats] = await Promise.all([testDatabase({ migrations: orchestratorMigrations }), planNats()]);
  await nats.start();
  const stores = await openNatsRunStores(test.url, nats.url);
  await stores.untilConnected(true);
  return {
    ...stores,
    newTenant: async () => freshTenant(),
    restart: () => openNatsRunStores(test.url, nats.url),
    async dispose() {
      await stores.close();
      await nats.stop();
      await test.drop();
    },
  };
}
