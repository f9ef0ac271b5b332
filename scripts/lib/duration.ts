/** Durations as people type them and as they read them. */
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `90` (seconds), `250ms`, `30s`, `5m`, `2h`, `1d` → milliseconds; null for anything else. */
export function parseDurationMs(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text.trim());
  if (match === null) return null;
  return Math.round(Number(match[1]) * (UNIT_MS[match[2] ?? 's'] ?? 1_000));
}

/** A duration (`10m`, so long ago) or an ISO 8601 time → the moment; null for anything else. */
export function parseSince(text: string, now: Date = new Date()): Date | null {
  const agoMs = parseDurationMs(text);
  if (agoMs !== null) return new Date(now.getTime() - agoMs);
  if (!/^\d{4}-\d{2}-\d{2}/.test(text)) return null;
  const moment = new Date(text);
  return Number.isNaN(moment.getTime()) ? null : moment;
}

/** 840 → `840 ms`, 12345 → `12.3 s`, 125000 → `2 m 5 s`. */
export function formatMs(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  return formatSeconds(Math.round(ms / 1_000));
}

/** 59 → `59 s`, 3700 → `1 h 1 m`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} m ${seconds % 60} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} m`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3_600)} h`;
}
