/**
 * Work in named phases with their times: live on a terminal, a line each without one, JSON lines with --json.
 * The first failure ends the work; the phases after it are reported as skipped.
 */
import { formatMs } from './duration.ts';
import { CliError, EXIT } from './errors.ts';
import type { Output } from './output.ts';
import type { ReportPhase } from './reports/report.ts';
import { systemError } from './system-errors.ts';

export interface Phase {
  readonly name: string;
  readonly title: string;
  /** Answers what was done, for the line of the phase. `tell` shows a milestone, e.g. `healthy 2/3`. */
  run(tell: (detail: string) => void): Promise<string>;
}

export interface PhasesResult {
  readonly phases: readonly ReportPhase[];
  readonly error: CliError | null;
}

export interface PhaseRenderer {
  started(phase: Phase): void;
  told(phase: Phase, detail: string): void;
  completed(phase: Phase, detail: string, durationMs: number): void;
  failed(phase: Phase, error: CliError, durationMs: number): void;
}

export async function runPhases(phases: readonly Phase[], output: Output): Promise<PhasesResult> {
  if (output.live) return runLive(phases);
  const renderer = output.json ? jsonRenderer(output) : lineRenderer(output);
  return runInOrder(phases, renderer);
}

/** Runs one phase after the other; never throws for a phase's failure. */
async function runInOrder(phases: readonly Phase[], renderer: PhaseRenderer): Promise<PhasesResult> {
  const done: ReportPhase[] = [];
  let error: CliError | null = null;
  for (const phase of phases) {
    if (error !== null) {
      done.push({ name: phase.name, status: 'skipped', duration_ms: 0, detail: 'an earlier phase failed' });
      continue;
    }
    const started = performance.now();
    const elapsed = (): number => Math.round(performance.now() - started);
    renderer.started(phase);
    try {
      const detail = await phase.run((text) => renderer.told(phase, text));
      done.push({ name: phase.name, status: 'ok', duration_ms: elapsed(), detail });
      renderer.completed(phase, detail, elapsed());
    } catch (cause) {
      error = asCliError(cause);
      done.push({ name: phase.name, status: 'failed', duration_ms: elapsed(), detail: error.message });
      renderer.failed(phase, error, elapsed());
    }
  }
  return { phases: done, error };
}

/** Whatever was thrown as an error that a person can act on. */
export function asCliError(cause: unknown): CliError {
  if (cause instanceof CliError) return cause;
  const { name, message, stack } = cause as Error;
  if (name === 'AbortError') return new CliError('interrupted', { exitCode: EXIT.interrupted, next: 'run the same command again: it goes on where it stopped' });
  const refused = systemError(cause);
  if (refused !== null) return refused;
  return new CliError(message ?? String(cause), {
    exitCode: EXIT.gate,
    evidence: (stack ?? '').split('\n').slice(1, 4).map((line) => line.trim()),
    next: 'agentos status',
    cause,
  });
}

function lineRenderer(output: Output): PhaseRenderer {
  return {
    started: (phase) => output.note(`${phase.name.padEnd(10)} ${phase.title} ...`),
    told: (phase, detail) => output.note(`${phase.name.padEnd(10)} ${detail}`),
    completed: (phase, detail, durationMs) => output.note(`${phase.name.padEnd(10)} ${output.style('green', 'ok')} ${detail} (${formatMs(durationMs)})`),
    failed: (phase, error, durationMs) => output.note(`${phase.name.padEnd(10)} ${output.style('red', 'failed')} ${error.message} (${formatMs(durationMs)})`),
  };
}

function jsonRenderer(output: Output): PhaseRenderer {
  const send = (event: string, phase: Phase, detail: string, durationMs?: number): void =>
    output.progress({ event, time: new Date().toISOString(), phase: phase.name, detail, ...(durationMs === undefined ? {} : { duration_ms: durationMs }) });
  return {
    started: (phase) => send('phase.started', phase, phase.title),
    told: (phase, detail) => send('phase.progress', phase, detail),
    completed: (phase, detail, durationMs) => send('phase.completed', phase, detail, durationMs),
    failed: (phase, error, durationMs) => send('phase.failed', phase, error.message, durationMs),
  };
}

/** listr2 draws the list; it is loaded only here because a plain `agentos status` must answer at once. */
async function runLive(phases: readonly Phase[]): Promise<PhasesResult> {
  const { Listr, ListrLogger, ProcessOutput } = await import('listr2');
  // Progress goes to stderr, so that the result can be piped; listr2 draws on what it takes for stdout.
  const logger = new ListrLogger({ useIcons: true, processOutput: new ProcessOutput(process.stderr, process.stderr) });
  const done: ReportPhase[] = [];
  const failure: { error: CliError | null } = { error: null };
  const tasks = new Listr(
    phases.map((phase) => ({
      title: `${phase.name}: ${phase.title}`,
      skip: () => failure.error !== null,
      task: async (_context: unknown, task: { title: string; output: string }) => {
        const renderer: PhaseRenderer = {
          started: () => undefined,
          told: (_phase, detail) => { task.output = detail; },
          completed: (_phase, detail, durationMs) => { task.title = `${phase.name}: ${detail} (${formatMs(durationMs)})`; },
          failed: (_phase, error, durationMs) => { task.title = `${phase.name}: ${error.message} (${formatMs(durationMs)})`; },
        };
        const result = await runInOrder([phase], renderer);
        done.push(...result.phases);
        if (result.error !== null) {
          failure.error = result.error;
          throw result.error;
        }
      },
    })),
    { exitOnError: false, registerSignalListeners: false, fallbackRendererCondition: false, rendererOptions: { logger, showErrorMessage: false, collapseErrors: false } },
  );
  await tasks.run();
  for (const phase of phases.slice(done.length)) done.push({ name: phase.name, status: 'skipped', duration_ms: 0, detail: 'an earlier phase failed' });
  return { phases: done, error: failure.error };
}
