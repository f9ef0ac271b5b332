/** The dashboards of a node: how it is, how each tenant is, what runs do, what models do and cost. */
import { stat, table, timeseries, type Dashboard, type Thresholds } from './panels.ts';

const NONE_ALLOWED: Thresholds = [[0, 'green'], [1, 'red']];
const FAILING: Thresholds = [[0, 'green'], [0.01, 'yellow'], [0.05, 'red']];
const UP = { '0': 'down', '1': 'up' };
const UP_COLORS: Thresholds = [[0, 'red'], [1, 'green']];
const TENANT = 'tenant_id=~"$tenant"';

const overview: Dashboard = {
  uid: 'agentos-overview',
  title: 'AgentOS / Overview',
  description: 'Is the node well? Services, errors, latency, the queue, what it stands on.',
  variables: [{ name: 'service', label: 'Service', metric: 'agentos_build_info', of: 'service' }],
  rows: [
    { heading: 'Now' },
    stat('Services', 'Whether each process can be scraped.', ['min by (service) (up{job="agentos", service=~"$service"})', '{{service}}'], { unit: 'none', width: 6, thresholds: UP_COLORS, texts: UP }),
    stat('Ready', 'Whether each service says that it can do its work, asked from outside.', ['min by (service) (probe_success{job="agentos-ready", service=~"$service"})', '{{service}}'], { unit: 'none', width: 6, thresholds: UP_COLORS, texts: { '0': 'not ready', '1': 'ready' } }),
    stat('Alerts', 'Alerts that fire.', ['sum(ALERTS{alertname=~"AgentOS.*", alertstate="firing", severity!="none"}) or vector(0)', ''], { unit: 'none', width: 3, thresholds: NONE_ALLOWED }),
    stat('Waiting runs', 'Runs in the queue. Growing: workers are too few, or stand.', ['agentos:queue_depth:max', ''], { unit: 'short', width: 3, thresholds: [[0, 'green'], [100, 'yellow'], [1000, 'red']] }),
    stat('Running', 'Runs that a worker holds.', ['agentos:active_runs:max', ''], { unit: 'short', width: 3 }),
    stat('Drift', 'Difference between run counters and runs; must read 0.', ['max(agentos_run_counter_drift)', ''], { unit: 'none', width: 3, thresholds: NONE_ALLOWED }),

    { heading: 'Requests' },
    timeseries('Requests', 'Requests a second by service.', [['agentos:http_requests:rate5m{service=~"$service"}', '{{service}}']], { unit: 'reqps' }),
    timeseries('Failing', 'Share of answers that are 5xx. Above 5 % for five minutes somebody is woken.', [['agentos:http_errors:ratio_rate5m{service=~"$service"}', '{{service}}']], { unit: 'percentunit', thresholds: FAILING }),
    timeseries('Latency, p95', 'The slowest twentieth of answers, streams left out.', [['agentos:http_request_duration_seconds:p95_5m{service=~"$service"}', '{{service}}']], { unit: 's', thresholds: [[0, 'green'], [1, 'red']] }),
    timeseries('Refused', 'Answers that are 4xx, by status: 401 and 403 who asks, 429 too much, 400 a broken client.', [['sum by (status) (rate(agentos_http_requests_total{status=~"4..", service=~"$service"}[5m]))', '{{status}}']], { unit: 'reqps', stacked: true }),
    timeseries('Refused credentials', 'Calls refused for who made them. A sudden rise: a client lost its key, or somebody tries keys.', [['sum by (service, reason) (rate(agentos_auth_failures_total{service=~"$service"}[5m]))', '{{service}} {{reason}}']], { unit: 'reqps', stacked: true }),
    timeseries('Open streams', 'Event streams that are open.', [['sum by (service) (agentos_http_open_streams{service=~"$service"})', '{{service}}']], { unit: 'short' }),

    { heading: 'What it stands on' },
    timeseries('Dependencies', '1 while a dependency answers its readiness check.', [['min by (service, dependency) (agentos_dependency_up{service=~"$service"})', '{{service}} → {{dependency}}']], { unit: 'none' }),
    timeseries('Writes', 'Milliseconds of a flush of shared commits, p95: the database as the services feel it.', [['1000 * histogram_quantile(0.95, sum by (writer, le) (rate(agentos_group_commit_duration_seconds_bucket[5m])))', '{{writer}}']], { unit: 'ms' }),
    timeseries('Failed writes, omitted records', 'Both must stay at zero.', [
      ['sum by (writer) (increase(agentos_group_commit_failures_total[5m]))', 'flushes of {{writer}}'],
      ['sum by (what) (increase(agentos_audit_omitted_total[5m]))', 'audit: {{what}}'],
    ], { unit: 'short', thresholds: NONE_ALLOWED }),

    { heading: 'Processes and machines' },
    timeseries('CPU', 'Seconds of processor a second, by process.', [['rate(process_cpu_seconds_total{job="agentos", service=~"$service"}[5m])', '{{service}} {{instance}}']], { unit: 'short' }),
    timeseries('Memory', 'Resident memory by process.', [['process_resident_memory_bytes{job="agentos", service=~"$service"}', '{{service}} {{instance}}']], { unit: 'bytes' }),
    timeseries('Event loop, p99', 'How late the loop of a process is. Every answer waits that long.', [['nodejs_eventloop_lag_p99_seconds{job="agentos", service=~"$service"}', '{{service}} {{instance}}']], { unit: 's', thresholds: [[0, 'green'], [0.5, 'red']] }),
    timeseries('Disks', 'Share of each disk that is free. Postgres stops when its disk is full.', [['node_filesystem_avail_bytes{job="machine", fstype!~"tmpfs|ramfs|overlay|squashfs"} / node_filesystem_size_bytes', '{{instance}} {{mountpoint}}']], { unit: 'percentunit', width: 12 }),
    timeseries('Load', 'Load of the machine over a minute, for each processor.', [['node_load1{job="machine"} / on (instance) count by (instance) (node_cpu_seconds_total{mode="idle"})', '{{instance}}']], { unit: 'short', width: 12 }),
  ],
};

const tenants: Dashboard = {
  uid: 'agentos-tenants',
  title: 'AgentOS / Tenant health',
  description: 'How each tenant is: the busiest ones, those that the configuration names, and all others together as (other).',
  variables: [{ name: 'tenant', label: 'Tenant', metric: 'agentos_tenant_requests_total', of: 'tenant_id' }],
  rows: [
    { heading: 'Every tenant' },
    table('Health', 'Worst first. Failing: over 5 % of its requests or half of its runs fail. Held back: its own limits refuse it, or over 90 % of a budget is used.', 'tenant_id', [
      { title: 'State', expression: `agentos:tenant_health:state{${TENANT}}`, unit: 'none', thresholds: [[0, 'green'], [1, 'yellow'], [2, 'red']], texts: { '0': 'well', '1': 'held back', '2': 'failing' } },
      { title: 'Requests', expression: `agentos:tenant_requests:rate5m{${TENANT}}`, unit: 'reqps' },
      { title: 'Failing', expression: `agentos:tenant_request_failures:ratio_rate5m{${TENANT}}`, unit: 'percentunit', thresholds: FAILING },
      { title: 'Refused', expression: `sum by (tenant_id) (agentos:tenant_refusals:rate5m{${TENANT}})`, unit: 'reqps' },
      { title: 'Runs waiting', expression: `sum by (tenant_id) (agentos:tenant_runs:max{state="queued", ${TENANT}})`, unit: 'short' },
      { title: 'Runs failing', expression: `agentos:tenant_run_failures:ratio_rate5m{${TENANT}}`, unit: 'percentunit', thresholds: [[0, 'green'], [0.1, 'yellow'], [0.5, 'red']] },
      { title: 'Run, p95', expression: `agentos:tenant_run_duration_ms:p95_5m{${TENANT}}`, unit: 'ms' },
      { title: 'Tokens a second', expression: `sum by (tenant_id) (agentos:tenant_tokens:rate5m{${TENANT}})`, unit: 'short' },
      { title: 'Cost, last hour', expression: `agentos:tenant_cost_usd:increase1h{${TENANT}}`, unit: 'currencyUSD' },
      { title: 'Budget used', expression: `max by (tenant_id) (agentos:tenant_budget_used:max{${TENANT}})`, unit: 'percentunit', thresholds: [[0, 'green'], [0.75, 'yellow'], [0.9, 'red']] },
    ]),

    { heading: 'Runs' },
    timeseries('Runs that ended', 'By how they ended.', [[`agentos:tenant_runs_ended:rate5m{${TENANT}}`, '{{tenant_id}} {{status}}']], { unit: 'short', stacked: true }),
    timeseries('Runs under way', 'Queued and running.', [[`agentos:tenant_runs:max{${TENANT}}`, '{{tenant_id}} {{state}}']], { unit: 'short', stacked: true }),
    timeseries('Duration, p95', 'From the creation of a run to its end, as its caller waits.', [[`agentos:tenant_run_duration_ms:p95_5m{${TENANT}}`, '{{tenant_id}}']], { unit: 'ms' }),
    timeseries('Share of the workers', 'Of all runs under way. One tenant far above the others while runs wait: a noisy neighbour.', [[`agentos:tenant_runs:share{${TENANT}}`, '{{tenant_id}}']], { unit: 'percentunit' }),
    timeseries('Failing tool calls', 'Share of the tenant’s tool calls that ended in an error.', [[`agentos:tenant_tool_errors:ratio_rate5m{${TENANT}}`, '{{tenant_id}}']], { unit: 'percentunit', thresholds: [[0, 'green'], [0.2, 'red']] }),
    timeseries('Top tenants', 'The ten that ask most.', [['topk(10, agentos:tenant_requests:rate5m)', '{{tenant_id}}']], { unit: 'reqps', stacked: true }),

    { heading: 'Limits' },
    timeseries('Refused by limits', 'rate: too many creations a second; concurrency: as many runs as it may have; budget: tokens or dollars are used up; policy: content or model not allowed.', [[`agentos:tenant_refusals:rate5m{${TENANT}}`, '{{tenant_id}} {{limit}}']], { unit: 'reqps', stacked: true, width: 12 }),
    timeseries('Budgets', 'Share of each budget that is spent or set aside in the window that is open.', [[`agentos:tenant_budget_used:max{${TENANT}}`, '{{tenant_id}} {{window}}']], { unit: 'percentunit', width: 12, thresholds: [[0, 'green'], [0.9, 'red']] }),

    { heading: 'Models' },
    timeseries('Model calls', 'By what became of them.', [[`agentos:tenant_model_calls:rate5m{${TENANT}}`, '{{tenant_id}} {{outcome}}']], { unit: 'reqps', stacked: true }),
    timeseries('Tokens', 'Tokens a second, in and out.', [[`agentos:tenant_tokens:rate5m{${TENANT}}`, '{{tenant_id}} {{direction}}']], { unit: 'short', stacked: true }),
    timeseries('Model latency, p95', 'Of the tenant’s model calls.', [[`agentos:tenant_model_latency_ms:p95_5m{${TENANT}}`, '{{tenant_id}}']], { unit: 'ms' }),
  ],
};

const runs: Dashboard = {
  uid: 'agentos-runs',
  title: 'AgentOS / Runs',
  description: 'What becomes of runs, where their time goes, and whether workers keep up.',
  rows: [
    { heading: 'Outcome' },
    timeseries('Executions', 'By how they ended: completed, failed, parked (waiting for another run), fenced (taken over), aborted, broken.', [['sum by (end) (rate(agentos_run_count[5m]))', '{{end}}']], { unit: 'short', stacked: true }),
    timeseries('Failing', 'Share of the runs that ended in failure.', [['agentos:run_failures:ratio_rate5m', 'failed']], { unit: 'percentunit', thresholds: [[0, 'green'], [0.2, 'red']] }),
    timeseries('Created', 'Run creations a second by answer: 201 made, 200 repeated, 429 limited, 503 queue full.', [['sum by (status) (rate(agentos_http_requests_total{operation=~"createRun|createRunForAgent|createRunBatch|retryRun"}[5m]))', '{{status}}']], { unit: 'reqps', stacked: true }),

    { heading: 'Time' },
    timeseries('Latency of runs', 'Milliseconds from the claim of a run to its end.', [['agentos:run_latency_ms:p50_5m', 'p50'], ['agentos:run_latency_ms:p95_5m', 'p95']], { unit: 'ms' }),
    timeseries('Latency of steps, p95', 'By kind of step.', [['agentos:step_latency_ms:p95_5m', '{{step_kind}}']], { unit: 'ms' }),
    timeseries('Latency of tools, p95', 'Of a tool call, its retries included.', [['histogram_quantile(0.95, sum by (le) (rate(agentos_tool_latency_ms_bucket[5m])))', 'p95']], { unit: 'ms' }),

    { heading: 'Queue and workers' },
    timeseries('Queue', 'Runs that wait, and runs that a worker holds.', [['agentos:queue_depth:max', 'waiting'], ['agentos:active_runs:max', 'running']], { unit: 'short' }),
    timeseries('Taken over', 'Runs taken from workers that died or froze, a minute.', [['60 * sum(rate(agentos_run_reclaims_total[5m]))', 'a minute']], { unit: 'short' }),
    timeseries('Writes that share a commit', 'Mean size of a flush. More: busier, and cheaper for each run.', [['sum by (writer) (rate(agentos_group_commit_writes_sum[5m])) / sum by (writer) (rate(agentos_group_commit_writes_count[5m]))', '{{writer}}']], { unit: 'short' }),

    { heading: 'Tools and webhooks' },
    timeseries('Failing tool calls', 'Share of the tool calls that ended in an error.', [['agentos:tool_errors:ratio_rate5m', 'failed']], { unit: 'percentunit', thresholds: [[0, 'green'], [0.2, 'red']] }),
    timeseries('Webhook deliveries', 'Attempts by what became of them; failed: given up.', [['sum by (outcome) (rate(agentos_webhook_deliveries_total[5m]))', '{{outcome}}']], { unit: 'reqps', stacked: true }),
    timeseries('Circuits', '0: calls go through. 1: one probe does. 2: none.', [['max by (dependency) (agentos_circuit_state)', '{{dependency}}']], { unit: 'none' }),
    timeseries('Deleted', 'Runs and idempotency records whose time was over, a minute.', [['60 * sum by (kind) (rate(agentos_retention_deleted_total[5m]))', '{{kind}}']], { unit: 'short', width: 12 }),
  ],
};

const models: Dashboard = {
  uid: 'agentos-models',
  title: 'AgentOS / Models and cost',
  description: 'Which backends answer, how fast, how much is spent on what, and what policy refuses.',
  variables: [{ name: 'backend', label: 'Backend', metric: 'agentos_backend_health', of: 'backend' }],
  rows: [
    { heading: 'Backends' },
    stat('Backends', 'Whether each backend answers its probe.', ['min by (backend) (agentos_backend_health{backend=~"$backend"})', '{{backend}}'], { unit: 'none', width: 9, thresholds: UP_COLORS, texts: UP }),
    stat('Circuits', 'Whether calls go to each backend.', ['max by (backend) (agentos_backend_circuit{backend=~"$backend"})', '{{backend}}'], { unit: 'none', width: 9, thresholds: [[0, 'green'], [1, 'yellow'], [2, 'red']], texts: { '0': 'closed', '1': 'half open', '2': 'open' } }),
    stat('Cost, last hour', 'US dollars of calls with a known price.', ['agentos:cost_usd:increase1h', ''], { unit: 'currencyUSD', width: 3 }),
    stat('Configuration', 'Whether the newest configuration of models is in effect.', ['min(agentos_models_config_ok)', ''], { unit: 'none', width: 3, thresholds: UP_COLORS, texts: { '0': 'broken', '1': 'good' } }),

    { heading: 'Calls' },
    timeseries('Calls', 'By what became of them.', [['sum by (outcome) (rate(agentos_model_request_count[5m]))', '{{outcome}}']], { unit: 'reqps', stacked: true }),
    timeseries('Failing', 'Share of calls that failed; refusals by policy and budgets are not in it.', [['agentos:model_errors:ratio_rate5m', 'failed']], { unit: 'percentunit', thresholds: FAILING }),
    timeseries('Where calls go', 'Attempts by backend and model.', [['sum by (backend, model) (rate(agentos_route_distribution{backend=~"$backend"}[5m]))', '{{backend}} {{model}}']], { unit: 'reqps', stacked: true }),
    timeseries('Latency, p95', 'Milliseconds from accepting a call to its answer.', [['agentos:model_latency_ms:p95_5m{backend=~"$backend"}', '{{backend}}']], { unit: 'ms' }),
    timeseries('First piece of a stream, p95', 'Milliseconds until a streamed answer begins.', [['histogram_quantile(0.95, sum by (backend, le) (rate(agentos_model_first_byte_ms_bucket{backend=~"$backend"}[5m])))', '{{backend}}']], { unit: 'ms' }),
    timeseries('Failing attempts', 'Share of the attempts at a backend that failed, those that a fallback mended included.', [['agentos:backend_attempt_errors:ratio_rate5m{backend=~"$backend"}', '{{backend}}']], { unit: 'percentunit', thresholds: FAILING }),

    { heading: 'Spending' },
    timeseries('Tokens', 'Tokens a second by model and direction.', [['sum by (model, direction) (rate(agentos_token_usage{backend=~"$backend"}[5m]))', '{{model}} {{direction}}']], { unit: 'short', stacked: true }),
    timeseries('Cost', 'US dollars an hour by model, as prices of the configuration have it.', [['3600 * sum by (model) (rate(agentos_cost_estimate_usd{backend=~"$backend"}[5m]))', '{{model}}']], { unit: 'currencyUSD', stacked: true }),
    timeseries('Cost by tenant', 'US dollars of the last hour, the ten that spend most.', [['topk(10, agentos:tenant_cost_usd:increase1h)', '{{tenant_id}}']], { unit: 'currencyUSD', stacked: true }),

    { heading: 'Policy' },
    timeseries('Blocked', 'Calls and checks that policy refused, by reason.', [['sum by (reason) (rate(agentos_policy_block_count[5m]))', '{{reason}}']], { unit: 'reqps', stacked: true }),
    timeseries('Redacted', 'Pieces of text that policy took out, by kind.', [['sum by (kind) (rate(agentos_redaction_count[5m]))', '{{kind}}']], { unit: 'short', stacked: true }),
    timeseries('Calls under way', 'By backend.', [['sum by (backend) (agentos_backend_in_flight{backend=~"$backend"})', '{{backend}}']], { unit: 'short' }),
  ],
};

/** By the name of their file. */
export const DASHBOARDS: Readonly<Record<string, Dashboard>> = { overview, tenants, runs, models };
