/** Prometheus metrics of one service: a registry of its own, the process's vital signs, and HTTP traffic. */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import { TallyCounter, TallyHistogram, type Tally } from './tallies.ts';
import type { Tracing } from './tracing.ts';
import { DEFAULT_TENANT_SERIES, TenantSeries, type TenantCounter } from './tenant-series.ts';

export interface HttpObservation {
  readonly operation: string;
  readonly method: string;
  readonly status: number;
  /** null for streams, which are counted and not timed. */
  readonly durationSeconds: number | null;
  /** Whose request it was; null where it was nobody's, or nobody's yet. */
  readonly tenantId?: string | null;
}

/** What stood in the way of a tenant's request. */
export type TenantLimit = (typeof TENANT_LIMITS)[number];
const TENANT_LIMITS = ['rate', 'concurrency', 'budget', 'policy', 'memory', 'other'] as const;

/** An error as it was answered. */
export interface RefusedRequest {
  readonly code: string;
  readonly reason: unknown;
  readonly tenantId: string | null;
}

export interface Metrics {
  readonly registry: Registry;
  /** Where traces go; null: nowhere. Set by `traceTo`, once it is known. */
  readonly tracing: Tracing | null;
  traceTo(tracing: Tracing | null): void;
  /** Series of single tenants, which only those may see who may see every tenant. */
  readonly tenants: TenantSeries;
  observeHttp(observation: HttpObservation): void;
  /** Beside `observeHttp`: why a request was refused, where the reason is who asked or what its tenant may do. */
  observeRefusal(refused: RefusedRequest): void;
  /** Streams that are open now. */
  readonly openStreams: Gauge;
  /** To be told of each flush of a group commit, for the series of that `writer`. */
  flushesOf(writer: string): (flush: { readonly size: number; readonly durationMs: number; readonly failed: boolean; readonly waiting: number }) => void;
  /** Text exposition format; `withTenants` for readers who may see every tenant. */
  render(withTenants?: boolean): Promise<string>;
  readonly contentType: string;
}

const DURATION_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export interface MetricsOptions {
  readonly service: string;
  /** Default process metrics (CPU, memory, event loop); true when absent. Tests that make many servers switch them off. */
  readonly process?: boolean;
  /** Who has series of its own; the fifty busiest when absent. */
  readonly tenants?: { readonly limit: number; readonly always?: readonly string[] };
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
  const perTenant = new Registry();
  perTenant.setDefaultLabels({ service: options.service });
  const tenants = new TenantSeries({ registry: perTenant, ...(options.tenants ?? { limit: DEFAULT_TENANT_SERIES }) });
  const ofTenants = tenantRequests(tenants);
  const authFailures = new Counter({ name: 'agentos_auth_failures_total', help: 'Requests refused for who made them, by the code of the error.', labelNames: ['reason'] as const, registers: [registry] });
  // Shown at zero from the start, so that the first one is an increase as well.
  for (const reason of AUTH_FAILURES) authFailures.inc({ reason }, 0);
  let tracing: Tracing | null = null;
  return {
    registry,
    get tracing() {
      return tracing;
    },
    traceTo(next) {
      tracing = next;
    },
    tenants,
    openStreams,
    flushesOf: flushes(registry),
    contentType: registry.contentType,
    async render(withTenants = false) {
      if (!withTenants) return registry.metrics();
      const [all, each] = await Promise.all([registry.metrics(), perTenant.metrics()]);
      return all + each;
    },
    observeRefusal({ code, reason, tenantId }) {
      if (AUTH_FAILURES.includes(code)) authFailures.inc({ reason: code });
      if (tenantId !== null) ofTenants.refused(tenantId, code, reason);
    },
    observeHttp({ operation, method, status, durationSeconds, tenantId }) {
      const child = childOf(method, operation, String(status));
      child.count.add(1);
      if (durationSeconds !== null) child.seconds.add(durationSeconds);
      if (typeof tenantId === 'string') ofTenants.answered(tenantId, status);
    },
  };
}

/** Codes of requests that are refused for who made them. */
const AUTH_FAILURES = ['unauthorized', 'forbidden', 'tenant_unknown', 'tenant_mismatch'];

function tenantRequests(tenants: TenantSeries) {
  const requests = tenants.counter({ name: 'agentos_tenant_requests_total', help: 'Requests of a tenant: ok, refused (4xx), failed (5xx).' }, 'result', ['ok', 'refused', 'failed']);
  const refusals: TenantCounter<TenantLimit> = tenants.counter({ name: 'agentos_tenant_refusals_total', help: 'Requests of a tenant that one of its limits refused.' }, 'limit', TENANT_LIMITS);
  return {
    answered: (tenantId: string, status: number): void => requests.add(tenants.of(tenantId), status < 400 ? 'ok' : status < 500 ? 'refused' : 'failed'),
    refused(tenantId: string, code: string, reason: unknown): void {
      const limit = limitOf(code, typeof reason === 'string' ? reason : '');
      if (limit !== null) refusals.add(tenants.of(tenantId), limit);
    },
  };
}

/** Reasons are an open set, and a label may be none. */
function limitOf(code: string, reason: string): TenantLimit | null {
  if (code === 'rate_limited') return 'rate';
  if (code === 'policy_blocked') return 'policy';
  if (reason.endsWith('budget_exceeded')) return 'budget';
  if (code !== 'quota_exceeded') return null;
  return reason === 'memory_bytes_exceeded' ? 'memory' : reason === 'concurrent_runs' ? 'concurrency' : 'other';
}

function flushes(registry: Registry): Metrics['flushesOf'] {
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
  const flushFailures = new Counter({ name: 'agentos_group_commit_failures_total', help: 'Flushes that failed; what they held waits or was refused.', labelNames: ['writer'] as const, registers: [registry] });
  const flushWaiting = new Gauge({ name: 'agentos_group_commit_waiting', help: 'Writes that waited for the next flush when the last one ended.', labelNames: ['writer'] as const, registers: [registry] });
  return (writer) => {
    const [sizes, durations, failures, waitings] = [groupCommitSize.labels(writer), groupCommitDuration.labels(writer), flushFailures.labels(writer), flushWaiting.labels(writer)];
    failures.inc(0);
    return ({ size, durationMs, failed, waiting }) => {
      sizes.observe(size);
      durations.observe(durationMs / 1000);
      if (failed) failures.inc();
      waitings.set(waiting);
    };
  };
}
