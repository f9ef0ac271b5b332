/** Medians and the table that a benchmark prints: what was measured, the goal, and whether it was reached. */
import Table from 'cli-table3';

export interface Figure {
  /** Stable over releases, e.g. `ratio_to_dbos`. */
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What is aimed at; absent: for information. */
  readonly goal?: { readonly atLeast: number } | { readonly atMost: number };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

export function round(value: number, digits = 2): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}

/** null where there is no goal. */
export function reached({ value, goal }: Figure): boolean | null {
  if (goal === undefined) return null;
  return 'atLeast' in goal ? value >= goal.atLeast : value <= goal.atMost;
}

export function tableOf(figures: readonly Figure[]): string {
  const table = new Table({ head: ['figure', 'measured', 'goal', ''], style: { head: [], border: [] }, colAligns: ['left', 'right', 'right', 'left'] });
  for (const figure of figures) {
    const { goal } = figure;
    const wanted = goal === undefined ? '' : 'atLeast' in goal ? `≥ ${goal.atLeast}` : `≤ ${goal.atMost}`;
    const verdict = reached(figure);
    table.push([figure.name, `${round(figure.value)} ${figure.unit}`.trim(), wanted, verdict === null ? '' : verdict ? 'reached' : 'missed']);
  }
  return table.toString();
}
