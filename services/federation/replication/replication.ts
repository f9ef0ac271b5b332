/** Events across nodes for the operations: the stream of a run wherever it executes, and what peers push. */
import type { Logger } from 'pino';
import type { OpenRunEvents } from '../api/streamFederatedRunEvents.ts';
import type { Nodes } from '../forwarding/nodes.ts';
import type { NodeIdentity } from '../peers/identity.ts';
import type { ForwardIndexPort } from '../ports/forward-index.ts';
import type { ReplicaPort } from '../ports/replica.ts';
import { openFederatedStream, type FederatedStreamOptions } from './federated-stream.ts';
import type { IngestParts } from './ingest.ts';
import type { ReplicationMetrics } from './replication-metrics.ts';
import { createRunJudge } from './run-judge.ts';
import { sourceOfRun } from './run-sources.ts';

export interface ReplicationOptions extends Pick<FederatedStreamOptions, 'maxAttempts' | 'baseBackoffMs'> {
  /** Its peers may change while the process runs. */
  readonly node: NodeIdentity;
  readonly nodes: Nodes;
  readonly index: ForwardIndexPort;
  readonly replica: ReplicaPort;
  /** null: nobody counts. */
  readonly metrics: ReplicationMetrics | null;
  readonly log: Logger;
}

export interface Replication {
  readonly openRunEvents: OpenRunEvents;
  readonly ingest: IngestParts;
}

export function createReplication({ node, nodes, index, replica, metrics, log, maxAttempts, baseBackoffMs }: ReplicationOptions): Replication {
  const sources = { nodes, index, replica };
  return {
    ingest: { replica, judge: createRunJudge(sources), ownStackId: node.local.stack_id, isPeer: (stackId) => node.peers.some((peer) => peer.stack_id === stackId), onJudged: (statuses) => metrics?.pushed(statuses) },
    async openRunEvents(auth, runId, after, call) {
      const run = await sourceOfRun(sources, auth, runId, call);
      const onLost = (error: unknown): void => log.debug({ err: error, tenant_id: auth.tenant_id, run_id: runId }, 'The connection to the node of a run was lost; opening another one.');
      return openFederatedStream(run, { after, signal: call.signal, maxAttempts, baseBackoffMs, onLost });
    },
  };
}
