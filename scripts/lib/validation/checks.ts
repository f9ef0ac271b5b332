/**
 * Named checks with their times. A failed one does not stop the next; one that lacks what it stands on is skipped, and
 * so is each that `signal` leaves no time for.
 */
import type { ReportCheck } from '../reports/report.ts';

export interface Check {
  readonly name: string;
  /** It needs both nodes of the federated profile. */
  readonly betweenNodes?: boolean;
  /** Answers what was seen. Throws with what is wrong. */
  run(): Promise<string>;
}

export class SkippedCheck extends Error {}

export async function runChecks(checks: readonly Check[], signal: AbortSignal, tell: (detail: string) => void): Promise<readonly ReportCheck[]> {
  const results: ReportCheck[] = [];
  for (const check of checks) {
    const started = performance.now();
    const done = (status: ReportCheck['status'], detail: string): void => {
      results.push({ name: check.name, status, duration_ms: Math.round(performance.now() - started), detail });
    };
    try {
      if (signal.aborted) throw new SkippedCheck('there was no time left for it');
      done('passed', await check.run());
    } catch (error) {
      done(error instanceof SkippedCheck ? 'skipped' : 'failed', (error as Error).message);
    }
    const last = results.at(-1)!;
    tell(`${results.filter((row) => row.status === 'passed').length}/${checks.length} ${last.name}${last.status === 'passed' ? '' : ` ${last.status}`}`);
  }
  return results;
}

/** Throws with `message` unless `condition` holds. */
export function must(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message);
}
