import { AgentOsError } from './errors.ts';

/** The years that RFC 3339 can write and the database can hold. */
const FIRST_MS = Date.parse('0001-01-01T00:00:00.000Z');
const LAST_MS = Date.parse('9999-12-31T23:59:59.999Z');

const PARTS = /^(\d{4}-\d\d-\d\d)T\d\d:\d\d:\d\d(\.\d+)?/;

/** Milliseconds of a timestamp as the contract takes it, which has leap seconds where Date.parse has none: a 60th second is the one after it. */
export function timestampMs(timestamp: string): number {
  const leap = timestamp.replace(/^(\d{4}-\d\d-\d\dT\d\d:\d\d):60/i, '$1:59');
  return Date.parse(leap) + (leap === timestamp ? 0 : 1_000);
}

/** UTC with milliseconds; beyond the years that can be written, the first or last moment that can. */
export function timestampAt(atMs: number): string {
  return new Date(Math.min(Math.max(atMs, FIRST_MS), LAST_MS)).toISOString();
}

/**
 * What a caller wrote, in UTC and as every store reads it, with all digits of its second: the pattern of the contract lets days pass that
 * no month has, offsets and leap seconds that Postgres does not know, and moments that are of year 0 or 10000 once they are in UTC.
 * @param path of the member, for the refusal.
 * @throws AgentOsError invalid_request for a day that is not in the calendar.
 */
export function momentOf(timestamp: string, path: string): string {
  const [, day = '', fraction = '.000'] = PARTS.exec(timestamp.toUpperCase()) ?? [];
  if (!isDay(day)) {
    const message = `${day === '' ? timestamp : day} is no day of the calendar`;
    throw new AgentOsError('invalid_request', { message: `${path.slice(path.lastIndexOf('/') + 1)}: ${message}.`, details: { errors: [{ path, message }] } });
  }
  return timestampAt(timestampMs(timestamp)).replace(/\.\d+/, fraction);
}

function isDay(day: string): boolean {
  const atMs = Date.parse(`${day}T00:00:00.000Z`);
  return !Number.isNaN(atMs) && new Date(atMs).toISOString().startsWith(day);
}
