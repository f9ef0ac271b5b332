/** What this service tells Prometheus about runs (PRS 9.1, C-70). */
import { Counter, Gauge, Histogram } from 'prom-client';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import type { QueueDepth, QueuePort, WorkerIdentity } from './ports/queue.ts';
import type { WorkerMetrics } from './runtime/worker.ts';

const OBSERVER: WorkerIdentity = { workerId: 'wrk_metrics' };

/** Gauges of the queue, read when they are scraped: one look serves all three. */
export function observeQueue({ registry }: Metrics, queue: QueuePort): void {
  let look: Promise<QueueDepth | null> | null = null;
  const depth = (): Promise<QueueDepth | null> => {
    look ??= queue.depth(OBSERVER).catch(() => null);
    // Collectors of one scrape start together; the next scrape looks again.
    void look.finally(() => (look = null));
    return look;
  };
  const gauge = (name: string, help: string, member: keyof QueueDepth): void => {
    new Gauge({
      name,
      help,
      registers: [registry],
      async collect() {
        this.set((await depth())?.[member] ?? Number.NaN);
      },
    });
  };
  gauge('agentos_runs_queued', 'Runs that wait.', 'queued');
  gauge('agentos_runs_running', 'Runs that a worker holds.', 'running');
  gauge('agentos_run_counter_drift', 'Difference between the tenants’ run counters and their runs; must read 0.', 'drift');
}

export function workerMetrics({ registry }: Metrics): WorkerMetrics {
  const runs = new Counter({ name: 'agentos_run_count', help: 'Executions that ended, by how.', labelNames: ['end'] as const, registers: [registry] });
  const latency = new Histogram({
    name: 'agentos_run_latency_ms',
    help: 'Milliseconds from claiming a run to its end.',
    buckets: [1, 2, 5, 10, 20, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000],
    registers: [registry],
  });
  const reclaimed = new Counter({ name: 'agentos_run_reclaims_total', help: 'Runs taken over from a worker that lost them.', registers: [registry] });
  return {
    onClaim: (_count, taken) => reclaimed.inc(taken),
    onEnd(end, _claimed, durationMs) {
      runs.inc({ end });
      if (end === 'completed' || end === 'failed') latency.observe(durationMs);
    },
  };
}
