import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { CliObserve } from '../../generated/types/index.ts';
import { mailServerOf } from '../lib/alerting/mail-server.ts';
import { ensureMetricsKey } from '../lib/alerting/metrics-key.ts';
import { observeDown, observeUp, renderInputOf } from '../lib/alerting/observe.ts';
import { renderObservability, type RenderInput } from '../lib/alerting/render.ts';
import { stackState, type PartName } from '../lib/alerting/stack.ts';
import type { Command, CommandContext, OptionValues } from '../lib/command.ts';
import { CliError, EXIT, type ExitCode } from '../lib/errors.ts';
import { loadSettings, type Settings } from '../lib/settings.ts';
import { withNodeLock } from '../lib/state-folder.ts';

const ACTIONS = ['up', 'down', 'status', 'render'] as const;
type Action = (typeof ACTIONS)[number];
const PARTS: readonly PartName[] = ['prometheus', 'alertmanager', 'blackbox', 'node-exporter', 'mailbox'];

export const command: Command = {
  name: 'observe',
  summary: 'Watch the node: Prometheus, Alertmanager and mail, started, stopped, or configured for elsewhere',
  args: [{ usage: '[action]', summary: 'up (default), down, status, or render: only write the configuration' }],
  options: [
    { flags: '--containers <folder>', summary: 'with render: for deploy/observability/compose.observability.yaml' },
    { flags: '--metrics-key <file>', summary: 'with render: a key with the scope metrics:read (default: one is made by the running node)' },
  ],
  examples: ['agentos observe up', 'agentos observe status', 'agentos observe render --containers deploy/observability/rendered', 'agentos observe down'],
  async run(context, args, options) {
    const settings = loadSettings({ mode: context.global.mode, profile: context.global.profile, asBroughtUp: true });
    const action = (args[0] ?? 'up') as Action;
    if (!ACTIONS.includes(action)) throw new CliError(`observe does not know "${action}"`, { exitCode: EXIT.usage, evidence: [`known: ${ACTIONS.join(', ')}`], next: 'agentos observe up' });
    return { up, down, status, render }[action](context, settings, options);
  },
};

async function up(context: CommandContext, settings: Settings): Promise<ExitCode> {
  const signal = limited(context);
  const { mail } = await withNodeLock(settings.home, 'observe up', () => observeUp(settings, { signal }, (detail) => context.output.note(detail)));
  const where = mail.mailbox ?? `${mail.host}:${mail.port}`;
  report(context, settings, 'up', where, path.join(settings.home, 'observability'), [mail.mailbox === null ? `alerts are mailed to ${mail.to.join(', ')} by ${where}` : `alerts are kept in ${where}; set SMTP_HOST and AGENTOS_ALERT_EMAIL to have them mailed`, 'next: npx agentos test-alert']);
  return EXIT.ok;
}

async function down(context: CommandContext, settings: Settings): Promise<ExitCode> {
  const stopped = existsSync(settings.home) ? await withNodeLock(settings.home, 'observe down', () => observeDown(settings)) : [];
  report(context, settings, 'down', null, null, [stopped.length === 0 ? 'nothing was running' : `stopped: ${stopped.join(', ')}`]);
  return EXIT.ok;
}

async function status(context: CommandContext, settings: Settings): Promise<ExitCode> {
  const state = stackState(settings.home);
  report(context, settings, 'status', null, null, []);
  return state.prometheus !== undefined && state.alertmanager !== undefined ? EXIT.ok : EXIT.gate;
}

async function render(context: CommandContext, settings: Settings, options: OptionValues): Promise<ExitCode> {
  const keyFile = options['metricsKey'];
  const key = typeof keyFile === 'string' ? readFileSync(keyFile, 'utf8').trim() : await ensureMetricsKey(settings, limited(context));
  const folder = options['containers'];
  const input = typeof folder === 'string' ? forContainers(renderInputOf(settings, key), path.resolve(folder)) : renderInputOf(settings, key);
  renderObservability(input);
  if (typeof folder === 'string') grafanaPassword(input.folder);
  const mail = mailServerOf(settings);
  report(context, settings, 'render', mail.mailbox ?? `${mail.host}:${mail.port}`, input.folder, [`written to ${input.folder}`]);
  return EXIT.ok;
}

/** Names of services in place of addresses. */
function forContainers(input: RenderInput, folder: string): RenderInput {
  return {
    ...input, folder, forContainers: true,
    services: input.services.map(({ service, address }) => ({ service, address: `nodea-${service}:${address.split(':').at(-1)!}` })),
    prometheus: 'prometheus:59090', alertmanager: 'alertmanager:59093', blackbox: 'blackbox-exporter:59115', nodeExporter: 'node-exporter:59100',
    mail: input.mail.mailbox === null ? input.mail : { ...input.mail, host: 'mailbox', port: 58025 },
  };
}

function grafanaPassword(folder: string): void {
  const file = path.join(folder, 'grafana-password');
  mkdirSync(folder, { recursive: true });
  if (!existsSync(file)) writeFileSync(file, randomBytes(24).toString('base64url'), { mode: 0o644 });
}

function report({ output }: CommandContext, settings: Settings, action: Action, mail: string | null, folder: string | null, remarks: readonly string[]): void {
  const state = stackState(settings.home);
  const parts = PARTS.map((name) => {
    const running = state[name];
    return { name, state: running === undefined ? ('stopped' as const) : ('running' as const), url: running === undefined || name === 'mailbox' ? null : `http://127.0.0.1:${running.port}`, pid: running?.pid ?? null };
  });
  const document: CliObserve = { command: 'observe', action, parts, mail, folder };
  const rows = parts.map((part) => `  ${part.name.padEnd(14)} ${part.state === 'running' ? output.style('green', 'running') : output.style('yellow', 'stopped')}  ${part.url ?? ''}`.trimEnd());
  output.result(document, [...rows, ...remarks].join('\n'));
}

function limited({ signal, global }: CommandContext): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(global.timeoutMs ?? 180_000)]);
}
