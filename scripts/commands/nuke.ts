import type { Command } from '../lib/command.ts';
import { CliError, EXIT } from '../lib/errors.ts';
import { planNuke, type NukePlan } from '../lib/nuke.ts';
import { runPhases } from '../lib/phases.ts';
import { emptyReport, finishReport, refusalReport } from '../lib/reports/node-report.ts';
import { writeReport } from '../lib/reports/report.ts';
import { loadSettings } from '../lib/settings.ts';
import { withNodeLock } from '../lib/state-folder.ts';

export const command: Command = {
  name: 'nuke',
  summary: 'Stop the node; with --hard remove its data too',
  options: [
    { flags: '--yes-really', summary: 'without it nothing is touched' },
    { flags: '--hard', summary: 'also remove database, logs, state and secrets' },
  ],
  examples: ['agentos nuke --yes-really', 'agentos nuke --hard --yes-really'],
  async run(context, _args, options) {
    const settings = loadSettings({ mode: context.global.mode, profile: context.global.profile, asBroughtUp: true });
    const hard = options['hard'] === true;
    const startedAt = new Date();
    const refuse = (error: CliError): CliError => {
      const files = writeReport(settings.reportsDir, refusalReport(settings, 'nuke', startedAt, error));
      context.output.note(`report: ${files.markdown}`);
      return error;
    };
    if (!context.global.yesReally) {
      throw refuse(new CliError(`nuke ${hard ? 'stops the node and removes its data' : 'stops the node'}; nothing was touched`, {
        exitCode: EXIT.usage,
        evidence: [`state folder: ${settings.home}`],
        next: `agentos nuke${hard ? ' --hard' : ''} --yes-really`,
      }));
    }
    let plan: NukePlan;
    try {
      plan = planNuke(settings, hard);
    } catch (error) {
      throw error instanceof CliError ? refuse(error) : error;
    }
    const removed: string[] = [];
    const work = () => runPhases(plan.phases(removed), context.output);
    const result = plan.nothingThere ? await work() : await withNodeLock(settings.home, 'nuke', work);
    const report = finishReport({ ...(await emptyReport(settings, 'nuke', startedAt)), removed, remediation: remediation(hard) }, result);
    const files = writeReport(settings.reportsDir, report);
    if (result.error !== null) {
      if (context.output.json) context.output.result(report, '');
      throw result.error;
    }
    context.output.result(report, [...removed, `report: ${files.markdown}`, 'next: npx agentos up'].join('\n'));
    return EXIT.ok;
  },
};

function remediation(hard: boolean): string[] {
  return hard ? ['npx agentos up makes a fresh, empty node'] : ['npx agentos up starts the node again with its data', 'npx agentos nuke --hard --yes-really removes the data'];
}
