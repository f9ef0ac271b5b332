import { describe, expect, it } from 'vitest';
import { timestampMs } from './timestamp.ts';

describe('a timestamp', () => {
  it.each([
    ['2025-12-19T22:15:30Z', '2025-12-19T22:15:30.000Z'],
    ['2025-12-19t22:15:30.123456789+02:00', '2025-12-19T20:15:30.123Z'],
    ['2016-12-31T23:59:60Z', '2017-01-01T00:00:00.000Z'],
    ['2016-12-31t23:59:60.5z', '2017-01-01T00:00:00.500Z'],
    ['2017-01-01T00:59:60+01:00', '2017-01-01T00:00:00.000Z'],
  ])('%s', (text, expected) => {
    expect(new Date(timestampMs(text)).toISOString()).toBe(expected);
  });
});
