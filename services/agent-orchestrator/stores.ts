/** The two families of stores that this service can stand on: PostgreSQL, and the memory of the process. */
import type { Logger } from 'pino';
import { ConfigError, type Config } from '../platform/config/load.ts';
import { migrate } from '../platform/db/migrate.ts';
import { createDatabase } from '../platform/db/pool.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import { MemoryDirectory } from '../platform/tenancy/directory-memory.ts';
import { directoryMigrations } from '../platform/tenancy/directory-migrations.ts';
import { PostgresDirectory } from '../platform/tenancy/directory-postgres.ts';
import type { DirectoryPort } from '../platform/tenancy/directory.ts';
import { MemoryAgents } from './adapters/agents-memory.ts';
import { PostgresAgents } from './adapters/agents-postgres.ts';
import { MemoryEvents } from './adapters/events-memory.ts';
import { PostgresEvents } from './adapters/events-postgres.ts';
import { MemoryMemory } from './adapters/memory-memory.ts';
import { PostgresMemory } from './adapters/memory-postgres.ts';
import { SCHEMA, migrations } from './adapters/migrations/index.ts';
import { tuneConnections } from './adapters/postgres-read.ts';
import { PostgresWake } from './adapters/postgres-wake.ts';
import { MemoryQueue } from './adapters/queue-memory.ts';
import { PostgresQueue, reconcileCounters } from './adapters/queue-postgres.ts';
import { MemoryRunState } from './adapters/run-state-memory.ts';
import { PostgresRunState } from './adapters/run-state-postgres.ts';
import { MemoryRunStore } from './adapters/run-store-memory.ts';
import type { AgentPort } from './ports/agents.ts';
import type { EventPort } from './ports/events.ts';
import type { MemoryPort } from './ports/memory.ts';
import type { QueuePort } from './ports/queue.ts';
import type { RunStatePort } from './ports/run-state.ts';

export interface Stores {
  readonly runState: RunStatePort;
  readonly queue: QueuePort;
  readonly events: EventPort;
  readonly agents: AgentPort;
  readonly memory: MemoryPort;
  readonly directory: DirectoryPort;
  /** Resolves when the store answers; for readiness. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** @throws ConfigError, and AgentOsError dependency_unavailable when the server cannot be reached. */
export async function openPostgresStores(config: Config, log: Logger, metrics: Metrics, options: { readonly listen?: boolean } = {}): Promise<Stores> {
  const { values } = config;
  const url = values.DATABASE_URL;
  if (url === undefined) throw new ConfigError('DATABASE_URL', 'DATABASE_URL is not set. `agentos up` starts PostgreSQL and sets it; or name a server: postgres://user:password@host:5432/database.');
  await migrate({ url, schema: 'directory', migrations: directoryMigrations, log });
  await migrate({ url, schema: SCHEMA, migrations, log });
  const database = await createDatabase({ url, applicationName: 'agentos-agent-orchestrator', max: values.AGENTOS_DB_POOL_SIZE, log });
  tuneConnections(database.pool);
  const drifted = await reconcileCounters(database.pool);
  if (drifted.length > 0) log.error({ tenants: drifted.slice(0, 20), count: drifted.length }, 'Run counters disagreed with the runs and were set right.');
  const wake = new PostgresWake({ pool: database.pool, url, log, listen: options.listen ?? true });
  const size = metrics.groupCommitSize.labels('runs');
  const duration = metrics.groupCommitDuration.labels('runs');
  const runState = new PostgresRunState(database.pool, {
    tail: wake.tail,
    onFlush: (flush) => {
      size.observe(flush.size);
      duration.observe(flush.durationMs / 1000);
    },
  });
  return {
    runState,
    queue: new PostgresQueue(database.pool, wake),
    events: new PostgresEvents(database.pool, wake),
    agents: new PostgresAgents(database.pool),
    memory: new PostgresMemory(database.pool),
    directory: new PostgresDirectory(database.pool),
    ping: () => database.ping(),
    async close() {
      await runState.close();
      await wake.close();
      await database.close();
    },
  };
}

/** For trying things out without a database: everything is gone with the process. */
export function openMemoryStores(): Stores {
  const store = new MemoryRunStore();
  return {
    runState: new MemoryRunState(store),
    queue: new MemoryQueue(store),
    events: new MemoryEvents(store),
    agents: new MemoryAgents(),
    memory: new MemoryMemory(),
    directory: new MemoryDirectory(),
    ping: async () => undefined,
    close: async () => undefined,
  };
}
