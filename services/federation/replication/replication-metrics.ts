/** What is counted of events that come from other nodes. */
import { Counter, Gauge, Histogram } from 'prom-client';
import type { Metrics } from '../../platform/telemetry/metrics.ts';
import { timestampMs } from '../../platform/timestamp.ts';
import type { StoreVerdict } from '../ports/replica.ts';
import type { WireEvent } from './event-digest.ts';

export interface ReplicationMetrics {
  /** Runs that are to be copied, or are being copied. */
  readonly open: Gauge;
  /** Events that the replicator has copied. */
  followed(events: readonly WireEvent[], verdicts: readonly StoreVerdict[]): void;
  /** Events that a peer has pushed, by what the answer says of each. */
  pushed(statuses: readonly string[]): void;
}

export function createReplicationMetrics({ registry }: Pick<Metrics, 'registry'>): ReplicationMetrics {
  const events = new Counter({ name: 'agentos_federation_replica_events_total', help: 'Events of other nodes, by the way they came (followed, pushed) and what became of them (stored, duplicate, conflict, rejected).', labelNames: ['way', 'verdict'] as const, registers: [registry] });
  const lag = new Histogram({ name: 'agentos_federation_replication_lag_seconds', help: 'From the time of an event on its node to its being stored here, by the clocks of both.', buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600], registers: [registry] });
  const open = new Gauge({ name: 'agentos_federation_replications_open', help: 'Runs on other nodes whose events are still to be copied, in part or all.', registers: [registry] });
  return {
    open,
    followed(stored, verdicts) {
      const now = Date.now();
      verdicts.forEach((verdict, at) => {
        events.inc({ way: 'followed', verdict });
        if (verdict === 'stored') lag.observe(Math.max(0, now - timestampMs(stored[at]!.time)) / 1_000);
      });
    },
    pushed(statuses) {
      for (const status of statuses) events.inc({ way: 'pushed', verdict: status === 'accepted' ? 'stored' : status });
    },
  };
}
