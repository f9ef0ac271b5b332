/**
 * Writes the configuration of Prometheus and Alertmanager for a node: what deploy/observability says, with this node's
 * addresses, its mail server, and the key that metrics are read with. What holds a password is for its owner alone.
 */
import { chmodSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parse, stringify } from 'yaml';
import { repositoryRoot } from '../repository.ts';
import type { MailServer } from './mail-server.ts';

export const OBSERVABILITY_SOURCE = path.join(repositoryRoot, 'deploy', 'observability');

export interface ScrapedService {
  readonly service: string;
  /** host:port */
  readonly address: string;
}

export interface RenderInput {
  readonly folder: string;
  readonly services: readonly ScrapedService[];
  /** The services serve HTTPS. */
  readonly tls: boolean;
  /** Who signed their certificate, where the system does not know it (PEM file). */
  readonly authorityFile: string | null;
  readonly metricsKey: string;
  readonly mail: MailServer;
  /** host:port of what stands beside the services. */
  readonly prometheus: string;
  readonly alertmanager: string;
  readonly blackbox: string;
  readonly nodeExporter: string;
  /** Others read it: programs in containers run as accounts of their own. */
  readonly forContainers?: boolean;
  /** Seconds between two readings and evaluations, for tests that do not wait; as deploy/observability says when absent. */
  readonly intervalSeconds?: number;
}

const HEADER = '# Written by agentos observe from deploy/observability; changes belong there.\n';

/** Answers the folders of both. */
export function renderObservability(input: RenderInput): { readonly prometheus: string; readonly alertmanager: string } {
  const { folder } = input;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  chmodSync(folder, 0o700);
  const prometheus = path.join(folder, 'prometheus');
  const alertmanager = path.join(folder, 'alertmanager');
  const write = (file: string, text: string, secret = false): void => {
    mkdirSync(path.dirname(file), { recursive: true });
    // The mode of a file that is there already stays, so it goes first.
    rmSync(file, { force: true });
    writeFileSync(file, text, { mode: secret && input.forContainers !== true ? 0o600 : 0o644 });
  };
  const yaml = (file: string, document: unknown, secret = false): void => write(file, HEADER + stringify(document), secret);

  rmSync(path.join(prometheus, 'rules'), { recursive: true, force: true });
  cpSync(path.join(OBSERVABILITY_SOURCE, 'prometheus', 'rules'), path.join(prometheus, 'rules'), { recursive: true });
  yaml(path.join(prometheus, 'prometheus.yml'), prometheusConfig(input));
  for (const [name, targets] of Object.entries(targetFiles(input))) yaml(path.join(prometheus, 'targets', `${name}.yml`), targets);
  write(path.join(prometheus, 'secrets', 'metrics-key'), input.metricsKey, true);
  if (input.authorityFile !== null) write(path.join(prometheus, 'secrets', 'authority.pem'), readFileSync(input.authorityFile, 'utf8'));

  cpSync(path.join(OBSERVABILITY_SOURCE, 'alertmanager', 'templates'), path.join(alertmanager, 'templates'), { recursive: true });
  yaml(path.join(alertmanager, 'alertmanager.yml'), alertmanagerConfig(input), true);
  return { prometheus, alertmanager };
}

interface PrometheusConfig {
  global: Record<string, string>;
  scrape_configs: { job_name: string; tls_config?: Record<string, string> }[];
}

function prometheusConfig({ authorityFile, intervalSeconds }: RenderInput): PrometheusConfig {
  const config = parse(readFileSync(path.join(OBSERVABILITY_SOURCE, 'prometheus', 'prometheus.yml'), 'utf8')) as PrometheusConfig;
  if (intervalSeconds !== undefined) for (const name of ['scrape_interval', 'scrape_timeout', 'evaluation_interval']) config.global[name] = `${intervalSeconds}s`;
  if (authorityFile !== null) config.scrape_configs.find(({ job_name: name }) => name === 'agentos')!.tls_config = { ca_file: 'secrets/authority.pem' };
  return config;
}

interface Targets {
  readonly targets: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
}

function targetFiles({ services, tls, blackbox, nodeExporter, prometheus, alertmanager }: RenderInput): Readonly<Record<string, readonly Targets[]>> {
  const scheme = tls ? 'https' : 'http';
  return {
    agentos: services.map(({ service, address }) => ({ targets: [address], labels: { service, ...(tls ? { __scheme__: 'https' } : {}) } })),
    ready: services.map(({ service, address }) => ({ targets: [`${scheme}://${address}/readyz`], labels: { service, prober: blackbox } })),
    machine: [{ targets: [nodeExporter] }],
    observability: [{ targets: [prometheus, alertmanager, blackbox] }],
    alertmanager: [{ targets: [alertmanager] }],
  };
}

interface AlertmanagerConfig {
  route: { group_interval: string };
  global: Record<string, string | boolean>;
  receivers: { name: string; email_configs?: { to: string; tls_config?: Record<string, string> }[] }[];
}

/** Alertmanager speaks TLS from the first byte on port 465, and STARTTLS on any other. */
function alertmanagerConfig({ mail, intervalSeconds }: RenderInput): AlertmanagerConfig {
  const config = parse(readFileSync(path.join(OBSERVABILITY_SOURCE, 'alertmanager', 'alertmanager.yml'), 'utf8')) as AlertmanagerConfig;
  Object.assign(config.global, {
    smtp_smarthost: `${mail.host.includes(':') ? `[${mail.host}]` : mail.host}:${mail.port}`,
    smtp_from: mail.from,
    smtp_require_tls: mail.tls === 'starttls',
    ...(mail.user === null ? {} : { smtp_auth_username: mail.user, smtp_auth_password: mail.password! }),
  });
  if (intervalSeconds !== undefined) config.route.group_interval = `${5 * intervalSeconds}s`;
  for (const { email_configs: emails = [] } of config.receivers) for (const email of emails) email.to = mail.to.join(', ');
  return config;
}
