/** Prometheus metrics of one service: a registry of its own, the process's vital signs, and HTTP traffic. */
import { Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import { TallyCounter, TallyHistogram, type Tally } from './tallies.ts';

export interface HttpObservation {
  readonly operation: string;
  readonly method: string;
  readonly status: number;
  /** null for streams, which are counted and not timed. */
  readonly durationSeconds: number | null;
}

export interface Metrics {
  readonly registry: Registry;
  observeHttp(observation: HttpObservation): void;
  /** Streams that are open now. */
  readonly openStreams: Gauge;
  /** Writes in one flush of a group commit, by `writer`. */
  readonly groupCommitSize: Histogram<'writer'>;
  readonly groupCommitDuration: Histogram<'writer'>;
  /** Text exposition format. */
  render(): Promise<string>;
  readonly contentType: string;
}

const DURATION_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export interface MetricsOptions {
  readonly service: string;
  /** Default process metrics (CPU, memory, event loop); true when absent. Tests that make many servers switch them off. */
  readonly process?: boolean;
}

export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ service: options.service });
  if (options.process ?? true) collectDefaultMetrics({ register: registry });
  type Label = 'method' | 'operation' | 'status';
  const requests = new TallyCounter<Label>({ name: 'agentos_http_requests_total', help: 'Requests answered, by operation.', registers: [registry] });
  const duration = new TallyHistogram<Label>({
    name: 'agentos_http_request_duration_seconds',
    help: 'Time from the request line to the end of the answer; streams are not in it.',
    buckets: DURATION_BUCKETS,
    registers: [registry],
  });
  const openStreams = new Gauge({ name: 'agentos_http_open_streams', help: 'Event streams that are open now.', registers: [registry] });
  const groupCommitSize = new Histogram({
    name: 'agentos_group_commit_writes',
    help: 'Writes that shared one commit.',
    labelNames: ['writer'] as const,
    buckets: [1, 2, 4, 8, 16, 32, 64, 128],
    registers: [registry],
  });
  const groupCommitDuration = new Histogram({
    name: 'agentos_group_commit_duration_seconds',
    help: 'Time of one flush, commit included.',
    labelNames: ['writer'] as const,
    buckets: DURATION_BUCKETS,
    registers: [registry],
  });
  const children = new Map<string, { readonly count: Tally; readonly seconds: Tally }>();
  const childOf = (method: string, operation: string, status: string) => {
    const key = `${method} ${operation} ${status}`;
    let child = children.get(key);
    if (child === undefined) {
      const labels = { method, operation, status };
      child = { count: requests.of(labels), seconds: duration.of(labels) };
      children.set(key, child);
    }
    return child;
  };
  return {
    registry,
    openStreams,
    groupCommitSize,
    groupCommitDuration,
    contentType: registry.contentType,
    render: () => registry.metrics(),
    observeHttp({ operation, method, status, durationSeconds }) {
      const child = childOf(method, operation, String(status));
      child.count.add(1);
      if (durationSeconds !== null) child.seconds.add(durationSeconds);
    },
  };
}
