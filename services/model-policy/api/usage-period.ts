/** `from` and `to` of usage queries: days, both included, UTC. */
import { AgentOsError } from '../../platform/errors.ts';

const DAY_MS = 86_400_000;
const DEFAULT_DAYS = 30;

export interface Period {
  readonly fromMs: number;
  /** Exclusive. */
  readonly toMs: number;
}

/** @throws AgentOsError invalid_request for a day that does not exist, or an end before the start. */
export function usagePeriod(query: { readonly from?: string | undefined; readonly to?: string | undefined }, nowMs: number): Period {
  const toMs = (query.to === undefined ? Math.floor(nowMs / DAY_MS) * DAY_MS : dayOf(query.to, 'to')) + DAY_MS;
  const fromMs = query.from === undefined ? toMs - DEFAULT_DAYS * DAY_MS : dayOf(query.from, 'from');
  if (fromMs >= toMs) throw badDay('from', `from ${query.from ?? ''} is after to ${query.to ?? 'today'}`);
  return { fromMs, toMs };
}

function dayOf(text: string, name: string): number {
  const time = Date.parse(`${text}T00:00:00.000Z`);
  if (Number.isNaN(time) || new Date(time).toISOString().slice(0, 10) !== text) throw badDay(name, `${name} ${text} is no day of the calendar`);
  return time;
}

function badDay(name: string, what: string): AgentOsError {
  return new AgentOsError('invalid_request', { message: `${what}; days are written YYYY-MM-DD.`, details: { errors: [{ path: `/query/${name}`, message: what }] } });
}
