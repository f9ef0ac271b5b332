/**
 * `npm run bench`: what a run costs, beside the least that its durability could cost.
 *
 * One run on one Postgres: (a) raw writes through pg, 16 clients; (b) the platform over HTTP at 1, 16 and 64 clients,
 * the built-in model behind Model Policy. Both are warmed and interleaved over several rounds, so that a slow moment
 * of the machine falls on both. Then a node of its own behind a counting proxy gives the round trips a run.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import pg from 'pg';
import { startTestPostgres } from '../../scripts/lib/postgres/index.ts';
import { LoadClients, quantile, type LoadResult } from './load-clients.ts';
import { seedDatabase, startNode, type NodeUnderTest } from './node-under-test.ts';
import { cpuSeconds } from './process-cost.ts';
import { RawWriter } from './raw-writes.ts';
import { countRoundTrips } from './round-trip-counter.ts';

const RAW_CLIENTS = 16;
const PLATFORM_CLIENTS = [1, 16, 64] as const;
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 4);
const WINDOW_MS = Number(process.env['BENCH_WINDOW_MS'] ?? 4_000);
const WARM_UP_MS = Number(process.env['BENCH_WARM_UP_MS'] ?? 4_000);
const AGENT = 'agt_demo';
const TENANT = 'tnt_demo';

interface Cost {
  readonly orchestrator: number;
  readonly modelPolicy: number;
  readonly postgres: number;
}

interface Level {
  readonly clients: number;
  readonly results: LoadResult[];
  readonly commits: number[];
  readonly cpu: Cost[];
}

async function main(): Promise<void> {
  const postgres = await startTestPostgres();
  try {
    seedDatabase(postgres.url);
    const node = await startNode(postgres.url);
    const { raw, levels } = await interleave(postgres.url, postgres.pid, node).finally(() => node.stop());
    const roundTrips = await measureRoundTrips(postgres.url);
    print(raw, levels, roundTrips);
  } finally {
    await postgres.stop();
  }
}

async function interleave(databaseUrl: string, postgresPid: number, node: NodeUnderTest): Promise<{ raw: number[]; levels: Level[] }> {
  const rawWriter = await RawWriter.connect(databaseUrl, RAW_CLIENTS);
  const clients = new LoadClients({ baseUrl: node.orchestratorUrl, tenantId: TENANT, agentId: AGENT, connections: 64 });
  const meter = new pg.Client({ connectionString: databaseUrl });
  await meter.connect();
  const raw: number[] = [];
  const levels: Level[] = PLATFORM_CLIENTS.map((count) => ({ clients: count, results: [], commits: [], cpu: [] }));
  try {
    process.stderr.write(`warming up for ${(2 * WARM_UP_MS) / 1_000} s …\n`);
    await rawWriter.measure(WARM_UP_MS);
    await clients.measure(16, WARM_UP_MS);
    for (let round = 1; round <= ROUNDS; round += 1) {
      process.stderr.write(`round ${round} of ${ROUNDS} …\n`);
      raw.push(await rawWriter.measure(WINDOW_MS));
      for (const level of levels) {
        const before = { commits: await commits(meter), cpu: cpu(node, postgresPid) };
        const result = await clients.measure(level.clients, WINDOW_MS);
        level.results.push(result);
        level.commits.push(((await commits(meter)) - before.commits) / result.runs);
        level.cpu.push(difference(cpu(node, postgresPid), before.cpu, result.runs));
      }
    }
  } finally {
    await Promise.all([rawWriter.close(), clients.close(), meter.end()]);
  }
  return { raw, levels };
}

/** Writing transactions so far: each took a transaction id. Statistics views lag by up to ten seconds; this does not. */
async function commits(meter: pg.Client): Promise<number> {
  const { rows } = await meter.query<{ count: string }>('SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS count');
  return Number(rows[0]!.count);
}

function cpu(node: NodeUnderTest, postgresPid: number): Cost {
  const seconds = (pid: number): number => cpuSeconds(pid) ?? Number.NaN;
  return { orchestrator: seconds(node.orchestratorPid), modelPolicy: seconds(node.modelPolicyPid), postgres: seconds(postgresPid) };
}

/** Milliseconds of CPU a run. */
function difference(after: Cost, before: Cost, runs: number): Cost {
  const perRun = (key: keyof Cost): number => ((after[key] - before[key]) * 1_000) / runs;
  return { orchestrator: perRun('orchestrator'), modelPolicy: perRun('modelPolicy'), postgres: perRun('postgres') };
}

/** Round trips a run between Agent Orchestrator and Postgres, by clients; idle polling is measured and taken off. */
async function measureRoundTrips(databaseUrl: string): Promise<Map<number, number>> {
  const counter = await countRoundTrips(databaseUrl);
  const node = await startNode(counter.url);
  const clients = new LoadClients({ baseUrl: node.orchestratorUrl, tenantId: TENANT, agentId: AGENT, connections: 64 });
  const perRun = new Map<number, number>();
  try {
    await clients.measure(16, 2_000);
    for (const count of PLATFORM_CLIENTS) {
      const before = counter.read();
      const result = await clients.measure(count, 2_000);
      perRun.set(count, (counter.read() - before) / result.runs);
    }
  } finally {
    await clients.close();
    await node.stop();
    await counter.close();
  }
  return perRun;
}

function median(values: readonly number[]): number {
  return quantile([...values].sort((a, b) => a - b), 0.5);
}

function print(raw: readonly number[], levels: readonly Level[], roundTrips: ReadonlyMap<number, number>): void {
  const rawRate = median(raw);
  const rows = levels.map((level) => {
    const rate = median(level.results.map((result) => result.runsPerSecond));
    const merged = (key: 'createMs' | 'firstEventMs' | 'wholeMs'): number[] => level.results.flatMap((result) => result[key]).sort((a, b) => a - b);
    const cost = (key: keyof Cost): number => round(median(level.cpu.map((sample) => sample[key])), 3);
    return {
      clients: level.clients,
      runs_per_second: round(rate, 1),
      ratio_to_raw: round(rate / rawRate, 3),
      create_p50_ms: round(quantile(merged('createMs'), 0.5), 2),
      create_p99_ms: round(quantile(merged('createMs'), 0.99), 2),
      first_event_p50_ms: round(quantile(merged('firstEventMs'), 0.5), 2),
      whole_run_p50_ms: round(quantile(merged('wholeMs'), 0.5), 2),
      whole_run_p99_ms: round(quantile(merged('wholeMs'), 0.99), 2),
      commits_per_run: round(median(level.commits), 2),
      round_trips_per_run: round(roundTrips.get(level.clients) ?? Number.NaN, 2),
      cpu_ms_orchestrator: cost('orchestrator'),
      cpu_ms_model_policy: cost('modelPolicy'),
      cpu_ms_postgres: cost('postgres'),
      errors: level.results.reduce((sum, result) => sum + result.errors, 0),
    };
  });
  const report = {
    machine: { cpus: cpus().length, model: cpus()[0]?.model ?? 'unknown', node: process.version },
    raw: { clients: RAW_CLIENTS, runs_per_second: round(rawRate, 1), rounds: raw.map((rate) => round(rate, 1)) },
    platform: rows,
  };
  console.log(`\nraw writes through pg, ${RAW_CLIENTS} clients: ${report.raw.runs_per_second} runs/s\n`);
  for (const row of rows) {
    console.log(`${row.clients} client(s)`);
    for (const [name, value] of Object.entries(row).slice(1)) console.log(`  ${name.padEnd(24)} ${value}`);
  }
  mkdirSync('reports', { recursive: true });
  writeFileSync('reports/bench-runs.json', `${JSON.stringify(report, null, 2)}\n`);
  console.log('\nwritten to reports/bench-runs.json');
}

function round(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}

await main();
