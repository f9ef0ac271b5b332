/** Events across nodes for the operations: the stream of a run wherever it executes, and what peers push. */
import type { Logger } from 'pino';
import type { AuditPort } from '../../platform/audit/audit.ts';
import { auditRow } from '../../platform/audit/audit-row.ts';
import type { OpenRunEvents } from '../api/streamFederatedRunEvents.ts';
import type { Nodes } from '../forwarding/nodes.ts';
import type { NodeIdentity } from '../peers/identity.ts';
import type { ForwardIndexPort } from '../ports/forward-index.ts';
import type { ReplicaPort } from '../ports/replica.ts';
import { createConfirmEvents } from './confirm-events.ts';
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
  readonly audit: Pick<AuditPort, 'append'>;
  /** null: nobody counts. */
  readonly metrics: ReplicationMetrics | null;
  readonly log: Logger;
}

export interface Replication {
  readonly openRunEvents: OpenRunEvents;
  readonly ingest: IngestParts;
}

export function createReplication({ node, nodes, index, replica, audit, metrics, log, maxAttempts, baseBackoffMs }: ReplicationOptions): Replication {
  const sources = { nodes, index, replica };
  return {
    ingest: { replica, judge: createRunJudge(sources), confirm: createConfirmEvents(nodes), ownStackId: node.local.stack_id, isPeer: (stackId) => node.peers.some((peer) => peer.stack_id === stackId), onJudged: recordRefusals(audit, metrics) },
    async openRunEvents(auth, runId, after, call) {
      const run = await sourceOfRun(sources, auth, runId, call);
      const onLost = (error: unknown): void => log.debug({ err: error, tenant_id: auth.tenant_id, run_id: runId }, 'The connection to the node of a run was lost; opening another one.');
      return openFederatedStream(run, { after, signal: call.signal, maxAttempts, baseBackoffMs, onLost });
    },
  };
}

/** What reached for a run that is not the sender's or not the tenant's: what is stored is recorded by the store. */
const OUT_OF_REACH: ReadonlySet<string> = new Set(['tenant_mismatch', 'run_is_local', 'run_not_forwarded', 'source_mismatch', 'not_confirmed']);

function recordRefusals(audit: Pick<AuditPort, 'append'>, metrics: ReplicationMetrics | null): IngestParts['onJudged'] {
  return async (auth, sourceStackId, results) => {
    metrics?.pushed(results.map((result) => result.status));
    const refused = results.flatMap(({ reason }) => (reason !== undefined && OUT_OF_REACH.has(reason) ? [reason] : []));
    if (refused.length === 0) return;
    const details = { rejected: refused.length, reasons: [...new Set(refused)] };
    await audit.append(auth, [auditRow('federation', auth, { action: 'events.replicate', outcome: 'denied', peer: sourceStackId, details })]);
  };
}
