/**
 * Delivery to 1,000, 5,000 and 10,000 open event streams with one event a second each.
 *
 * A hundred runs are followed by equally many readers. A writer, which is a process of its own to the API (this one),
 * commits an event of each run once a second, evenly spread; the API learns of it by the hint that the writer sends, as
 * it would from a worker process. Readers sit in processes of their own. Delivery is from the commit to the moment when
 * the bytes are at the reader; CPU is that of the API process.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestPostgres } from '../../scripts/lib/postgres/index.ts';
import { freshDatabase } from './databases.ts';
import { round, type Figure } from './figures.ts';
import { quantile } from './load-clients.ts';
import { seedDatabase, startNode, type NodeUnderTest } from './node-under-test.ts';
import { cpuSeconds } from './process-cost.ts';
import type { Arrivals, OpenStreams } from './stream-readers.ts';
import { EventWriter } from './event-writer.ts';

const RUNS = 100;
/** A tenant may have 2,000 streams. */
const TENANTS = 10;
const READER_PROCESSES = 2;
const SETTLE_MS = 2_000;

export async function streams(postgres: TestPostgres, counts: readonly number[], windowMs: number): Promise<readonly Figure[]> {
  const url = await freshDatabase(postgres.url, 'bench_streams');
  seedDatabase(url);
  const node = await startNode(url, { environment: { AGENTOS_ROLE: 'api', AGENTOS_MAX_CONNECTIONS: '20000' } });
  const writer = await EventWriter.start(url, Array.from({ length: TENANTS }, (_, index) => `tnt_bench_${index}`), RUNS);
  try {
    const figures: Figure[] = [];
    for (const count of counts) figures.push(...(await oneLevel(node, writer, count, windowMs)));
    return figures;
  } finally {
    await writer.close();
    await node.stop();
  }
}

async function oneLevel(node: NodeUnderTest, writer: EventWriter, count: number, windowMs: number): Promise<readonly Figure[]> {
  process.stderr.write(`streams: ${count} …\n`);
  const readers = Array.from({ length: READER_PROCESSES }, () => fork(fileURLToPath(new URL('./stream-readers.ts', import.meta.url)), { execArgv: ['--import', 'tsx'], serialization: 'advanced', stdio: ['ignore', 'ignore', 'inherit', 'ipc'] }));
  try {
    const port = Number(new URL(node.orchestratorUrl).port);
    await Promise.all(readers.map((reader, index) => openShare(reader, port, share(writer, count, index))));
    writer.begin();
    await sleep(SETTLE_MS);
    for (const reader of readers) reader.send('forget');
    const cpu = cpuSeconds(node.orchestratorPid) ?? Number.NaN;
    const startedMs = writer.now();
    await sleep(windowMs);
    const cores = ((cpuSeconds(node.orchestratorPid) ?? Number.NaN) - cpu) / (windowMs / 1_000);
    const endedMs = writer.now();
    writer.end();
    // What was committed within the window is on its way; whatever still comes counts with its delay.
    await sleep(SETTLE_MS);
    const arrivals = await Promise.all(readers.map((reader) => ask<Arrivals>(reader, 'collect')));
    return report(count, writer, arrivals, { startedMs, endedMs }, cores);
  } finally {
    for (const reader of readers) reader.disconnect();
  }
}

/** Stream n follows run n modulo the number of runs; each process has every so-many-th stream. */
function share(writer: EventWriter, count: number, index: number): OpenStreams['streams'] {
  const streams: [string, string, number][] = [];
  for (let stream = index; stream < count; stream += READER_PROCESSES) {
    const run = stream % RUNS;
    const { tenantId, runId } = writer.runs[run]!;
    streams.push([tenantId, `/v1/runs/${runId}/events`, run]);
  }
  return streams;
}

async function openShare(reader: ChildProcess, port: number, streams: OpenStreams['streams']): Promise<void> {
  const answer = await ask<{ open?: number; failed?: string }>(reader, { port, streams } satisfies OpenStreams);
  if (answer.failed !== undefined) throw new Error(`Streams could not be opened: ${answer.failed}`);
}

function ask<T>(reader: ChildProcess, message: OpenStreams | 'collect'): Promise<T> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null): void => reject(new Error(`A reader process ended with code ${code}.`));
    reader.once('exit', onExit);
    reader.once('message', (answer) => {
      reader.off('exit', onExit);
      resolve(answer as T);
    });
    reader.send(message);
  });
}

function report(count: number, writer: EventWriter, all: readonly Arrivals[], window: { readonly startedMs: number; readonly endedMs: number }, cores: number): readonly Figure[] {
  const delays: number[] = [];
  for (const { arrivals } of all) {
    for (let at = 0; at < arrivals.length; at += 3) {
      const committedMs = writer.committedAt(arrivals[at]!, arrivals[at + 1]!);
      if (committedMs !== undefined && committedMs >= window.startedMs && committedMs < window.endedMs) delays.push(arrivals[at + 2]! - committedMs);
    }
  }
  delays.sort((a, b) => a - b);
  const expected = writer.committedBetween(window.startedMs, window.endedMs) * (count / RUNS);
  const broken = all.reduce((sum, each) => sum + each.broken, 0);
  const goal = { atMost: 10 };
  return [
    { name: `sse_${count}_delivery_p50`, value: quantile(delays, 0.5), unit: 'ms' },
    { name: `sse_${count}_delivery_p99`, value: quantile(delays, 0.99), unit: 'ms', goal },
    { name: `sse_${count}_cores`, value: cores, unit: '', goal: { atMost: 0.5 } },
    { name: `sse_${count}_events_per_second`, value: round(delays.length / ((window.endedMs - window.startedMs) / 1_000), 0), unit: '/s' },
    { name: `sse_${count}_missing_or_broken`, value: Math.max(0, Math.round(expected) - delays.length) + broken, unit: '', goal: { atMost: 0 } },
  ];
}
