import { bootNode } from '../lib/boot.ts';
import type { Command } from '../lib/command.ts';
import { formatMs } from '../lib/duration.ts';
import { CliError, EXIT } from '../lib/errors.ts';
import { signingKeyFile } from '../lib/identity.ts';
import { runPhases } from '../lib/phases.ts';
import { stopPostgres } from '../lib/postgres/index.ts';
import { emptyReport, finishReport } from '../lib/reports/node-report.ts';
import { writeReport } from '../lib/reports/report.ts';
import { readSeeded } from '../lib/seeded.ts';
import { nodesOf, onEach, prefixOf, sourceNames, splitNode } from '../lib/nodes.ts';
import { findService, logSourceNames, SERVICES, type ServiceEntry } from '../lib/services/catalog.ts';
import { stopService } from '../lib/services/control.ts';
import { adoptLostServices } from '../lib/services/lost.ts';
import { checkMode, loadSettings, serviceEnvironment, type Settings } from '../lib/settings.ts';
import { isStateFolder, withNodeLock } from '../lib/state-folder.ts';

export const command: Command = {
  name: 'restart',
  summary: 'Restart the services, or one of them; runs under way go on afterwards',
  args: [{ usage: '[service]', summary: `one of ${logSourceNames().join(', ')}, or node-b/<one of them>; all services when left out` }],
  examples: ['agentos restart', 'agentos restart model-policy'],
  async run(context, args) {
    const settings = loadSettings({ mode: context.global.mode, profile: context.global.profile, asBroughtUp: true });
    if (!isStateFolder(settings.home)) throw new CliError('there is no node here to restart', { exitCode: EXIT.gate, evidence: [settings.home], next: 'agentos up' });
    const stop = stopper(settings, args[0]);
    const startedAt = new Date();
    const result = await withNodeLock(settings.home, 'restart', () => runPhases([
      { name: 'preflight', title: 'settings', run: async () => checkSettings(nodesOf(settings)) },
      { name: 'stop', title: 'stopping politely', run: stop },
      { name: 'boot', title: 'starting again', run: (tell) => onEach(nodesOf(settings), tell, async (node, tellOfNode) => (await bootNode(node, { signal: context.signal, readyTimeoutMs: context.global.timeoutMs ?? 45_000 }, tellOfNode)).detail) },
    ], context.output));
    const report = finishReport({ ...(await emptyReport(settings, 'restart', startedAt)), seeded: readSeeded(settings.home), remediation: ['npx agentos validate'] }, result);
    const files = writeReport(settings.reportsDir, report);
    if (result.error !== null) {
      if (context.output.json) context.output.result(report, '');
      throw result.error;
    }
    context.output.result(report, `restarted in ${formatMs(report.duration_ms)}\nreport: ${files.markdown}`);
    return EXIT.ok;
  },
};

/** Before anything is stopped: what would refuse to start again had better go on. @throws CliError configuration. */
function checkSettings(nodes: readonly Settings[]): string {
  for (const node of nodes) checkMode(node, serviceEnvironment(node, { databaseUrlFile: null, signingKeyFile: signingKeyFile(node.home) }));
  return `mode ${nodes[0]!.mode}`;
}

/** What is to be stopped; `boot` starts whatever does not run. */
function stopper(settings: Settings, word: string | undefined): (tell: (detail: string) => void) => Promise<string> {
  const chosen = chosenOf(nodesOf(settings), word);
  return async (tell) => {
    const stopped: string[] = [];
    for (const { node, services, postgres } of chosen) {
      adoptLostServices(node.home);
      // In the opposite order of starting: runs that the orchestrator still finishes must not find Model Policy gone.
      for (const service of [...services].reverse()) {
        if (!(await stopService(service, node.home))) continue;
        stopped.push(`${prefixOf(node)}${service.name}`);
        tell(`stopped ${stopped.at(-1)}`);
      }
      if (postgres && (await stopPostgres(node.home))) stopped.push(`${prefixOf(node)}postgres`);
    }
    return stopped.length === 0 ? 'nothing was running' : `${stopped.join(', ')} stopped`;
  };
}

interface Chosen {
  readonly node: Settings;
  readonly services: readonly ServiceEntry[];
  readonly postgres: boolean;
}

/** `model-policy`, `node-b/model-policy`, `node-b`: whatever is left out is meant whole. @throws CliError usage. */
function chosenOf(nodes: readonly Settings[], word: string | undefined): readonly Chosen[] {
  if (word === undefined) return nodes.map((node) => ({ node, services: SERVICES, postgres: false }));
  const { node, name } = splitNode(nodes, word);
  if (name === '') return [{ node, services: SERVICES, postgres: false }];
  const service = findService(name);
  if (service === null && name !== 'postgres') throw new CliError(`there is no service "${word}"`, { exitCode: EXIT.usage, evidence: [`known: ${sourceNames(nodes).join(', ')}`], next: 'agentos restart' });
  return [{ node, services: service === null ? [] : [service], postgres: service === null }];
}
