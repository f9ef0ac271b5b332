/** Health (the process answers), readiness (what it stands on answers too), and metrics (PRS 4.2, 9.1; C-04, C-33). */
import type { Logger } from 'pino';
import { Gauge } from 'prom-client';
import type { Identity } from '../auth/identity.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { createMetricsReader } from './metrics-reader.ts';
import type { Handler, HandlerRequest, JsonResult, TextResult } from './operation-types.ts';
import { NotReadyError, readinessReason, ReadyWithNote, type ReadinessReason } from './readiness-reason.ts';

/** Rejects, or takes longer than its time, when the dependency is not there. */
export type ReadinessCheck = (signal: AbortSignal) => Promise<unknown>;

export interface CheckResult {
  /** The dependency's name. */
  name: string;
  status: 'ok' | 'unavailable';
  latency_ms?: number;
  /** A `ReadinessReason`, `stopping`, or beside `ok` a note. Why in full stands in the log. */
  detail?: ReadinessReason | 'stopping' | ReadyWithNote['note'];
}

export interface HealthOptions<Service extends string> {
  readonly service: Service;
  readonly version: string;
  /** By the dependency's name, e.g. `postgres`. */
  readonly checks: Readonly<Record<string, ReadinessCheck>>;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** When given, /metrics asks for a credential. */
  readonly metricsIdentity?: Identity | null;
  /** Who a reader of open metrics is, should it say so. */
  readonly identity?: Identity;
  /** Time for each check; 1,000 when absent. */
  readonly timeoutMs?: number;
}

export interface HealthBody<Service extends string> {
  status: 'ok';
  service: Service;
  version: string;
}

export interface ReadinessBody<Service extends string, Status extends string = string> {
  status: Status;
  service: Service;
  version: string;
  checks: CheckResult[];
}

export interface Health<Service extends string = string> {
  readonly health: Handler<HandlerRequest, JsonResult<200, HealthBody<Service>>>;
  readonly readiness: Handler<HandlerRequest, JsonResult<200, ReadinessBody<Service, 'ok'>> | JsonResult<503, ReadinessBody<Service, 'unavailable'>>>;
  readonly metrics: Handler<HandlerRequest, TextResult>;
  /** From now on readiness answers 503, so that nobody sends more work here. */
  beginStopping(): void;
}

/** Probes come from several places at once; within this time they share one answer. */
const CACHE_MS = 1_000;

export function createHealth<Service extends string>(options: HealthOptions<Service>): Health<Service> {
  const { service, version } = options;
  let stopping = false;
  let cached: { readonly at: number; readonly checks: Promise<CheckResult[]> } | null = null;

  const report = reportChanges(options.log);

  const probe = (): Promise<CheckResult[]> => {
    const now = performance.now();
    if (cached === null || now - cached.at > CACHE_MS) cached = { at: now, checks: runChecks(options.checks, options.timeoutMs ?? 1_000, report) };
    return cached.checks;
  };

  const known = options.metricsIdentity ?? options.identity;
  const readerOf = known === undefined ? null : createMetricsReader({ identity: known, required: options.metricsIdentity != null });
  showDependencies(options.metrics, version, probe);

  return {
    beginStopping() {
      stopping = true;
    },
    health: () => ({ status: 200, body: { status: 'ok', service, version } }),
    async readiness() {
      const checks = [...(await probe())];
      if (stopping) checks.push({ name: service, status: 'unavailable', detail: 'stopping' });
      const ready = checks.every((check) => check.status === 'ok');
      if (ready) return { status: 200, body: { status: 'ok', service, version, checks } };
      return { status: 503, body: { status: 'unavailable', service, version, checks }, headers: { 'Retry-After': '1' } };
    },
    async metrics(request) {
      const withTenants = (await readerOf?.(request.context.headers)) ?? false;
      return { status: 200, text: await options.metrics.render(withTenants), contentType: options.metrics.contentType };
    },
  };
}

/** What the service stands on, looked at when metrics are read: nobody need ask for readiness besides. */
function showDependencies({ registry }: Metrics, version: string, probe: () => Promise<CheckResult[]>): void {
  new Gauge({ name: 'agentos_build_info', help: 'Always 1; the version of the service is its label.', labelNames: ['version'] as const, registers: [registry] }).set({ version }, 1);
  new Gauge({
    name: 'agentos_dependency_up',
    help: '1 when a dependency of the service answers its readiness check, else 0.',
    labelNames: ['dependency'] as const,
    registers: [registry],
    async collect() {
      for (const { name, status } of await probe()) this.set({ dependency: name }, status === 'ok' ? 1 : 0);
    },
  });
}

/** Tells the log why a dependency is not there, and when it is again: once a change, not once a probe. */
type Report = (name: string, reason: ReadinessReason | null, error: unknown) => void;

function reportChanges(log: Logger): Report {
  const last = new Map<string, ReadinessReason>();
  return (name, reason, error) => {
    if (last.get(name) === (reason ?? undefined)) return;
    if (reason === null) {
      last.delete(name);
      log.info({ dependency: name }, 'A dependency is there again.');
      return;
    }
    last.set(name, reason);
    log.warn({ dependency: name, reason, err: error }, 'A dependency is not ready.');
  };
}

function runChecks(checks: HealthOptions<string>['checks'], timeoutMs: number, report: Report): Promise<CheckResult[]> {
  return Promise.all(Object.entries(checks).map(([name, check]) => runCheck(name, check, timeoutMs, report)));
}

async function runCheck(name: string, check: ReadinessCheck, timeoutMs: number, report: Report): Promise<CheckResult> {
  const startedAt = performance.now();
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      // First, so that it is heard before what the abortion makes of the check.
      reject(new NotReadyError('timeout', `no answer within ${timeoutMs} ms`));
      controller.abort();
    }, timeoutMs);
  });
  try {
    const said = await Promise.race([check(controller.signal), timeout]);
    report(name, null, null);
    return { name, status: 'ok', latency_ms: Math.round(performance.now() - startedAt), ...(said instanceof ReadyWithNote ? { detail: said.note } : {}) };
  } catch (error) {
    const reason = readinessReason(error);
    report(name, reason, error);
    return { name, status: 'unavailable', detail: reason };
  } finally {
    clearTimeout(timer);
  }
}
