import { describe, expect, it } from 'vitest';
import { formatMs, formatSeconds, parseDurationMs, parseSince } from './duration.ts';

describe('durations', () => {
  it.each([['90', 90_000], ['250ms', 250], ['30s', 30_000], ['1.5m', 90_000], ['2h', 7_200_000], ['1d', 86_400_000]])('reads %s', (text, ms) => {
    expect(parseDurationMs(text)).toBe(ms);
  });

  it.each(['', 'soon', '-5s', '5 s', '5w', '1e3'])('refuses %j', (text) => {
    expect(parseDurationMs(text)).toBeNull();
  });

  it('reads a moment, or how long ago', () => {
    const now = new Date('2025-03-04T12:00:00Z');
    expect(parseSince('10m', now)?.toISOString()).toBe('2025-03-04T11:50:00.000Z');
    expect(parseSince('2025-03-04T11:00:00Z', now)?.toISOString()).toBe('2025-03-04T11:00:00.000Z');
    expect(parseSince('yesterday', now)).toBeNull();
    expect(parseSince('2025-99-99', now)).toBeNull();
  });

  it('writes them short', () => {
    expect([12, 1_234, 65_000].map(formatMs)).toEqual(['12 ms', '1.2 s', '1 m 5 s']);
    expect([5, 61, 3_700, 90_000].map(formatSeconds)).toEqual(['5 s', '1 m 1 s', '1 h 1 m', '1 d 1 h']);
  });
});
