/**
 * The measuring: for each form of answer and number of connections the contenders take turns over several rounds, so that
 * a slow moment of the machine falls on all of them. One cell is one contender at one of these places, over all rounds.
 */
import type { ChildProcess } from 'node:child_process';
import { cpuSeconds } from '../process-cost.ts';
import type { Times, Volley } from './clients-main.ts';
import type { Contender, ContenderName } from './contenders.ts';
import { nextMessage } from './pinned-process.ts';

export interface CellPlan {
  readonly requests: number;
  readonly connections: readonly number[];
  readonly rounds: number;
  /** Which forms of answers: streamed, whole. */
  readonly streamed: readonly boolean[];
}

export interface Round {
  readonly times: Times;
  /** Seconds of CPU; NaN where the system does not tell. */
  readonly gatewayCpu: number;
  readonly postgresCpu: number;
}

export interface Cell {
  readonly contender: ContenderName;
  readonly streamed: boolean;
  readonly connections: number;
  readonly rounds: readonly Round[];
}

const WARM_UP_CONNECTIONS = 16;
/** A streamed answer takes a quarter of a second, so there are fewer of them: this many a connection for 4,000 requests. */
const STREAMS_PER_CONNECTION = 40;

export async function measureCells(clients: ChildProcess, contenders: readonly Contender[], plan: CellPlan): Promise<readonly Cell[]> {
  for (const contender of contenders) {
    process.stderr.write(`warming ${contender.name} …\n`);
    for (const streamed of plan.streamed) await oneRound(clients, contender, { streamed, connections: WARM_UP_CONNECTIONS, requests: streamed ? 2 * WARM_UP_CONNECTIONS : Math.ceil(plan.requests / 2) });
  }
  const cells: Cell[] = [];
  for (const streamed of plan.streamed) {
    for (const connections of plan.connections) cells.push(...(await place(clients, contenders, plan, streamed, connections)));
  }
  return cells;
}

async function place(clients: ChildProcess, contenders: readonly Contender[], plan: CellPlan, streamed: boolean, connections: number): Promise<readonly Cell[]> {
  process.stderr.write(`${streamed ? 'streams' : 'whole answers'}, ${connections} connection(s) …\n`);
  const total = streamed ? connections * Math.max(plan.rounds, Math.round((STREAMS_PER_CONNECTION * plan.requests) / 4_000)) : plan.requests;
  const rounds = new Map<ContenderName, Round[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round < plan.rounds; round += 1) {
    // Another one begins each round: what the one before left behind falls on another.
    for (const contender of rotated(contenders, round)) rounds.get(contender.name)!.push(await oneRound(clients, contender, { streamed, connections, requests: Math.ceil(total / plan.rounds) }));
  }
  return contenders.map(({ name }) => ({ contender: name, streamed, connections, rounds: rounds.get(name)! }));
}

function rotated<Item>(items: readonly Item[], by: number): readonly Item[] {
  const start = by % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
}

async function oneRound(clients: ChildProcess, contender: Contender, { streamed, connections, requests }: { readonly streamed: boolean; readonly connections: number; readonly requests: number }): Promise<Round> {
  const { port, path, headers, pids } = contender;
  const before = { gateway: cpuOf(pids.gateway), postgres: cpuOf(pids.postgres) };
  const answer = nextMessage<Times>(clients);
  clients.send({ port, path, headers, streamed, connections, requests } satisfies Volley);
  const times = await answer;
  if (times.wholeMs.length === 0) throw new Error(`${contender.name} answered nothing: ${times.failures[0] ?? 'no reason'}`);
  return { times, gatewayCpu: cpuOf(pids.gateway) - before.gateway, postgresCpu: cpuOf(pids.postgres) - before.postgres };
}

function cpuOf(pid: number | undefined): number {
  return pid === undefined ? Number.NaN : (cpuSeconds(pid) ?? Number.NaN);
}
