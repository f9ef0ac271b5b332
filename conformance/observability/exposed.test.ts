/** Every metric and label that a rule, an alert or a panel asks for is exposed by live services (PRS 8.5, 9.1–9.3). */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findFreePort } from '../../scripts/lib/ports.ts';
import { DASHBOARDS } from '../../deploy/observability/dashboards/dashboards.ts';
import { dashboardJson } from '../../deploy/observability/dashboards/panels.ts';
import { verifies } from '../http/verifies.ts';
import { busyNode, type BusyNode } from './busy-node.ts';
import { readExposition, sampleOf, type Exposed } from './exposition.ts';
import { startProgram, whyMissing, type StartedProgram } from './programs.ts';
import { check } from './promql.ts';
import { alerts, askedByAlerts, askedByDashboards, dashboards, OBSERVABILITY, recordings } from './sources.ts';

const missing = await whyMissing('node-exporter', 'alertmanager');
/** Metrics that the exporters expose, and not the services. */
const OF_EXPORTERS = /^(node_|alertmanager_)/;

let busy: BusyNode;
const programs: StartedProgram[] = [];
const exposed: Exposed = new Map();

beforeAll(async () => {
  busy = await busyNode();
  for (const service of ['agent-orchestrator', 'model-policy', 'federation']) {
    const target = { job: 'agentos', instance: `${service}:1`, service };
    // Budgets are read in the background: they are there the next time.
    const expected = { 'agent-orchestrator': 'agentos_build_info', 'model-policy': 'agentos_tenant_budget_used_ratio', federation: 'agentos_build_info' }[service]!;
    for (const deadline = performance.now() + 20_000; !readExposition(await busy.metrics(service), exposed, target).has(expected); await sleep(100)) if (performance.now() > deadline) throw new Error(`${service} does not expose ${expected}.`);
  }
  // What Prometheus makes itself.
  readExposition('up{job="agentos",instance="a",service="federation"} 1\nup{job="machine",instance="m"} 1\nprobe_success{job="agentos-ready",instance="a",service="federation"} 1', exposed);
  if (missing === null) await startExporters();
  const ofAlerts = new Map(alerts().flatMap((rule) => (missing !== null && OF_EXPORTERS.test(rule.expr) ? [] : [...withRecordings(rule.expr).keys()])).map((label) => [label, new Set<string>()]));
  exposed.set('ALERTS', new Map([...ofAlerts, ['alertname', new Set<string>()], ['alertstate', new Set(['firing', 'pending'])], ['severity', new Set(['critical', 'warning', 'none'])]]));
}, 120_000);
afterAll(async () => {
  for (const program of programs) await program.stop();
  await busy?.close();
});

async function startExporters(): Promise<void> {
  const [node, alertmanager] = [await findFreePort(), await findFreePort()];
  programs.push(await startProgram('node-exporter', [`--web.listen-address=127.0.0.1:${node}`], `http://127.0.0.1:${node}/`));
  programs.push(await startProgram('alertmanager', [`--config.file=${OBSERVABILITY}/alertmanager/alertmanager.yml`, '--storage.path=/tmp/agentos-observed', '--cluster.listen-address=', `--web.listen-address=127.0.0.1:${alertmanager}`], `http://127.0.0.1:${alertmanager}/-/ready`));
  for (const [port, job] of [[node, 'machine'], [alertmanager, 'observability']] as const) readExposition(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text(), exposed, { job, instance: 'm' });
}

/** Recording rules first, in whatever order they stand: each is exposed once what it asks for is. */
function withRecordings(expression: string): ReadonlyMap<string, unknown> {
  let waiting = recordings().filter(({ record }) => !exposed.has(record));
  while (waiting.length > 0) {
    const ready = waiting.filter(({ record, expr }) => {
      try {
        exposed.set(record, check(expr, exposed).labels);
        return true;
      } catch (error) {
        if (waiting.some((other) => (error as Error).message.startsWith(`Nothing exposes ${other.record},`))) return false;
        throw error;
      }
    });
    waiting = waiting.filter((rule) => !ready.includes(rule));
  }
  return check(expression, exposed).labels;
}

describe('recording rules', () => {
  it.each(recordings().map((rule) => [rule.record, rule] as const))('%s asks for what is exposed', (_name, { expr }) => {
    withRecordings(expr);
  });
});

describe('alerts', () => {
  it.each(askedByAlerts().map((asked) => [asked.where, asked] as const))('%s', verifies(['PRS-8.5-03', 'PRS-9.3-01', 'PRS-9.3-02', 'PRS-9.3-03'], (_name: string, { expression, uses }: { expression: string; uses: readonly string[] }) => {
    if (missing !== null && OF_EXPORTERS.test(expression)) return;
    const labels = withRecordings(expression);
    for (const label of uses) expect([...labels.keys()], `${label} in a text`).toContain(label);
  }));
});

describe('dashboards', () => {
  it.each(askedByDashboards().map((asked) => [asked.where, asked] as const))('%s', verifies(['PRS-8.5-02', 'PRS-9.1-02', 'PRS-15.5-02'], (_name: string, { expression, uses }: { expression: string; uses: readonly string[] }) => {
    if (missing !== null && OF_EXPORTERS.test(expression)) return;
    const labels = withRecordings(expression);
    for (const label of uses) expect([...labels.keys()], `${label} in a legend`).toContain(label);
  }));

  it('are what their source says', () => {
    for (const [name, dashboard] of Object.entries(DASHBOARDS)) expect(dashboards().get(`${name}.json`), `run: npx tsx deploy/observability/dashboards/write.ts`).toEqual(dashboardJson(dashboard));
    expect([...dashboards().keys()]).toEqual(Object.keys(DASHBOARDS).map((name) => `${name}.json`).sort());
  });

  it('have ids of their own, words with every panel, and the tenants can be chosen where tenants are shown', () => {
    const all = [...dashboards().values()];
    expect(new Set(all.map(({ uid }) => uid)).size).toBe(all.length);
    for (const { title, panels, templating } of all) {
      for (const panel of panels.filter(({ type }) => type !== 'row')) expect(panel.description?.length, `${title}: ${panel.title}`).toBeGreaterThan(10);
      if (title.includes('Tenant')) expect(templating.list.map(({ name }) => name)).toContain('tenant');
    }
  });
});

describe.skipIf(missing !== null)(`what the exporters expose${missing === null ? '' : ` (left out: ${missing})`}`, () => {
  it('is asked for', () => {
    expect(alerts().filter(({ expr }) => OF_EXPORTERS.test(expr)).map(({ alert }) => alert)).toEqual(['AgentOSDiskNearlyFull']);
  });
});

describe('the metrics that PRS 9.2 names', () => {
  it.each([
    ['agent-orchestrator', ['agentos_run_count', 'agentos_run_success', 'agentos_run_failure', 'agentos_run_latency_ms_bucket', 'agentos_step_latency_ms_bucket', 'agentos_tool_latency_ms_bucket', 'agentos_tool_errors_total', 'agentos_queue_depth', 'agentos_active_runs', 'agentos_http_requests_total', 'agentos_auth_failures_total']],
    ['model-policy', ['agentos_model_request_count', 'agentos_token_usage', 'agentos_cost_estimate_usd', 'agentos_policy_block_count', 'agentos_redaction_count', 'agentos_backend_health', 'agentos_route_distribution', 'agentos_http_requests_total', 'agentos_auth_failures_total']],
    ['federation', ['agentos_http_requests_total', 'agentos_auth_failures_total', 'agentos_dependency_up']],
  ] as const)('stand in %s', verifies(['PRS-9.1-01', 'PRS-9.2-01', 'PRS-9.2-03', 'PRS-9.2-04', 'PRS-9.2-05', 'PRS-9.2-06', 'PRS-9.2-07', 'PRS-9.2-08', 'PRS-9.2-09'], async (service: string, names: readonly string[]) => {
    const text = await busy.metrics(service);
    for (const name of names) expect(sampleOf(text, name), name).not.toBe(-1);
  }));
});
