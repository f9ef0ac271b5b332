/** Windows of budgets, aligned to UTC (C-53). */
import type { BudgetWindow } from '../ports/usage.ts';

const FIXED_MS = { minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const;

export function windowStart(window: BudgetWindow, nowMs: number): number {
  if (window !== 'month') return Math.floor(nowMs / FIXED_MS[window]) * FIXED_MS[window];
  const now = new Date(nowMs);
  return Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1);
}

/** The first millisecond after the window that starts at `startMs`. */
export function windowEnd(window: BudgetWindow, startMs: number): number {
  if (window !== 'month') return startMs + FIXED_MS[window];
  const start = new Date(startMs);
  return Date.UTC(start.getUTCFullYear(), start.getUTCMonth() + 1, 1);
}
