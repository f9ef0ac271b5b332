import { describe, expect, it } from 'vitest';
import { momentOf, timestampAt, timestampMs } from './timestamp.ts';

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

describe('a moment that a caller wrote', () => {
  it.each([
    ['2025-12-19T22:15:30Z', '2025-12-19T22:15:30.000Z'],
    ['2025-12-19t22:15:30.123456789+02:00', '2025-12-19T20:15:30.123456789Z'],
    ['2016-12-31t23:59:60.5z', '2017-01-01T00:00:00.5Z'],
    ['4818-10-06T13:21:53-16:33', '4818-10-07T05:54:53.000Z'],
    ['2024-02-29T00:00:00Z', '2024-02-29T00:00:00.000Z'],
    ['0000-03-01T00:00:00Z', '0001-01-01T00:00:00.000Z'],
    ['9999-12-31T23:59:59-00:01', '9999-12-31T23:59:59.000Z'],
  ])('%s is %s wherever it is read', (text, expected) => {
    expect(momentOf(text, '/query/from')).toBe(expected);
  });

  it.each(['2025-02-29T00:00:00Z', '2025-04-31T12:00:00+02:00', '9018-06-31T06:32:60z'])('%s is refused by the name of its member', (text) => {
    expect(() => momentOf(text, '/query/from')).toThrowError(/^from: \d{4}-\d\d-\d\d is no day of the calendar\.$/);
  });

  it('that is computed stays within the years that can be written', () => {
    expect(timestampAt(8e15)).toBe('9999-12-31T23:59:59.999Z');
    expect(timestampAt(-8e15)).toBe('0001-01-01T00:00:00.000Z');
  });
});
