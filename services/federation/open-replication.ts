/** Events across nodes as configured: following them, taking them in, and keeping them. */
import type pg from 'pg';
import type { Logger } from 'pino';
import type { AuditPort } from '../platform/audit/audit.ts';
import type { AuditTrail } from '../platform/audit/audit-trail.ts';
import type { Config } from '../platform/config/load.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import { PostgresFollowList } from './adapters/follow-list-postgres.ts';
import { PostgresReplica } from './adapters/replica-postgres.ts';
import type { Nodes } from './forwarding/nodes.ts';
import type { NodeIdentity } from './peers/identity.ts';
import type { ForwardIndexPort } from './ports/forward-index.ts';
import { keepReplicasShort } from './replication/replica-retention.ts';
import { createReplicationMetrics } from './replication/replication-metrics.ts';
import { createReplication, type Replication } from './replication/replication.ts';
import { Replicator } from './replication/replicator.ts';

export interface ReplicationParts {
  readonly config: Pick<Config, 'values'>;
  readonly node: NodeIdentity;
  readonly nodes: Nodes;
  readonly index: ForwardIndexPort;
  readonly pool: pg.Pool;
  readonly trail: AuditTrail;
  readonly audit: Pick<AuditPort, 'append'>;
  readonly metrics: Metrics;
  readonly log: Logger;
}

export interface OpenReplication extends Replication {
  /** Before the database is closed. */
  close(): Promise<void>;
}

export function openReplication({ config: { values }, node, nodes, index, pool, trail, audit, metrics: { registry, tracing }, log }: ReplicationParts): OpenReplication {
  const replica = new PostgresReplica(pool, trail);
  const list = new PostgresFollowList(pool);
  const metrics = createReplicationMetrics({ registry });
  const runDays = values.AGENTOS_RUN_RETENTION_DAYS;
  const stopRetention = keepReplicasShort({ replica, list, log }, { runDays, intervalMs: values.AGENTOS_RETENTION_INTERVAL_MS, batch: values.AGENTOS_RETENTION_BATCH });
  const replicator = values.AGENTOS_FED_REPLICATION === 'on' ? new Replicator({ list, nodes, replica, metrics, tracing, log }, { runs: values.AGENTOS_FED_REPLICATION_RUNS, runDays }) : null;
  replicator?.start();
  return {
    ...createReplication({ node, nodes, index, replica, audit, metrics, log, maxAttempts: values.AGENTOS_FED_MAX_ATTEMPTS, baseBackoffMs: values.AGENTOS_FED_BASE_BACKOFF_MS }),
    async close() {
      await Promise.all([replicator?.stop(), stopRetention()]);
    },
  };
}
