/**
 * `npm run bench:runs`: the figures that the runs of this platform are held to, in one run on one Postgres.
 *
 *   throughput   runs/s at 64 clients beside the raw script and DBOS; one client's whole run and first event
 *   creation     creation with 0, 10,000 and 200,000 stored runs
 *   pickup       an API process and a worker process with an idle queue
 *   streams      delivery to 1,000, 5,000 and 10,000 event streams
 *
 * `npm run bench:runs -- throughput pickup` runs these parts alone; `--without-dbos` installs nothing. What is compared
 * takes turns and is warmed first. `BENCH_ROUNDS`, `BENCH_WINDOW_MS`, `BENCH_WARM_UP_MS` and `BENCH_STREAMS=1000,5000`
 * change the length. A table goes to stdout, everything to `reports/bench-runs-figures.json`.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import path from 'node:path';
import { startTestPostgres, type TestPostgres } from '../../scripts/lib/postgres/index.ts';
import { reached, round, tableOf, type Figure } from './figures.ts';
import { creation } from './part-creation.ts';
import { pickup } from './part-pickup.ts';
import { streams } from './part-streams.ts';
import { throughput, type PartOptions } from './part-throughput.ts';

const flags = process.argv.slice(2);
const options: PartOptions = {
  rounds: Number(process.env['BENCH_ROUNDS'] ?? 4),
  windowMs: Number(process.env['BENCH_WINDOW_MS'] ?? 4_000),
  warmUpMs: Number(process.env['BENCH_WARM_UP_MS'] ?? 3_000),
  dbosFolder: flags.includes('--without-dbos') ? null : path.resolve(process.env['BENCH_DBOS_DIR'] ?? '.agentos/bench/dbos'),
};
const STREAM_COUNTS = (process.env['BENCH_STREAMS'] ?? '1000,5000,10000').split(',').map(Number);
/** Long enough for ten events a stream. */
const STREAM_WINDOW_MS = 10_000;

const PARTS: Readonly<Record<string, (postgres: TestPostgres) => Promise<readonly Figure[]>>> = {
  throughput: (postgres) => throughput(postgres, options),
  creation: (postgres) => creation(postgres, options),
  pickup,
  streams: (postgres) => streams(postgres, STREAM_COUNTS, STREAM_WINDOW_MS),
};

async function main(): Promise<void> {
  const named = flags.filter((flag) => !flag.startsWith('--'));
  const unknown = named.filter((name) => !(name in PARTS));
  if (unknown.length > 0) throw new Error(`There is no part ${unknown.join(', ')}; the parts are ${Object.keys(PARTS).join(', ')}.`);
  const figures: Figure[] = [];
  const loadBefore = loadavg()[0]!;
  const postgres = await startTestPostgres();
  try {
    for (const name of named.length > 0 ? named : Object.keys(PARTS)) figures.push(...(await PARTS[name]!(postgres)));
  } finally {
    await postgres.stop();
  }
  const machine = { cpus: cpus().length, model: cpus()[0]?.model ?? 'unknown', node: process.version, load_before: round(loadBefore) };
  console.log(`\n${machine.cpus} cores, ${machine.model}, Node ${machine.node}, load before ${machine.load_before}\n${tableOf(figures)}`);
  const report = { machine, options: { rounds: options.rounds, window_ms: options.windowMs }, figures: figures.map((figure) => ({ ...figure, reached: reached(figure) })) };
  mkdirSync('reports', { recursive: true });
  writeFileSync('reports/bench-runs-figures.json', `${JSON.stringify(report, null, 2)}\n`);
  console.log('written to reports/bench-runs-figures.json');
}

await main();
