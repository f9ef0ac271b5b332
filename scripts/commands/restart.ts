import { bootNode } from '../lib/boot.ts';
import type { Command } from '../lib/command.ts';
import { formatMs } from '../lib/duration.ts';
import { CliError, EXIT } from '../lib/errors.ts';
import { runPhases } from '../lib/phases.ts';
import { stopPostgres } from '../lib/postgres/index.ts';
import { emptyReport, finishReport } from '../lib/reports/node-report.ts';
import { writeReport } from '../lib/reports/report.ts';
import { readSeeded } from '../lib/seeded.ts';
import { findService, logSourceNames, SERVICES, type ServiceEntry } from '../lib/services/catalog.ts';
import { stopService } from '../lib/services/control.ts';
import { loadSettings, type Settings } from '../lib/settings.ts';
import { isStateFolder, withNodeLock } from '../lib/state-folder.ts';

export const command: Command = {
  name: 'restart',
  summary: 'Restart the services, or one of them; runs under way go on afterwards',
  args: [{ usage: '[service]', summary: `one of ${logSourceNames().join(', ')}; all services when left out` }],
  examples: ['agentos restart', 'agentos restart model-policy'],
  async run(context, args) {
    const settings = loadSettings({ mode: context.global.mode, profile: context.global.profile, asBroughtUp: true });
    if (!isStateFolder(settings.home)) throw new CliError('there is no node here to restart', { exitCode: EXIT.gate, evidence: [settings.home], next: 'agentos up' });
    const stop = stopper(settings, args[0]);
    const startedAt = new Date();
    const result = await withNodeLock(settings.home, 'restart', () => runPhases([
      { name: 'stop', title: 'stopping politely', run: stop },
      { name: 'boot', title: 'starting again', run: async (tell) => (await bootNode(settings, { signal: context.signal, readyTimeoutMs: context.global.timeoutMs ?? 45_000 }, tell)).detail },
    ], context.output));
    const report = finishReport({ ...(await emptyReport(settings, 'restart', startedAt)), seeded: readSeeded(settings.home), remediation: ['agentos validate'] }, result);
    const files = writeReport(settings.reportsDir, report);
    if (result.error !== null) {
      if (context.output.json) context.output.result(report, '');
      throw result.error;
    }
    context.output.result(report, `restarted in ${formatMs(report.duration_ms)}\nreport: ${files.markdown}`);
    return EXIT.ok;
  },
};

/** What is to be stopped; `boot` starts whatever does not run. */
function stopper(settings: Settings, word: string | undefined): (tell: (detail: string) => void) => Promise<string> {
  if (word === 'postgres') {
    return async () => ((await stopPostgres(settings.home)) ? 'postgres stopped' : 'postgres was not running');
  }
  const chosen = word === undefined ? SERVICES : [findService(word)].filter((service): service is ServiceEntry => service !== null);
  if (chosen.length === 0) throw new CliError(`there is no service "${word}"`, { exitCode: EXIT.usage, evidence: [`known: ${logSourceNames().join(', ')}`], next: 'agentos restart' });
  return async (tell) => {
    const stopped: string[] = [];
    // In the opposite order of starting: runs that the orchestrator still finishes must not find Model Policy gone.
    for (const service of [...chosen].reverse()) {
      if (!(await stopService(service, settings.home))) continue;
      stopped.push(service.name);
      tell(`stopped ${service.name}`);
    }
    return stopped.length === 0 ? 'nothing was running' : `${stopped.join(', ')} stopped`;
  };
}
