/** `agentos validate --isolation`: the walk, its document (specs/schemas/cli/cli-isolation.schema.json), and what people read. */
import type { CommandContext } from '../../command.ts';
import { CliError, EXIT, type ExitCode } from '../../errors.ts';
import { runPhases } from '../../phases.ts';
import type { Settings } from '../../settings.ts';
import { checkIsolation, summarise, type IsolationReport } from './isolation.ts';
import { runningNode } from './settings-node.ts';

/** What a walk of every operation may take on a machine that has other things to do. */
const TIMEOUT_MS = 300_000;

/** @throws CliError gate where anything leaked or was not looked at. */
export async function validateIsolation(context: CommandContext, settings: Settings): Promise<ExitCode> {
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(context.global.timeoutMs ?? TIMEOUT_MS)]);
  const reports: IsolationReport[] = [];
  const result = await runPhases([{
    name: 'isolation',
    title: 'asking every operation as another tenant',
    run: async (tell) => {
      const report = await checkIsolation(runningNode(settings, signal), tell);
      reports.push(report);
      return judge(report);
    },
  }], context.output);
  const [report] = reports;
  if (report !== undefined) context.output.result(documentOf(report), textOf(context, report));
  if (result.error !== null) throw result.error;
  return EXIT.ok;
}

function judge(report: IsolationReport): string {
  try {
    return summarise(report);
  } catch (error) {
    const evidence = [...report.uncovered.map((name) => `${name}: not covered`), ...[...report.leaks, ...report.failures].map(({ service, operation, what }) => `${service} ${operation}: ${what}`)];
    throw new CliError('the tenants are not kept apart, or not everything could be looked at', { exitCode: EXIT.gate, evidence: evidence.slice(0, 40), next: 'agentos logs --since 5m, then report it as SECURITY.md says', cause: error });
  }
}

export function documentOf({ tenants, operations, uncovered, leaks, failures }: IsolationReport): Readonly<Record<string, unknown>> {
  return { command: 'validate', isolation: true, isolated: leaks.length + failures.length + uncovered.length === 0, tenants, operations, uncovered, leaks };
}

function textOf({ output }: CommandContext, report: IsolationReport): string {
  const marks = { isolated: output.style('green', 'isolated'), open: output.style('dim', 'open    '), leaked: output.style('red', 'leaked  '), failed: output.style('red', 'failed  ') } as const;
  const rows = report.operations.map(({ service, operation, checks, outcome }) => `${marks[outcome]}  ${service} ${operation}  (${checks} checks)`);
  return [...rows, `tenants made and removed: ${report.tenants.join(', ')}`].join('\n');
}
