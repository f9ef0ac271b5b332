/** What this service tells Prometheus and the log about runs (PRS 9.1, C-70). */
import type { Logger } from 'pino';
import { Counter, Gauge, Histogram } from 'prom-client';
import type { Metrics } from '../platform/telemetry/metrics.ts';
import { underTraceparent } from '../platform/telemetry/trace-context.ts';
import type { Tracing } from '../platform/telemetry/tracing.ts';
import type { CircuitState } from './adapters/circuit-breaker.ts';
import type { QueueDepth, QueuePort, TenantLoad, WorkerIdentity } from './ports/queue.ts';
import type { EndedCallObserver, EndedRunObserver, EndedStepObserver } from './runtime/executor.ts';
import { spanIdOf } from './runtime/ids.ts';
import type { DeliveryOutcome } from './ports/webhooks.ts';
import type { WorkerMetrics } from './runtime/worker.ts';

const OBSERVER: WorkerIdentity = { workerId: 'wrk_metrics' };

/** Gauges of the queue, read when they are scraped: one look serves all three. */
export function observeQueue({ registry, tenants }: Metrics, queue: QueuePort): void {
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
  gauge('agentos_queue_depth', 'Runs that wait.', 'queued');
  gauge('agentos_active_runs', 'Runs that a worker holds.', 'running');
  gauge('agentos_run_counter_drift', 'Difference between the tenants’ run counters and their runs; must read 0.', 'drift');
  const noLoads: ReadonlyMap<string, TenantLoad> = new Map();
  tenants.gauge(
    { name: 'agentos_tenant_runs', help: 'Runs of a tenant that have not ended: queued, running.' },
    'state',
    async (holders) => {
      const loads = await queue.loads(OBSERVER, holders).catch(() => noLoads);
      return new Map([...loads].map(([tenantId, { queued, running }]) => [tenantId, { queued, running }]));
    },
  );
}

/** Counts attempts by what became of the delivery. */
export function webhookMetrics({ registry }: Metrics): (outcome: DeliveryOutcome) => void {
  const deliveries = new Counter({ name: 'agentos_webhook_deliveries_total', help: 'Attempts to deliver an event, by what became of it: delivered, retried, failed.', labelNames: ['outcome'] as const, registers: [registry] });
  for (const outcome of ['delivered', 'retried', 'failed']) deliveries.inc({ outcome }, 0);
  return ({ state }) => deliveries.inc({ outcome: state === 'pending' ? 'retried' : state });
}

export function workerMetrics({ registry }: Metrics): WorkerMetrics {
  const runs = new Counter({ name: 'agentos_run_count', help: 'Executions that ended, by how.', labelNames: ['end'] as const, registers: [registry] });
  const succeeded = new Counter({ name: 'agentos_run_success', help: 'Runs that completed.', registers: [registry] });
  const failed = new Counter({ name: 'agentos_run_failure', help: 'Runs that failed.', registers: [registry] });
  const latency = new Histogram({
    name: 'agentos_run_latency_ms',
    help: 'Milliseconds from claiming a run to its end.',
    buckets: [1, 2, 5, 10, 20, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000],
    registers: [registry],
  });
  const reclaimed = new Counter({ name: 'agentos_run_reclaims_total', help: 'Runs taken over from a worker that lost them.', registers: [registry] });
  for (const end of ['completed', 'failed']) runs.inc({ end }, 0);
  return {
    onClaim: (_count, taken) => reclaimed.inc(taken),
    onEnd(end, _claimed, durationMs) {
      runs.inc({ end });
      if (end !== 'completed' && end !== 'failed') return;
      (end === 'completed' ? succeeded : failed).inc();
      latency.observe(durationMs);
    },
  };
}

const STEP_BUCKETS_MS = [1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000];

/** Steps by kind and how they ended. A tool's name is no label: tenants make tools, and so would make time series. */
export function stepMetrics({ registry, tenants }: Metrics): EndedStepObserver {
  const steps = new Histogram({ name: 'agentos_step_latency_ms', help: 'Milliseconds of a step.', labelNames: ['step_kind'] as const, buckets: STEP_BUCKETS_MS, registers: [registry] });
  const tools = new Histogram({ name: 'agentos_tool_latency_ms', help: 'Milliseconds of a tool call, its retries included.', buckets: STEP_BUCKETS_MS, registers: [registry] });
  const failures = new Counter({ name: 'agentos_tool_errors_total', help: 'Tool calls that ended in an error; by agentos_tool_latency_ms_count it is the error rate.', registers: [registry] });
  const calls = tenants.counter({ name: 'agentos_tenant_tool_calls_total', help: 'Tool calls of a tenant: ok, error.' }, 'result', ['ok', 'error']);
  return ({ step_kind: kind, status, duration_ms: durationMs }, tenantId) => {
    steps.observe({ step_kind: kind }, durationMs);
    if (kind !== 'tool') return;
    tools.observe(durationMs);
    calls.add(tenants.of(tenantId), status === 'error' ? 'error' : 'ok');
    if (status === 'error') failures.inc();
  };
}

const TENANT_RUN_BUCKETS_MS = [100, 1_000, 5_000, 30_000, 300_000];

/**
 * One line for each run that has ended (PRS 9.1), and its tenant's counters; both count the time from its creation, as its
 * caller waited. Once for a service: every place where runs end tells the same observer.
 */
export function endedRuns(metrics: Metrics, log: Logger): EndedRunObserver {
  const { tenants } = metrics;
  const ended = tenants.counter({ name: 'agentos_tenant_runs_ended_total', help: 'Runs of a tenant that ended, by how.' }, 'status', ['completed', 'failed', 'canceled']);
  const duration = tenants.histogram({ name: 'agentos_tenant_run_duration_ms', help: 'Milliseconds from the creation of a run to its end.' }, TENANT_RUN_BUCKETS_MS);
  return (run, status, steps) => {
    const durationMs = Math.max(0, Date.now() - Date.parse(run.createdAt));
    const account = tenants.of(run.tenantId);
    ended.add(account, status);
    duration.observe(account, durationMs);
    if (metrics.tracing !== null) traceRun(metrics.tracing, run, status, steps, durationMs);
    log.info(
      {
        run_id: run.runId,
        tenant_id: run.tenantId,
        agent_id: run.agentId,
        status,
        trace_id: run.traceparent.slice(3, 35),
        correlation_id: run.correlationId,
        duration_ms: durationMs,
        steps,
      },
      'Run ended.',
    );
  };
}

const CIRCUIT_VALUE: Readonly<Record<CircuitState, number>> = { closed: 0, half_open: 1, open: 2 };

/** To be told of each change of the breaker's state. */
export function observeCircuit({ registry }: Metrics, dependency: string): (state: CircuitState) => void {
  const gauge = new Gauge({ name: 'agentos_circuit_state', help: 'Whether calls to a dependency go through: 0 closed (they do), 1 half open (a probe does), 2 open (none).', labelNames: ['dependency'] as const, registers: [registry] });
  const opened = new Counter({ name: 'agentos_circuit_opened_total', help: 'Times that calls to a dependency began to be held back.', labelNames: ['dependency'] as const, registers: [registry] });
  gauge.set({ dependency }, 0);
  opened.inc({ dependency }, 0);
  return (state) => {
    gauge.set({ dependency }, CIRCUIT_VALUE[state]);
    if (state === 'open') opened.inc({ dependency });
  };
}

export function retentionMetrics({ registry }: Metrics): (deleted: { readonly runs: number; readonly keys: number }) => void {
  const deletions = new Counter({ name: 'agentos_retention_deleted_total', help: 'Runs and idempotency records deleted because their time was over.', labelNames: ['kind'] as const, registers: [registry] });
  for (const kind of ['run', 'idempotency_record']) deletions.inc({ kind }, 0);
  return ({ runs, keys }) => {
    deletions.inc({ kind: 'run' }, runs);
    deletions.inc({ kind: 'idempotency_record' }, keys);
  };
}

/** A step's call, under its run. Whom the step calls is told of this span, and so are the events of the step. */
export function callSpans(tracing: Tracing): EndedCallObserver {
  return ({ kind, name, step, status, durationMs }, { runId, tenantId, traceparent }) => {
    tracing.record({
      name: kind === 'tool' ? `execute_tool ${name}` : kind === 'model' ? `chat ${name}` : `plan ${name}`, kind: kind === 'tool' ? 'internal' : 'client',
      ...underTraceparent(traceparent), parentSpanId: spanIdOf(runId, 'run'), spanId: spanIdOf(runId, step), durationMs, failed: status === 'error',
      attributes: {
        ...(kind === 'tool' ? { 'gen_ai.operation.name': 'execute_tool', 'gen_ai.tool.name': name } : { 'agentos.model_ref': name }),
        'agentos.run_id': runId, 'agentos.tenant_id': tenantId, 'agentos.step': step, 'agentos.step.status': status,
      },
    });
  };
}

/** From its creation to its end, under the request that created it; names as OpenTelemetry's conventions for generative AI have them. */
function traceRun(tracing: Tracing, run: Parameters<EndedRunObserver>[0], status: string, steps: number, durationMs: number): void {
  tracing.record({
    name: `invoke_agent ${run.agentId}`, kind: 'internal', ...underTraceparent(run.traceparent), spanId: spanIdOf(run.runId, 'run'), durationMs, failed: status === 'failed',
    attributes: {
      'gen_ai.operation.name': 'invoke_agent', 'gen_ai.agent.id': run.agentId, 'agentos.run_id': run.runId, 'agentos.tenant_id': run.tenantId,
      'agentos.correlation_id': run.correlationId, 'agentos.run.status': status, 'agentos.run.steps': steps,
    },
  });
}
