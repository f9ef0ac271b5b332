/** From what was measured to what is told: a row a cell, and the figures that the gateway is held to. */
import Table from 'cli-table3';
import { median, round, type Figure } from '../figures.ts';
import { quantile } from '../load-clients.ts';
import type { Cell, Round } from './cells.ts';
import type { ContenderName } from './contenders.ts';

export interface Row {
  readonly contender: ContenderName;
  readonly answer: 'whole' | 'stream';
  readonly connections: number;
  readonly requests: number;
  readonly failures: number;
  readonly requests_per_second: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  /** To the same requests without a gateway; null where those were not measured. */
  readonly added_p50_ms: number | null;
  readonly first_byte_p50_ms: number | null;
  readonly added_first_byte_ms: number | null;
  readonly added_first_content_ms: number | null;
  readonly cpu_ms_gateway: number | null;
  readonly cpu_ms_postgres: number | null;
  /** Medians of the ratios within a round. */
  readonly rate_to_portkey: number | null;
  readonly rate_to_bare: number | null;
  readonly cpu_to_portkey: number | null;
  readonly cpu_to_bare: number | null;
}

type TimesKey = 'wholeMs' | 'firstByteMs' | 'firstContentMs';

export function rowsOf(cells: readonly Cell[]): readonly Row[] {
  return cells.map((cell) => {
    const beside = (name: ContenderName): Cell | undefined => cells.find((other) => other.contender === name && other.streamed === cell.streamed && other.connections === cell.connections);
    const [direct, bare, portkey] = [beside('direct'), beside('bare'), beside('portkey')];
    const requests = cell.rounds.reduce((sum, { times }) => sum + times.wholeMs.length, 0);
    const added = (key: TimesKey): number | null => (direct === undefined || direct === cell ? null : round(median(cell.rounds.map((each, index) => p50(each, key) - p50(direct.rounds[index]!, key))), 3));
    return {
      contender: cell.contender, answer: cell.streamed ? 'stream' : 'whole', connections: cell.connections, requests,
      failures: cell.rounds.reduce((sum, { times }) => sum + times.failures.length, 0),
      requests_per_second: round(median(cell.rounds.map(rateOf)), 1),
      p50_ms: round(quantile(sorted(cell, 'wholeMs'), 0.5), 3), p99_ms: round(quantile(sorted(cell, 'wholeMs'), 0.99), 3),
      added_p50_ms: added('wholeMs'),
      first_byte_p50_ms: cell.streamed ? round(quantile(sorted(cell, 'firstByteMs'), 0.5), 3) : null,
      added_first_byte_ms: cell.streamed ? added('firstByteMs') : null,
      added_first_content_ms: cell.streamed ? added('firstContentMs') : null,
      cpu_ms_gateway: cpuOf(cell, 'gatewayCpu', requests), cpu_ms_postgres: cpuOf(cell, 'postgresCpu', requests),
      rate_to_portkey: ratio(cell, portkey, rateOf), rate_to_bare: ratio(cell, bare, rateOf),
      cpu_to_portkey: cpuRatio(cell, portkey), cpu_to_bare: cpuRatio(cell, bare),
    };
  });
}

const rateOf = ({ times }: Round): number => times.wholeMs.length / (times.elapsedMs / 1_000);

function p50({ times }: Round, key: TimesKey): number {
  return quantile(Array.from(times[key]).sort((a, b) => a - b), 0.5);
}

function sorted({ rounds }: Cell, key: TimesKey): readonly number[] {
  return rounds.flatMap(({ times }) => Array.from(times[key])).sort((a, b) => a - b);
}

/** Milliseconds of CPU a request. */
function cpuOf({ rounds }: Cell, key: 'gatewayCpu' | 'postgresCpu', requests: number): number | null {
  const seconds = rounds.reduce((sum, each) => sum + each[key], 0);
  return Number.isNaN(seconds) ? null : round((seconds * 1_000) / requests, 3);
}

function ratio(cell: Cell, to: Cell | undefined, of: (round: Round) => number): number | null {
  return to === undefined || to === cell ? null : round(median(cell.rounds.map((each, index) => of(each) / of(to.rounds[index]!))), 2);
}

/** Over all rounds: the system counts CPU in hundredths of a second, too coarse for one round. */
function cpuRatio(cell: Cell, to: Cell | undefined): number | null {
  if (to === undefined || to === cell) return null;
  const each = (of: Cell): number => of.rounds.reduce((sum, { gatewayCpu }) => sum + gatewayCpu, 0) / of.rounds.reduce((sum, { times }) => sum + times.wholeMs.length, 0);
  const value = each(cell) / each(to);
  return Number.isFinite(value) ? round(value, 2) : null;
}

/** What the gateway with everything on is held to: its rate at 16 connections, what it adds at one. */
export function goalsOf(rows: readonly Row[]): readonly Figure[] {
  const find = (answer: Row['answer'], connections: number): Row | undefined => rows.find((row) => row.contender === 'on' && row.answer === answer && row.connections === connections);
  const figures: (Omit<Figure, 'value'> & { readonly value: number | null | undefined })[] = [
    { name: 'on_rate_to_portkey_16', value: find('whole', 16)?.rate_to_portkey, unit: '×', goal: { atLeast: 5 } },
    { name: 'on_rate_to_bare_16', value: find('whole', 16)?.rate_to_bare, unit: '×', goal: { atLeast: 0.5 } },
    { name: 'on_added_p50_1', value: find('whole', 1)?.added_p50_ms, unit: 'ms', goal: { atMost: 0.4 } },
    { name: 'on_added_first_byte_1', value: find('stream', 1)?.added_first_byte_ms, unit: 'ms', goal: { atMost: 2 } },
    { name: 'failures', value: rows.reduce((sum, row) => sum + row.failures, 0), unit: '', goal: { atMost: 0 } },
  ];
  return figures.filter((figure): figure is Figure => typeof figure.value === 'number');
}

export function tableOfRows(rows: readonly Row[], answer: Row['answer']): string {
  const head = ['connections', 'contender', 'requests/s', 'p50 ms', 'p99 ms', 'added p50', ...(answer === 'stream' ? ['added first byte', 'added first text'] : []), 'CPU ms', 'Postgres ms', 'rate: Portkey', 'bare', 'CPU: Portkey', 'bare'];
  const table = new Table({ head, style: { head: [], border: [] }, colAligns: head.map((_, index) => (index === 1 ? 'left' : 'right')) });
  const shown = (value: number | null, unit = ''): string => (value === null ? '' : `${value}${unit}`);
  for (const row of rows.filter((each) => each.answer === answer)) {
    table.push([
      row.connections, row.contender, row.requests_per_second, row.p50_ms, row.p99_ms, shown(row.added_p50_ms),
      ...(answer === 'stream' ? [shown(row.added_first_byte_ms), shown(row.added_first_content_ms)] : []),
      shown(row.cpu_ms_gateway), shown(row.cpu_ms_postgres), shown(row.rate_to_portkey, ' ×'), shown(row.rate_to_bare, ' ×'), shown(row.cpu_to_portkey, ' ×'), shown(row.cpu_to_bare, ' ×'),
    ]);
  }
  return table.toString();
}
