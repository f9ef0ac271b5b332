/** The phases that make a node, or the two of the federated profile, what their settings say: those of `agentos up` and of `agentos redeploy`. */
import { bootNode, type Booted } from './boot.ts';
import { isFederated } from './federation/files.ts';
import type { CommandContext } from './command.ts';
import { nodesOf, nodesThere, onEach, prefixOf } from './nodes.ts';
import { stopServices } from './nuke.ts';
import { runPhases, type Phase } from './phases.ts';
import { stopPostgres } from './postgres/index.ts';
import { preflight } from './preflight.ts';
import { emptyReport, finishReport } from './reports/node-report.ts';
import { writeReport, type Report, type ReportCheck } from './reports/report.ts';
import { readSeeded } from './seeded.ts';
import { seedNode } from './seeding.ts';
import { SERVICES } from './services/catalog.ts';
import { stopService } from './services/control.ts';
import type { Settings } from './settings.ts';
import { withNodeLock } from './state-folder.ts';
import { runChecks } from './validation/checks.ts';
import { smokeChecks } from './validation/smoke.ts';
import { wireNode } from './wiring.ts';

const READY_TIMEOUT_MS = 45_000;

/** What the phases find out, for the report. */
export interface BringUpState {
  warnings: readonly string[];
  checks: readonly ReportCheck[];
  /** By node, in the order of starting. */
  booted: readonly Booted[];
}

export const newState = (): BringUpState => ({ warnings: [], checks: [], booted: [] });

export function bringUpPhases(context: CommandContext, settings: Settings, state: BringUpState): readonly Phase[] {
  const { signal } = context;
  const nodes = nodesOf(settings);
  return [
    {
      name: 'preflight',
      title: 'Node.js, settings, ports',
      run: async () => {
        const { detail, warnings } = await preflight(settings);
        state.warnings = warnings;
        return detail;
      },
    },
    ...federationPhase(nodes),
    {
      name: 'boot',
      title: 'database and services',
      run: async (tell) => {
        const booted: Booted[] = [];
        const detail = await onEach(nodes, tell, async (node, tellOfNode) => {
          booted.push(await boot(context, node, tellOfNode));
          return booted.at(-1)!.detail;
        });
        state.booted = booted;
        return detail + (await stopOthers(settings, tell));
      },
    },
    { name: 'seed', title: 'tenant, administrators, agents', run: (tell) => onEach(nodes, tell, (node, tellOfNode, index) => seedNode(node, state.booted[index]!.databaseUrl, tellOfNode)) },
    { name: 'wire', title: 'services find each other', run: (tell) => onEach(nodes, tell, (node) => wireNode(node, signal)) },
    {
      name: 'validate',
      title: 'a first run',
      run: async (tell) => {
        state.checks = await runChecks(await smokeChecks(settings, signal), signal, tell);
        return failOnFailed(state.checks);
      },
    },
  ];
}

/** Certificates of nodes that meet others: made where two are brought up together, kept from running out where they are there. */
function federationPhase(nodes: readonly Settings[]): readonly Phase[] {
  if (nodes.length === 1 && !isFederated(nodes[0]!.home)) return [];
  return [{ name: 'federation', title: 'certificates and peers', run: async () => (await import('./federation/local-federation.ts')).prepareFederation(nodes) }];
}

/** A second node that is no longer wanted is stopped; its data stays. */
async function stopOthers(settings: Settings, tell: (detail: string) => void): Promise<string> {
  const wanted = nodesOf(settings).length;
  const stopped: string[] = [];
  for (const node of nodesThere(settings).slice(wanted)) {
    await stopServices(node, stopped, tell);
    if (node.databaseUrl === null && (await stopPostgres(node.home))) stopped.push(`stopped ${prefixOf(node)}postgres`);
  }
  return stopped.length === 0 ? '' : `; ${stopped.join(', ')} (npx agentos up --profile federated starts them again)`;
}

/**
 * Puts a new process with today's settings in the place of each service, one after the other, so that the rest of the
 * node is there meanwhile. In the order of starting: who is called is new before who calls it, and runs under way wait
 * for it and go on.
 */
export async function renewServices(context: CommandContext, settings: Settings, tell: (detail: string) => void): Promise<string> {
  const renewed: string[] = [];
  const nodes = nodesOf(settings);
  for (const node of nodes) {
    for (const service of SERVICES) {
      await stopService(service, node.home);
      await boot(context, node, () => undefined);
      renewed.push(`${prefixOf(node)}${service.name}`);
      tell(`renewed ${renewed.length}/${SERVICES.length * nodes.length}: ${renewed.at(-1)}`);
    }
  }
  return `${renewed.join(', ')} renewed`;
}

function boot(context: CommandContext, settings: Settings, tell: (detail: string) => void): Promise<Booted> {
  return bootNode(settings, { signal: context.signal, readyTimeoutMs: context.global.timeoutMs ?? READY_TIMEOUT_MS }, tell);
}

function failOnFailed(checks: readonly ReportCheck[]): string {
  const failed = checks.filter((check) => check.status === 'failed');
  if (failed.length > 0) throw new Error(failed.map((check) => `${check.name}: ${check.detail}`).join('; '));
  const passed = checks.filter((check) => check.status === 'passed').length;
  return passed === checks.length ? `${passed} checks passed` : `${passed} checks passed, ${checks.length - passed} skipped`;
}

export interface BringUpWork {
  readonly action: Report['action'];
  readonly phases: readonly Phase[];
  /** What to do next, most useful first. */
  readonly remediation: { readonly afterSuccess: readonly string[]; readonly afterFailure: readonly string[] };
}

/**
 * Does the phases under the node's lock and reports them, whatever became of them.
 * @throws CliError what ended them, once its report is written.
 */
export async function bringUp(context: CommandContext, settings: Settings, state: BringUpState, { action, phases, remediation }: BringUpWork): Promise<{ readonly report: Report; readonly file: string }> {
  const { output } = context;
  const startedAt = new Date();
  const result = await withNodeLock(settings.home, action, () => runPhases(phases, output));
  const started = performance.now();
  const next = result.error === null ? remediation.afterSuccess : remediation.afterFailure;
  const base: Report = { ...(await emptyReport(settings, action, startedAt)), checks: [...state.checks], seeded: readSeeded(settings.home), remediation: [...next] };
  const report = withReportPhase(finishReport(base, result), started);
  const { markdown: file } = writeReport(settings.reportsDir, report);
  for (const warning of state.warnings) output.note(`${output.style('yellow', 'warning:')} ${warning}`);
  if (result.error === null) return { report, file };
  if (output.json) output.result(report, '');
  output.note(`report: ${file}`);
  throw result.error;
}

/** The report is a phase as well; it can only be timed once it is nearly done. */
function withReportPhase(report: Report, started: number): Report {
  const phase = { name: 'report', status: 'ok' as const, duration_ms: Math.round(performance.now() - started), detail: 'written' };
  return { ...report, phases: [...report.phases, phase] };
}
