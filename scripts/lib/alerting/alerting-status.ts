/** What a report says of alerting: what is there at this moment, not what was set up once. */
import { CliError } from '../errors.ts';
import { requestText } from '../http.ts';
import type { ReportAlerting, ReportEndpoint } from '../reports/report.ts';
import { clientHost, type Settings } from '../settings.ts';
import { mailServerOf } from './mail-server.ts';
import { alertmanagerUrlOf } from './test-alert.ts';

const TEST_ALERT_COMMAND = 'npx agentos test-alert';

export interface ObservabilityStatus {
  readonly alerting: ReportAlerting;
  /** What answers. */
  readonly endpoints: readonly ReportEndpoint[];
}

interface Addresses {
  readonly Prometheus: string;
  readonly Alertmanager: string;
  readonly Grafana: string;
}

function observabilityAddresses(settings: Pick<Settings, 'config'>): Addresses {
  const { values } = settings.config;
  return {
    Prometheus: values.AGENTOS_PROM_URL?.replace(/\/$/, '') ?? `http://127.0.0.1:${values.AGENTOS_PROMETHEUS_PORT}`,
    Alertmanager: alertmanagerUrlOf(settings).url,
    Grafana: values.AGENTOS_GRAFANA_URL?.replace(/\/$/, '') ?? 'http://127.0.0.1:53000',
  };
}

/** Never throws: a report of a failure is written in any case. */
export async function observabilityStatus(settings: Watched): Promise<ObservabilityStatus> {
  const addresses = observabilityAddresses(settings);
  const [prometheus, alertmanager, grafana, rules, watches] = await Promise.all([
    answers(`${addresses.Prometheus}/-/ready`), answers(`${addresses.Alertmanager}/-/ready`), answers(`${addresses.Grafana}/api/health`), alertRules(addresses.Prometheus), watchesNode(addresses.Prometheus, settings),
  ]);
  const there = { Prometheus: prometheus, Alertmanager: alertmanager, Grafana: grafana };
  return {
    alerting: judge(settings, { prometheus, alertmanager, rules, watches }),
    // What happens to listen on the usual ports may be another node's.
    endpoints: Object.entries(addresses).filter(([name]) => watches && there[name as keyof typeof there]).map(([name, url]) => ({ name, url, port: portOf(url) })),
  };
}

type Watched = Pick<Settings, 'config' | 'home' | 'host' | 'ports'>;

async function watchesNode(prometheus: string, settings: Watched): Promise<boolean> {
  const own = `${clientHost(settings)}:${settings.ports['agent-orchestrator']}`;
  const named = settings.config.values.AGENTOS_PROM_URL !== undefined;
  try {
    const { text } = await requestText(`${prometheus}/api/v1/targets?state=active`, { timeoutMs: 800 });
    const { data } = JSON.parse(text) as { data: { activeTargets: { scrapeUrl: string; labels: Record<string, string> }[] } };
    // One of the user's own may know the node by another name.
    return data.activeTargets.some(({ scrapeUrl, labels }) => new URL(scrapeUrl).host === own || (named && labels['service'] === 'agent-orchestrator'));
  } catch {
    return false;
  }
}

/** Where a person looks, and how to get what is not there (PRS 8.3). */
export function observabilityLines({ config: { values } }: Pick<Settings, 'config'>, endpoints: readonly ReportEndpoint[], orchestratorUrl: string): readonly (readonly [what: string, where: string])[] {
  const urlOf = (name: string): string | undefined => endpoints.find((endpoint) => endpoint.name === name)?.url;
  return [
    ['Metrics', `${orchestratorUrl}/metrics, and so for each service`],
    ['Prometheus', urlOf('Prometheus') ?? 'not running: npx agentos observe up'],
    ['Alertmanager', urlOf('Alertmanager') ?? 'not running: npx agentos observe up'],
    ['Grafana', urlOf('Grafana') ?? 'not running: docs/guides/observing.md (dashboards are in deploy/observability/grafana)'],
    ['Logs', 'npx agentos logs <service> --follow'],
    ['Traces', values.OTEL_EXPORTER_OTLP_ENDPOINT === undefined ? 'not exported: OTEL_EXPORTER_OTLP_ENDPOINT names a collector' : `sent to ${values.OTEL_EXPORTER_OTLP_ENDPOINT}`],
  ];
}

interface Seen {
  readonly prometheus: boolean;
  readonly alertmanager: boolean;
  /** Alerts of ours that Prometheus evaluates. */
  readonly rules: number;
  /** It reads the metrics of this node. */
  readonly watches: boolean;
}

function judge(settings: Pick<Settings, 'config' | 'home'>, { prometheus, alertmanager, rules, watches }: Seen): ReportAlerting {
  try {
    const mail = mailServerOf(settings);
    const where = mail.mailbox === null ? `mail to ${mail.to.join(', ')} by ${mail.host}:${mail.port}` : `mail kept in ${mail.mailbox}, since SMTP_HOST is not set`;
    if (prometheus && alertmanager && watches && rules > 0) return { configured: true, detail: `Prometheus evaluates ${rules} alert rules, Alertmanager delivers: ${where}.`, next: `send a test alert: ${TEST_ALERT_COMMAND}` };
    const missing = [...(!prometheus ? ['Prometheus does not answer'] : !watches ? ['Prometheus does not read its metrics'] : rules > 0 ? [] : ['Prometheus has none of the alert rules']), ...(alertmanager ? [] : ['Alertmanager does not answer'])];
    return { configured: false, detail: `Nothing watches the node: ${missing.join(', ')}. Alerts would go as ${where}.`, next: `npx agentos observe up, then send a test alert: ${TEST_ALERT_COMMAND}` };
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    return { configured: false, detail: `The mail server cannot be used: ${error.message}.`, next: error.next ?? 'correct SMTP_HOST and its like in .agentos.env' };
  }
}

const answers = (url: string): Promise<boolean> => requestText(url, { timeoutMs: 800 }).then(({ status }) => status === 200, () => false);

async function alertRules(prometheus: string): Promise<number> {
  try {
    const { text } = await requestText(`${prometheus}/api/v1/rules?type=alert`, { timeoutMs: 800 });
    const { data } = JSON.parse(text) as { data: { groups: { rules: { name: string }[] }[] } };
    return data.groups.flatMap((group) => group.rules).filter(({ name }) => name.startsWith('AgentOS')).length;
  } catch {
    return 0;
  }
}

function portOf(url: string): number {
  const { port, protocol } = new URL(url);
  return port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port);
}
