/** The phases that make a node what its settings say: those of `agentos up`, and of `agentos redeploy`. */
import { bootNode, type Booted } from './boot.ts';
import type { CommandContext } from './command.ts';
import type { Phase } from './phases.ts';
import { preflight } from './preflight.ts';
import type { Report, ReportCheck } from './reports/report.ts';
import { seedNode } from './seeding.ts';
import { SERVICES } from './services/catalog.ts';
import { stopService } from './services/control.ts';
import type { Settings } from './settings.ts';
import { runChecks } from './validation/checks.ts';
import { smokeChecks } from './validation/smoke.ts';
import { wireNode } from './wiring.ts';

const READY_TIMEOUT_MS = 45_000;

/** What the phases find out, for the report. */
export interface BringUpState {
  warnings: readonly string[];
  checks: readonly ReportCheck[];
  booted: Booted | null;
}

export const newState = (): BringUpState => ({ warnings: [], checks: [], booted: null });

export function bringUpPhases(context: CommandContext, settings: Settings, state: BringUpState): readonly Phase[] {
  const { signal } = context;
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
    {
      name: 'boot',
      title: 'database and services',
      run: async (tell) => {
        state.booted = await boot(context, settings, tell);
        return state.booted.detail;
      },
    },
    { name: 'seed', title: 'tenant, administrators, agents', run: (tell) => seedNode(settings, state.booted!.databaseUrl, tell) },
    { name: 'wire', title: 'services find each other', run: () => wireNode(settings, signal) },
    {
      name: 'validate',
      title: 'a first run',
      run: async (tell) => {
        state.checks = await runChecks(smokeChecks(settings, signal), tell);
        return failOnFailed(state.checks);
      },
    },
  ];
}

/**
 * Puts a new process with today's settings in the place of each service, one after the other, so that the rest of the
 * node is there meanwhile. In the order of starting: who is called is new before who calls it, and runs under way wait
 * for it and go on.
 */
export async function renewServices(context: CommandContext, settings: Settings, tell: (detail: string) => void): Promise<string> {
  const renewed: string[] = [];
  for (const service of SERVICES) {
    await stopService(service, settings.home);
    await boot(context, settings, () => undefined);
    renewed.push(service.name);
    tell(`renewed ${renewed.length}/${SERVICES.length}: ${service.name}`);
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

/** The report is a phase as well; it can only be timed once it is nearly done. */
export function withReportPhase(report: Report, started: number): Report {
  const phase = { name: 'report', status: 'ok' as const, duration_ms: Math.round(performance.now() - started), detail: 'written' };
  return { ...report, phases: [...report.phases, phase] };
}
