import { existsSync } from 'node:fs';
import path from 'node:path';
import type { ConformanceReport } from '../../generated/types/index.ts';
import { PORT_CONTRACT_MAJOR } from '../../services/platform/port.ts';
import type { Command, CommandContext, OptionValues } from '../lib/command.ts';
import { listParts, runSuite, type Check, type SuiteResult } from '../lib/conformance/run-suite.ts';
import { formatMs } from '../lib/duration.ts';
import { CliError, EXIT, type ExitCode } from '../lib/errors.ts';
import { agentosVersion } from '../lib/repository.ts';
import { writeConformanceReport } from '../lib/reports/conformance-report.ts';
import { loadSettings } from '../lib/settings.ts';

export const command: Command = {
  name: 'conformance',
  summary: "Prove an adapter of your own against its port's suite",
  options: [
    { flags: '--port <name>', summary: 'the port, e.g. memory; --list names them' },
    { flags: '--adapter <file>', summary: 'JavaScript or TypeScript file whose default export is the factory' },
    { flags: '--report <folder>', summary: 'where the report goes; .agentos/reports when absent' },
    { flags: '--list', summary: 'the ports, and the parts of their suites' },
  ],
  examples: ['agentos conformance --list', 'agentos conformance --port memory --adapter ./my-adapter.js'],
  async run(context, _args, options) {
    if (options['list'] === true) return list(context);
    const { port, file } = await asked(options);
    const startedAt = new Date();
    const result = await runSuite({ port, file }, (check) => tell(context, check));
    return report(context, options, { port, file, startedAt, result });
  },
};

/** @throws CliError usage. */
async function asked(options: OptionValues): Promise<{ readonly port: string; readonly file: string }> {
  const { port, adapter } = options;
  if (typeof port !== 'string' || typeof adapter !== 'string') {
    throw new CliError('--port and --adapter are both needed', { exitCode: EXIT.usage, next: 'agentos conformance --port memory --adapter ./my-adapter.js' });
  }
  const file = path.resolve(adapter);
  if (!existsSync(file)) throw new CliError(`there is no file ${file}`, { exitCode: EXIT.usage, evidence: ['--adapter is read from the folder you are in'], next: 'agentos conformance --help' });
  const { suites } = await import('../lib/conformance/port-names.ts');
  if (!suites.includes(port)) throw new CliError(`there is no port "${port}"`, { exitCode: EXIT.usage, evidence: [`known: ${suites.join(', ')}`], next: 'agentos conformance --list' });
  return { port, file };
}

function tell({ output }: CommandContext, check: Check): void {
  const marks = { passed: output.style('green', '✓'), failed: output.style('red', '✗'), skipped: output.style('yellow', '–') } as const;
  output.note(`${marks[check.status]} ${output.style('dim', `${check.part}:`)} ${check.behaviour}${check.status === 'skipped' && check.detail !== '' ? ` (${check.detail})` : ''}`);
}

function report({ output }: CommandContext, options: OptionValues, run: { readonly port: string; readonly file: string; readonly startedAt: Date; readonly result: SuiteResult }): ExitCode {
  const { port, file, startedAt, result } = run;
  const finishedAt = new Date();
  const count = (status: Check['status']): number => result.checks.filter((check) => check.status === status).length;
  const totals = { passed: count('passed'), failed: count('failed'), skipped: count('skipped') };
  const failed = result.checks.filter((check) => check.status === 'failed');
  const ok = result.unusable === null && failed.length === 0 && totals.passed > 0;
  const document: ConformanceReport = {
    report_version: '1.0', action: 'conformance', outcome: ok ? 'ok' : 'failed', port, contract_major: String(PORT_CONTRACT_MAJOR), adapter: result.adapter, adapter_file: file,
    started_at: startedAt.toISOString(), finished_at: finishedAt.toISOString(), duration_ms: finishedAt.getTime() - startedAt.getTime(), version: agentosVersion, node_version: process.version,
    totals, checks: [...result.checks], error: result.unusable,
    remediation: ok ? [] : [result.unusable === null ? 'Correct the adapter where the checks say so, then run the same command again.' : 'Correct the file as it says above, then run the same command again.'],
  };
  const settings = loadSettings({ asBroughtUp: true });
  const ownFolder = settings.config.values.AGENTOS_REPORTS_DIR === undefined ? path.join(settings.home, 'reports') : settings.reportsDir;
  const files = writeConformanceReport(typeof options['report'] === 'string' ? path.resolve(options['report']) : ownFolder, document);
  if (ok) output.result(document, `${port} · ${result.adapter ?? path.basename(file)}: ${totals.passed} passed, ${totals.skipped} skipped in ${formatMs(document.duration_ms)}\nreport: ${files.markdown}`);
  else if (output.json) output.result(document, '');
  if (result.unusable !== null) throw new CliError(result.unusable, { exitCode: EXIT.usage, evidence: [`report: ${files.markdown}`], next: 'docs/guides/extending.md shows a factory' });
  if (!ok) {
    throw new CliError(`${totals.failed} of ${result.checks.length} checks failed for the port ${port}`, {
      exitCode: EXIT.gate,
      evidence: [...failed.slice(0, 10).map((check) => `${check.part}: ${check.behaviour}`), `report: ${files.markdown}`],
      next: 'correct the adapter where the report says so, then run the same command again',
    });
  }
  return EXIT.ok;
}

async function list({ output }: CommandContext): Promise<ExitCode> {
  const parts = await listParts();
  const ports = [...new Set(parts.map((part) => part.port))];
  const document = { ports: ports.map((port) => ({ port, parts: parts.filter((part) => part.port === port).map(({ part, behaviours }) => ({ part, behaviours })) })) };
  const text = document.ports.map(({ port, parts: rows }) => [output.style('bold', port), ...rows.map(({ part, behaviours }) => `  ${part} (${behaviours.length})`)].join('\n')).join('\n');
  output.result(document, text);
  return EXIT.ok;
}
