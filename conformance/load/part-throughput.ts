/** Durable runs a second beside the raw script and DBOS, and what one run takes when nobody else is there; interleaved. */
import type pg from 'pg';
import type { TestPostgres } from '../../scripts/lib/postgres/index.ts';
import { freshDatabase, withClient, writingTransactions } from './databases.ts';
import { DbosYardstick } from './dbos.ts';
import { median, type Figure } from './figures.ts';
import { LoadClients, quantile, type LoadResult } from './load-clients.ts';
import { seedDatabase, startNode } from './node-under-test.ts';
import { RawWriter } from './raw-writes.ts';

const CLIENTS = 64;

export interface PartOptions {
  readonly rounds: number;
  readonly windowMs: number;
  readonly warmUpMs: number;
  /** Where DBOS is installed; null leaves it out. */
  readonly dbosFolder: string | null;
}

export async function throughput(postgres: TestPostgres, options: PartOptions): Promise<readonly Figure[]> {
  const url = await freshDatabase(postgres.url, 'bench_throughput');
  seedDatabase(url);
  const dbos = options.dbosFolder === null ? null : await DbosYardstick.start(options.dbosFolder, await freshDatabase(postgres.url, 'bench_dbos'));
  const node = await startNode(url);
  const raw = await RawWriter.connect(url, CLIENTS);
  const clients = new LoadClients({ baseUrl: node.orchestratorUrl, tenantId: 'tnt_demo', agentId: 'agt_demo', connections: CLIENTS });
  try {
    return await withClient(url, (meter) => interleave({ raw, dbos, clients, meter }, options));
  } finally {
    await Promise.all([clients.close(), raw.close(), dbos?.stop()]);
    await node.stop();
  }
}

interface Contenders {
  readonly raw: RawWriter;
  readonly dbos: DbosYardstick | null;
  readonly clients: LoadClients;
  readonly meter: pg.Client;
}

async function interleave({ raw, dbos, clients, meter }: Contenders, { rounds, windowMs, warmUpMs }: PartOptions): Promise<readonly Figure[]> {
  await raw.measure(warmUpMs / 2);
  await dbos?.measure(CLIENTS, warmUpMs);
  await clients.measure(CLIENTS, warmUpMs);
  const rates = { raw: [] as number[], dbos: [] as number[], platform: [] as number[] };
  const commits = { one: [] as number[], many: [] as number[] };
  const alone: LoadResult[] = [];
  const counted = async (count: number, into: number[]): Promise<LoadResult> => {
    const before = await writingTransactions(meter);
    const result = await clients.measure(count, windowMs);
    into.push(((await writingTransactions(meter)) - before) / result.runs);
    return result;
  };
  for (let round = 1; round <= rounds; round += 1) {
    process.stderr.write(`throughput: round ${round} of ${rounds} …\n`);
    rates.raw.push(await raw.measure(windowMs));
    rates.platform.push((await counted(CLIENTS, commits.many)).runsPerSecond);
    if (dbos !== null) rates.dbos.push(await dbos.measure(CLIENTS, windowMs));
    alone.push(await counted(1, commits.one));
  }
  const merged = (key: 'createMs' | 'firstEventMs' | 'wholeMs'): number => quantile(alone.flatMap((result) => result[key]).sort((a, b) => a - b), 0.5);
  // A ratio is taken within its round: the contenders of a round met the same machine.
  const ratio = (to: readonly number[]): number => median(rates.platform.map((rate, index) => rate / to[index]!));
  return [
    { name: 'raw_runs_per_second_64', value: median(rates.raw), unit: '/s' },
    { name: 'runs_per_second_64', value: median(rates.platform), unit: '/s' },
    { name: 'ratio_to_raw', value: ratio(rates.raw), unit: '×', goal: { atLeast: 0.6 } },
    ...(dbos === null ? [] : [
      { name: 'dbos_workflows_per_second_64', value: median(rates.dbos), unit: '/s' },
      { name: 'ratio_to_dbos', value: ratio(rates.dbos), unit: '×', goal: { atLeast: 4 } },
    ]),
    { name: 'whole_run_p50_1', value: merged('wholeMs'), unit: 'ms', goal: { atMost: 5 } },
    { name: 'first_event_p50_1', value: merged('firstEventMs'), unit: 'ms', goal: { atMost: 4 } },
    { name: 'create_p50_1', value: merged('createMs'), unit: 'ms' },
    { name: 'commits_per_run_1', value: median(commits.one), unit: '' },
    { name: 'commits_per_run_64', value: median(commits.many), unit: '' },
  ];
}
