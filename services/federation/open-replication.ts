/** Events across nodes as configured: following them, taking them in, and keeping them. */
import type pg from 'pg';
import type { Logger } from 'pino';
import type { AuditTrail } from '../platform/audit/audit-trail.ts';
import type { Config } from '../platform/config/load.ts';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import { PostgresReplica } from './adapters/replica-postgres.ts';
import type { Nodes } from './forwarding/nodes.ts';
import type { NodeIdentity } from './peers/identity.ts';
import type { ForwardIndexPort } from './ports/forward-index.ts';
import { createReplication, type Replication } from './replication/replication.ts';

export interface ReplicationParts {
  readonly config: Pick<Config, 'values'>;
  readonly node: NodeIdentity;
  readonly nodes: Nodes;
  readonly index: ForwardIndexPort;
  readonly pool: pg.Pool;
  readonly trail: AuditTrail;
  readonly metrics: Metrics;
  readonly log: Logger;
}

export interface OpenReplication extends Replication {
  /** Before the database is closed. */
  close(): Promise<void>;
}

export function openReplication({ config: { values }, node, nodes, index, pool, trail, log }: ReplicationParts): OpenReplication {
  const replica = new PostgresReplica(pool, trail);
  const attempts = { maxAttempts: values.AGENTOS_FED_MAX_ATTEMPTS, baseBackoffMs: values.AGENTOS_FED_BASE_BACKOFF_MS };
  return { ...createReplication({ node, nodes, index, replica, log, ...attempts }), async close() {} };
}
