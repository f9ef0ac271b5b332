/** Metrics, alerts and mail beside a node on one machine: which programs, with which arguments, in which order. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { repositoryRoot } from '../repository.ts';
import { SERVICES } from '../services/catalog.ts';
import { clientHost, type Settings } from '../settings.ts';
import { ensureProgram } from './debian-programs.ts';
import { mailServerOf, type MailServer } from './mail-server.ts';
import { ensureMetricsKey } from './metrics-key.ts';
import { OBSERVABILITY_SOURCE, renderObservability, type RenderInput } from './render.ts';
import { startPart, stopStack, type Part, type StartedPart } from './stack.ts';

export interface Observed {
  readonly parts: readonly StartedPart[];
  readonly mail: MailServer;
}

/** What the configuration says of this node; `intervalSeconds` is for tests. */
export function renderInputOf(settings: Settings, metricsKey: string, intervalSeconds?: number): RenderInput {
  const { values } = settings.config;
  const at = (port: number): string => `127.0.0.1:${port}`;
  return {
    folder: path.join(settings.home, 'observability'),
    services: SERVICES.map(({ name }) => ({ service: name, address: `${clientHost(settings)}:${settings.ports[name]}` })),
    tls: settings.tls,
    authorityFile: settings.tls ? process.env['NODE_EXTRA_CA_CERTS'] || null : null,
    metricsKey,
    mail: mailServerOf(settings),
    prometheus: at(values.AGENTOS_PROMETHEUS_PORT), alertmanager: at(values.AGENTOS_ALERTMANAGER_PORT), blackbox: at(values.AGENTOS_BLACKBOX_PORT), nodeExporter: at(values.AGENTOS_NODE_EXPORTER_PORT),
    ...(intervalSeconds === undefined ? {} : { intervalSeconds }),
  };
}

/** Safe to repeat: what runs as it should is left alone. @throws CliError. */
export async function observeUp(settings: Settings, options: { readonly signal: AbortSignal; readonly intervalSeconds?: number }, tell: (detail: string) => void): Promise<Observed> {
  const { signal } = options;
  // Asked before anything is fetched or started: settings that cannot be used must not cost a download.
  const mail = mailServerOf(settings);
  const programs = { prometheus: await ensureProgram('prometheus'), alertmanager: await ensureProgram('alertmanager'), blackbox: await ensureProgram('blackbox'), nodeExporter: await ensureProgram('node-exporter') };
  const input = renderInputOf(settings, await ensureMetricsKey(settings, signal), options.intervalSeconds);
  const before = digestOf(input.folder);
  const rendered = renderObservability(input);
  const configurationChanged = before !== digestOf(input.folder);
  const parts: StartedPart[] = [];
  for (const part of partsOf(settings, mail, programs, rendered, options.intervalSeconds)) {
    parts.push(await startPart(part, { home: settings.home, configurationChanged: configurationChanged && (part.name === 'prometheus' || part.name === 'alertmanager'), signal }));
    tell(`${parts.length} ready: ${part.name}`);
  }
  return { parts, mail };
}

export const observeDown = (settings: Settings): ReturnType<typeof stopStack> => stopStack(settings.home);

interface Programs {
  readonly prometheus: string;
  readonly alertmanager: string;
  readonly blackbox: string;
  readonly nodeExporter: string;
}

function partsOf(settings: Settings, mail: MailServer, programs: Programs, rendered: { readonly prometheus: string; readonly alertmanager: string }, intervalSeconds?: number): readonly Part[] {
  const { values } = settings.config;
  const data = (name: string): string => {
    const folder = path.join(settings.home, 'observability', 'data', name);
    mkdirSync(folder, { recursive: true });
    return folder;
  };
  const listen = (port: number): string => `--web.listen-address=127.0.0.1:${port}`;
  return [
    ...(mail.mailbox === null ? [] : [mailboxPart(mail.mailbox, mail.port)]),
    {
      name: 'alertmanager', file: programs.alertmanager, port: values.AGENTOS_ALERTMANAGER_PORT, readyPath: '/-/ready',
      args: [`--config.file=${path.join(rendered.alertmanager, 'alertmanager.yml')}`, `--storage.path=${data('alertmanager')}`, '--cluster.listen-address=', listen(values.AGENTOS_ALERTMANAGER_PORT)],
    },
    { name: 'blackbox', file: programs.blackbox, port: values.AGENTOS_BLACKBOX_PORT, readyPath: '/-/healthy', args: [`--config.file=${path.join(OBSERVABILITY_SOURCE, 'blackbox', 'blackbox.yml')}`, listen(values.AGENTOS_BLACKBOX_PORT)] },
    { name: 'node-exporter', file: programs.nodeExporter, port: values.AGENTOS_NODE_EXPORTER_PORT, readyPath: '/', args: ['--collector.disable-defaults', '--collector.filesystem', '--collector.meminfo', '--collector.loadavg', '--collector.cpu', listen(values.AGENTOS_NODE_EXPORTER_PORT)] },
    {
      name: 'prometheus', file: programs.prometheus, port: values.AGENTOS_PROMETHEUS_PORT, readyPath: '/-/ready',
      // Prometheus tells Alertmanager again of what fires after this long. Alertmanager was started a moment before, and what
      // it was not there for it would otherwise hear of a minute later.
      args: [`--config.file=${path.join(rendered.prometheus, 'prometheus.yml')}`, `--storage.tsdb.path=${data('prometheus')}`, '--storage.tsdb.retention.time=15d', `--rules.alert.resend-delay=${intervalSeconds === undefined ? 30 : 5}s`, listen(values.AGENTOS_PROMETHEUS_PORT)],
    },
  ];
}

function mailboxPart(folder: string, port: number): Part {
  const built = path.join(repositoryRoot, 'dist', 'scripts', 'lib', 'alerting', 'mailbox-main.js');
  const program = existsSync(built) ? ['--enable-source-maps', built] : ['--import', 'tsx', path.join(repositoryRoot, 'scripts', 'lib', 'alerting', 'mailbox-main.ts')];
  return { name: 'mailbox', file: process.execPath, port, readyPath: null, args: [...program, '--folder', folder, `--port=${port}`] };
}

/** Of the configuration, not of the data. */
function digestOf(folder: string): string {
  const hash = createHash('sha256');
  for (const part of ['prometheus', 'alertmanager']) {
    const root = path.join(folder, part);
    if (!existsSync(root)) continue;
    for (const entry of readdirSync(root, { recursive: true, withFileTypes: true }).filter((each) => each.isFile()).map((each) => path.join(each.parentPath, each.name)).sort()) hash.update(`${entry}\0`).update(readFileSync(entry));
  }
  return hash.digest('hex');
}
