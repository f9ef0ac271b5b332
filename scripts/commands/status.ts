import type { CliServiceStatus, CliStatus } from '../../generated/types/index.ts';
import type { Command, CommandContext } from '../lib/command.ts';
import { formatSeconds } from '../lib/duration.ts';
import { CliError, EXIT } from '../lib/errors.ts';
import { nodeStatus } from '../lib/node-status.ts';
import type { Style } from '../lib/output.ts';
import { loadSettings } from '../lib/settings.ts';

const COLORS: Readonly<Record<CliServiceStatus['state'], Style>> = { ready: 'green', external: 'green', not_ready: 'yellow', down: 'red' };

export const command: Command = {
  name: 'status',
  summary: 'Show what runs: services, Postgres, processes, addresses',
  options: [{ flags: '--wait', summary: 'wait until everything is ready (see --timeout)' }],
  examples: ['agentos status', 'agentos status --json', 'agentos status --wait --timeout 60s'],
  async run(context, _args, options) {
    const settings = loadSettings({ mode: context.global.mode, profile: context.global.profile, asBroughtUp: true });
    let status = await nodeStatus(settings);
    if (options['wait'] === true) status = await waitUntilUp(context, status, () => nodeStatus(settings));
    context.output.result(status, render(context, status));
    return status.up ? EXIT.ok : EXIT.gate;
  },
};

async function waitUntilUp(context: CommandContext, first: CliStatus, look: () => Promise<CliStatus>): Promise<CliStatus> {
  const { setTimeout: sleep } = await import('node:timers/promises');
  const timeoutMs = context.global.timeoutMs ?? 60_000;
  const deadline = Date.now() + timeoutMs;
  let status = first;
  while (!status.up) {
    if (Date.now() > deadline) {
      const down = status.services.filter((service) => service.state === 'down' || service.state === 'not_ready');
      throw new CliError(`not everything is up after ${timeoutMs / 1_000} s`, { exitCode: EXIT.timeout, evidence: down.map((service) => `${service.name}: ${service.detail}`), next: 'agentos up' });
    }
    await sleep(250, undefined, { signal: context.signal });
    status = await look();
  }
  return status;
}

function render({ output }: CommandContext, status: CliStatus): string {
  const rows = status.services.map((service) => [
    service.name,
    service.state.replace('_', ' '),
    service.pid === null ? '-' : String(service.pid),
    service.uptime_seconds === null ? '-' : formatSeconds(service.uptime_seconds),
    service.url ?? '-',
    service.detail === 'ready' ? '' : service.detail,
  ]);
  const head = ['SERVICE', 'STATE', 'PID', 'UP', 'URL', ''];
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]!.length)));
  const line = (cells: readonly string[]): string => cells.map((cell, column) => cell.padEnd(widths[column]!)).join('  ').trimEnd();
  const body = rows.map((row, index) => {
    const state = status.services[index]!.state;
    return line(row).replace(row[1]!, output.style(COLORS[state], row[1]!));
  });
  const next = status.up ? '' : '\n\nnext: npx agentos up';
  return [output.style('bold', line(head)), ...body].join('\n') + next;
}
