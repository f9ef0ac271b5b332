import { sendTestAlert } from '../lib/alerting/test-alert.ts';
import type { Command, CommandContext } from '../lib/command.ts';
import { CliError, EXIT } from '../lib/errors.ts';
import { formatMs } from '../lib/duration.ts';
import { runPhases } from '../lib/phases.ts';
import { emptyReport, finishReport } from '../lib/reports/node-report.ts';
import { writeReport, type Report, type ReportCheck } from '../lib/reports/report.ts';
import { readSeeded } from '../lib/seeded.ts';
import { loadSettings, type Settings } from '../lib/settings.ts';
import { runChecks, type Check } from '../lib/validation/checks.ts';
import { nodeChecks } from '../lib/validation/node-checks.ts';

export const command: Command = {
  name: 'validate',
  summary: 'Check the running node: health, a real run, replay, isolation of tenants',
  options: [{ flags: '--test-alert', summary: 'besides, send a real alert and see whether it arrives' }, { flags: '--isolation', summary: 'make two tenants and ask every operation of the contract whether one sees anything of the other' }],
  examples: ['agentos validate', 'agentos validate --test-alert', 'agentos validate --json > validate.json', 'agentos validate --isolation'],
  async run(context, _args, options) {
    const settings = loadSettings({ mode: context.global.mode, profile: context.global.profile, asBroughtUp: true });
    if (options['isolation'] === true) return (await import('../lib/validation/isolation/command.ts')).validateIsolation(context, settings);
    const startedAt = new Date();
    const timeout = AbortSignal.timeout(context.global.timeoutMs ?? 120_000);
    const signal = AbortSignal.any([context.signal, timeout]);
    let checks: readonly ReportCheck[] = [];
    const result = await runPhases([{
      name: 'validate',
      title: 'checking the running node',
      run: async (tell) => {
        checks = await runChecks([...(await nodeChecks(settings, signal)), ...(options['testAlert'] === true ? [testAlertCheck(settings, signal)] : [])], signal, tell);
        return summarise(checks, timeout.aborted);
      },
    }], context.output);
    const base = { ...(await emptyReport(settings, 'validate', startedAt)), checks: [...checks], seeded: readSeeded(settings.home), remediation: ['npx agentos logs agent-orchestrator --since 5m shows what the services said'] };
    const report = finishReport(base, result);
    const files = writeReport(settings.reportsDir, report);
    context.output.result(report, render(context, report, files.markdown));
    if (result.error !== null) throw result.error;
    return EXIT.ok;
  },
};

/** HLD 9.3. */
function testAlertCheck(settings: Settings, signal: AbortSignal): Check {
  return {
    name: 'a test alert arrives',
    async run() {
      const { via, mailServer, mailFile } = await sendTestAlert(settings, { signal });
      return `by ${via}, taken by ${mailFile ?? mailServer}`;
    },
  };
}

function summarise(checks: readonly ReportCheck[], timedOut: boolean): string {
  const failed = checks.filter((check) => check.status !== 'passed');
  if (failed.length === 0) return `${checks.length} checks passed`;
  throw new CliError(`${failed.length} of ${checks.length} checks did not pass`, {
    exitCode: timedOut ? EXIT.timeout : EXIT.gate,
    evidence: failed.map((check) => `${check.name}: ${check.detail}`),
    next: 'agentos status, then agentos up',
  });
}

function render({ output }: CommandContext, report: Report, file: string): string {
  const marks = { passed: output.style('green', 'passed '), failed: output.style('red', 'failed '), skipped: output.style('yellow', 'skipped') } as const;
  const rows = report.checks.map((check) => `${marks[check.status]}  ${check.name}  (${check.detail}, ${formatMs(check.duration_ms)})`);
  const more = report.mode === 'prod' ? ['prod: nothing was run; npx agentos validate --isolation makes tenants of its own and runs in them'] : [];
  return [...rows, ...more, `report: ${file}`].join('\n');
}
