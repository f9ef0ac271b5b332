/** The Appendix H block of what `up` seeded, remembered for later reports. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { ReportSeeded } from './reports/report.ts';

function file(home: string): string {
  return path.join(home, 'state', 'seeded.json');
}

/** null when nothing was seeded. */
export function readSeeded(home: string): ReportSeeded | null {
  try {
    return (JSON.parse(readFileSync(file(home), 'utf8')) as { seeded: ReportSeeded }).seeded;
  } catch {
    return null;
  }
}

export function writeSeeded(home: string, seeded: ReportSeeded): void {
  writeFileSync(file(home), `${JSON.stringify({ seeded }, null, 2)}\n`);
}
