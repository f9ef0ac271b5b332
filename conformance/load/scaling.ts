/**
 * What roles, replicas and NATS do to runs: the same load on one process, on an API and a worker, on two of each, with
 * wake-ups by Postgres and by NATS. Topologies take turns on a Postgres of their own, so that what else the machine
 * does weighs on all of them. `npx tsx conformance/load/scaling.ts [--seconds 5] [--rounds 2]`
 */
import { parseArgs } from 'node:util';
import { startTestPostgres } from '../../scripts/lib/postgres/index.ts';
import { Burst, percentile } from '../faults/burst.ts';
import { isTerminal, readOn } from '../faults/follower.ts';
import { startFleet, type Fleet, type FleetRole } from '../harness/fleet.ts';
import { natsUnavailable, planNats, type TestNats } from '../harness/nats.ts';

interface Topology {
  readonly name: string;
  readonly members: Readonly<Record<string, FleetRole>>;
  readonly nats: boolean;
}

const ONE: Topology['members'] = { one: 'all' };
const SPLIT: Topology['members'] = { 'api-1': 'api', 'worker-1': 'worker' };
const FOUR: Topology['members'] = { 'api-1': 'api', 'api-2': 'api', 'worker-1': 'worker', 'worker-2': 'worker' };
const TOPOLOGIES: readonly Topology[] = [
  { name: 'one process', members: ONE, nats: false },
  { name: 'one API, one worker', members: SPLIT, nats: false },
  { name: 'one API, one worker, NATS', members: SPLIT, nats: true },
  { name: 'two APIs, two workers', members: FOUR, nats: false },
  { name: 'two APIs, two workers, NATS', members: FOUR, nats: true },
];
const TENANT = 'tnt_demo';

interface Sample {
  /** Milliseconds from the request to the last event, one run after the other. */
  readonly aloneMs: number[];
  readonly busyMs: number[];
  readonly runsPerSecond: number[];
}

const { values: flags } = parseArgs({ options: { seconds: { type: 'string', default: '5' }, rounds: { type: 'string', default: '2' } } });

async function wholeRun(fleet: Fleet, burst: Burst, turn: number): Promise<number> {
  const startedAt = performance.now();
  const { runId, status } = await burst.create({ tenantId: TENANT, agentId: 'agt_demo' });
  if (runId === null) throw new Error(`A run was answered ${status}.`);
  const events = await readOn(fleet.apis[turn % fleet.apis.length]!.url, { tenantId: TENANT, runId, after: 0 });
  if (!isTerminal(events.at(-1)?.type ?? '')) throw new Error(`The stream of ${runId} ended early.`);
  return performance.now() - startedAt;
}

async function measure(fleet: Fleet, sample: Sample): Promise<void> {
  const burst = new Burst(fleet.apis.map(({ url }) => url), { connections: 32 });
  const loop = async (clients: number, durationMs: number): Promise<number[]> => {
    const took: number[] = [];
    const deadline = performance.now() + durationMs;
    await Promise.all(Array.from({ length: clients }, async (_, client) => {
      for (let turn = client; performance.now() < deadline; turn += 1) took.push(await wholeRun(fleet, burst, turn));
    }));
    return took;
  };
  try {
    await loop(8, 1_500);
    sample.aloneMs.push(...(await loop(1, Number(flags.seconds) * 500)));
    const startedAt = performance.now();
    const busy = await loop(32, Number(flags.seconds) * 1_000);
    sample.busyMs.push(...busy);
    sample.runsPerSecond.push(busy.length / ((performance.now() - startedAt) / 1000));
  } finally {
    await burst.close();
  }
}

const postgres = await startTestPostgres({ durable: true });
let nats: TestNats | null = null;
try {
  if ((await natsUnavailable()) === null) {
    nats = await planNats();
    await nats.start();
  }
  const samples = new Map(TOPOLOGIES.map((topology) => [topology, { aloneMs: [], busyMs: [], runsPerSecond: [] } as Sample]));
  for (let round = 0; round < Number(flags.rounds); round += 1) {
    for (const [topology, sample] of samples) {
      if (topology.nats && nats === null) continue;
      const fleet = await startFleet({ databaseUrl: postgres.url, members: topology.members, proxied: false, directModels: true, env: { AGENTOS_LOG_LEVEL: 'error', ...(topology.nats ? { NATS_URL: nats!.url } : {}) } });
      try {
        await measure(fleet, sample);
      } finally {
        await fleet.close();
      }
    }
  }
  process.stdout.write('| topology | one client: whole run p50 | p99 | 32 clients: runs/s | whole run p50 |\n|---|---|---|---|---|\n');
  for (const [{ name }, { aloneMs, busyMs, runsPerSecond }] of samples) {
    const ms = (values: readonly number[], share: number): string => `${percentile(values, share).toFixed(1)} ms`;
    if (aloneMs.length > 0) process.stdout.write(`| ${name} | ${ms(aloneMs, 0.5)} | ${ms(aloneMs, 0.99)} | ${Math.max(...runsPerSecond).toFixed(0)} | ${ms(busyMs, 0.5)} |\n`);
  }
} finally {
  await nats?.stop();
  await postgres.stop();
}
process.exit(0);
