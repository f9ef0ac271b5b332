/** The two families of stores that this service can stand on: PostgreSQL, and the memory of the process. */
import type pg from 'pg';
import type { Logger } from 'pino';
import { Gauge } from 'prom-client';
import { setTimeout as sleep } from 'node:timers/promises';
import { AUDIT_SCHEMA, auditMigrations } from '../platform/audit/audit-migrations.ts';
import { MemoryAudit } from '../platform/audit/audit-memory.ts';
import { PostgresAudit } from '../platform/audit/audit-postgres.ts';
import { AuditTrail, type AuditFollower } from '../platform/audit/audit-trail.ts';
import type { AuditPort } from '../platform/audit/audit.ts';
import type { Config } from '../platform/config/load.ts';
import { requireKnownIdentity } from '../platform/config/mode.ts';
import { configuredDatabase } from '../platform/db/configured-database.ts';
import { migrate } from '../platform/db/migrate.ts';
import { createDatabase, type Database } from '../platform/db/pool.ts';
import { AgentOsError } from '../platform/errors.ts';
import { createSecretBox } from '../platform/secrets/secret-box.ts';
import { sealingKeys } from '../platform/secrets/signing-keys.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import { MemoryDirectory } from '../platform/tenancy/directory-memory.ts';
import { directoryMigrations } from '../platform/tenancy/directory-migrations.ts';
import { PostgresDirectory } from '../platform/tenancy/directory-postgres.ts';
import { hasLiveApiKey } from '../platform/tenancy/live-keys.ts';
import type { DirectoryPort } from '../platform/tenancy/directory.ts';
import { MemoryTenantPurge } from '../platform/tenancy/tenant-purge-memory.ts';
import { PostgresTenantPurge } from '../platform/tenancy/tenant-purge-postgres.ts';
import type { TenantPurge } from '../platform/tenancy/tenant-purge.ts';
import { MemoryAgents } from './adapters/agents-memory.ts';
import { PostgresAgents } from './adapters/agents-postgres.ts';
import { MemoryEvents } from './adapters/events-memory.ts';
import { NatsEvents } from './adapters/events-nats.ts';
import { PostgresEvents } from './adapters/events-postgres.ts';
import { MemoryMemory } from './adapters/memory-memory.ts';
import { PostgresMemory } from './adapters/memory-postgres.ts';
import { SCHEMA, migrations } from './adapters/migrations/index.ts';
import { NatsWake, databaseScope } from './adapters/nats-wake.ts';
import { PostgresWake } from './adapters/postgres-wake.ts';
import { MemoryQueue } from './adapters/queue-memory.ts';
import { NatsQueue } from './adapters/queue-nats.ts';
import { PostgresQueue, reconcileCounters } from './adapters/queue-postgres.ts';
import { MemoryRunState } from './adapters/run-state-memory.ts';
import { PostgresRunState } from './adapters/run-state-postgres.ts';
import { MemoryRunStore } from './adapters/run-store-memory.ts';
import type { RunWake } from './adapters/run-wake.ts';
import { MemoryToolRegistry } from './adapters/tool-registry-memory.ts';
import { PostgresToolRegistry } from './adapters/tool-registry-postgres.ts';
import { MemoryWebhooks } from './adapters/webhooks-memory.ts';
import { PostgresWebhooks } from './adapters/webhooks-postgres.ts';
import type { AgentPort } from './ports/agents.ts';
import type { EventPort } from './ports/events.ts';
import type { MemoryPort } from './ports/memory.ts';
import type { QueuePort } from './ports/queue.ts';
import type { RunStatePort } from './ports/run-state.ts';
import type { ToolRegistryPort } from './ports/tool-registry.ts';
import type { WebhookPort } from './ports/webhooks.ts';

export interface Stores {
  readonly runState: RunStatePort;
  readonly queue: QueuePort;
  readonly events: EventPort;
  readonly agents: AgentPort;
  readonly memory: MemoryPort;
  readonly directory: DirectoryPort;
  /** What is left to do of tenants that were deleted. */
  readonly tenantPurge: TenantPurge;
  readonly webhooks: WebhookPort;
  readonly toolRegistry: ToolRegistryPort;
  readonly audit: AuditPort;
  /** Resolves when the store answers; for readiness. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Statements of this service take milliseconds. A process that was stopped in the middle of a transaction holds its
 * tenants' locks, and a connection that went silent holds up every write of its process, for no longer than this.
 */
const PATIENCE = { statementTimeoutMs: 5_000, idleInTransactionTimeoutMs: 3_000 };

const DATABASE_WAIT_MS = 30_000;

/** @throws ConfigError, and AgentOsError dependency_unavailable when the server cannot be reached for half a minute. */
export async function openPostgresStores(config: Config, log: Logger, metrics: Metrics, options: { readonly listen?: boolean; readonly trail?: AuditTrail } = {}): Promise<Stores> {
  const named = configuredDatabase(config);
  const database = await patiently(log, () => openDatabase(config, named, log));
  const { wake, queue, events } = openHints(config, database.pool, log, metrics, options.listen ?? true);
  const trail = options.trail ?? new AuditTrail({ service: 'agent-orchestrator' });
  const runState = new PostgresRunState(database.pool, {
    trail,
    tail: wake.tail,
    onFlush: metrics.flushesOf('runs'),
  });
  const directory = new PostgresDirectory(database.pool, { trail, ...(options.listen === false ? {} : { hints: { url: named.url, log } }) });
  const webhooks = new PostgresWebhooks(database.pool, createSecretBox(sealingKeys(config)), trail);
  return {
    runState,
    queue,
    events,
    agents: new PostgresAgents(database.pool, trail),
    memory: await patiently(log, () => PostgresMemory.open(database.pool, trail)),
    directory,
    tenantPurge: new PostgresTenantPurge({ url: named.url, pool: database.pool, trail, log }),
    webhooks,
    toolRegistry: new PostgresToolRegistry(database.pool, trail),
    audit: new PostgresAudit(database.pool, trail),
    ping: () => database.ping(),
    async close() {
      await Promise.all([runState.close(), webhooks.close(), directory.close()]);
      await wake.close();
      await database.close();
    },
  };
}

/** Queue and events over one way of waking the node's other processes: NATS where one is named, else the database itself. */
function openHints(config: Config, pool: pg.Pool, log: Logger, metrics: Metrics, listen: boolean): { readonly wake: RunWake; readonly queue: QueuePort; readonly events: EventPort } {
  const { values } = config;
  if (values.NATS_URL === undefined || !listen) {
    const wake = new PostgresWake({ pool, url: configuredDatabase(config).url, log, listen });
    return { wake, queue: new PostgresQueue(pool, wake), events: new PostgresEvents(pool, wake) };
  }
  const connected = new Gauge({ name: 'agentos_nats_connected', help: '1 while wake-ups travel over NATS; at 0 waiters poll.', registers: [metrics.registry] });
  const wake = new NatsWake({ url: values.NATS_URL, scope: () => databaseScope(pool), onConnected: (now) => connected.set(now ? 1 : 0), log });
  return { wake, queue: new NatsQueue(pool, wake), events: new NatsEvents(pool, wake) };
}

async function openDatabase(config: Config, named: ReturnType<typeof configuredDatabase>, log: Logger): Promise<Database> {
  const url = named.url();
  await migrate({ url, schema: AUDIT_SCHEMA, migrations: auditMigrations, log });
  await migrate({ url, schema: 'directory', migrations: directoryMigrations, log });
  await migrate({ url, schema: SCHEMA, migrations, log });
  const database = await createDatabase({ ...named, applicationName: 'agentos-agent-orchestrator', max: config.values.AGENTOS_DB_POOL_SIZE, keyedStatements: true, ...PATIENCE, log });
  try {
    await requireKnownIdentity(config, () => hasLiveApiKey(database.pool));
    const drifted = await reconcileCounters(database.pool);
    if (drifted.length > 0) log.error({ tenants: drifted.slice(0, 20), count: drifted.length }, 'Run counters disagreed with the runs and were set right.');
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
}

/** A service that starts while its database restarts waits for it, rather than leaving that to a supervisor. */
async function patiently<Result>(log: Logger, open: () => Promise<Result>): Promise<Result> {
  const deadline = performance.now() + DATABASE_WAIT_MS;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await open();
    } catch (error) {
      if (!(error instanceof AgentOsError) || error.code !== 'dependency_unavailable' || performance.now() > deadline) throw error;
      if (attempt === 1) log.warn({ err: error }, `PostgreSQL cannot be reached; trying for ${DATABASE_WAIT_MS / 1000} s.`);
      await sleep(Math.min(1_000, 100 * attempt));
    }
  }
}

/** For trying things out without a database: everything is gone with the process. */
export function openMemoryStores(followers: readonly AuditFollower[] = []): Stores {
  const audit = new MemoryAudit(followers);
  const store = new MemoryRunStore(Date.now, audit);
  const directory = new MemoryDirectory(audit);
  const [agents, memory, webhooks, toolRegistry] = [new MemoryAgents(audit), new MemoryMemory(Date.now, audit), new MemoryWebhooks(store, Date.now, audit), new MemoryToolRegistry(audit)];
  return {
    runState: new MemoryRunState(store),
    queue: new MemoryQueue(store),
    events: new MemoryEvents(store),
    agents,
    memory,
    directory,
    tenantPurge: new MemoryTenantPurge(directory, { runs: store, agents, memory_items: memory, webhooks, tools: toolRegistry }, audit),
    webhooks,
    toolRegistry,
    audit,
    ping: async () => undefined,
    close: async () => undefined,
  };
}
