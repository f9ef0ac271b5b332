/**
 * The chaos gate: two APIs and three workers over a Postgres of their own, load that never stops, and faults one after
 * the other, all drawn from one seed. Afterwards everything is healed, every acknowledged run must end, and the judge
 * looks at the tables.
 *
 * A chaos run has to prove that it bit: enough faults must have hit work in flight, enough runs taken over, enough
 * writes refused by the fence, enough commits left without an answer. One that did not is INVALID, not passed.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { startTestPostgres, type TestPostgres } from '../../scripts/lib/postgres/index.ts';
import type { Replacement } from '../harness/builds.ts';
import { startFleet, type Fleet, type Member } from '../harness/fleet.ts';
import { startLoad } from './continuous-load.ts';
import { ECHO_LOG, judge, runsInFlight, untilAllEnded, type Verdict } from './judge.ts';
import { chance, type Chance } from './seeded.ts';

export interface ChaosOptions {
  readonly seed?: number;
  /** How long faults are done, */
  readonly durationMs: number;
  /** and how long at most: while too few writes were fenced and too few commits lost, they go on; as long as `durationMs` when absent. */
  readonly atMostMs?: number;
  readonly runsPerSecond: number;
  readonly leaseMs: number;
  /** Share of COMMITs whose answer is lost. */
  readonly lostCommitShare: number;
  readonly postgresKills: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly mutants?: readonly Replacement[];
  readonly say?: (line: string) => void;
}

export interface ChaosReport extends Verdict {
  readonly seed: number;
  readonly faults: readonly Fault[];
  readonly hitShare: number;
  readonly acknowledgedPerSecond: number;
  readonly fencedWrites: number;
  readonly lostCommits: number;
  readonly unexpectedExits: readonly string[];
}

export interface Fault {
  readonly kind: FaultKind;
  readonly target: string;
  /** Runs that the target held when it was hit; for a fault that hits all, runs that anybody held. */
  readonly inFlight: number;
}

type FaultKind = 'kill worker' | 'freeze worker' | 'silence worker' | 'kill api' | 'freeze api' | 'silence api' | 'kill postgres';

/** Out of a deck that is shuffled again when it is used up: by chance, and yet every kind is done. */
const DECK: readonly FaultKind[] = [
  'kill worker', 'freeze worker', 'kill worker', 'freeze worker', 'silence worker', 'freeze worker', 'kill api', 'kill worker', 'freeze api', 'silence api',
];

export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const draw = chance(options.seed);
  const postgres = await startTestPostgres({ durable: true });
  let fleet: Fleet | null = null;
  try {
    fleet = await startFleet({
      databaseUrl: postgres.url,
      members: { 'api-1': 'api', 'api-2': 'api', 'worker-1': 'worker', 'worker-2': 'worker', 'worker-3': 'worker' },
      env: { AGENTOS_LEASE_MS: String(options.leaseMs), AGENTOS_WORKER_CONCURRENCY: '32', AGENTOS_LOG_LEVEL: 'error', ...options.env },
      ...(options.mutants === undefined ? {} : { mutants: options.mutants }),
    });
    return await new Chaos(options, draw, postgres, fleet).run();
  } finally {
    await fleet?.close();
    await postgres.stop();
  }
}

class Chaos {
  readonly #options: ChaosOptions;
  readonly #draw: Chance;
  readonly #postgres: TestPostgres;
  readonly #fleet: Fleet;
  readonly #faults: Fault[] = [];
  readonly #hurt = new Set<Member>();
  readonly #healing = new Set<Promise<void>>();
  readonly #unhealed: string[] = [];
  #fencedBefore = 0;

  constructor(options: ChaosOptions, draw: Chance, postgres: TestPostgres, fleet: Fleet) {
    this.#options = options;
    this.#draw = draw;
    this.#postgres = postgres;
    this.#fleet = fleet;
  }

  async run(): Promise<ChaosReport> {
    const { durationMs, runsPerSecond, lostCommitShare } = this.#options;
    const fleet = this.#fleet;
    fleet.models.setDelay(() => this.#draw.between(60, 260));
    const load = startLoad({ targets: fleet.apis, runsPerSecond, agentId: 'agt_sample_echo_v1', tenants: ['tnt_demo'], name: `chaos_${this.#draw.seed}` });
    try {
      await sleep(1_000);
      for (const { postgres } of fleet.members) postgres.loseCommits(() => this.#draw.between(1, 10_000) <= lostCommitShare * 10_000);
      const startedAt = performance.now();
      await this.#hurtUntil(startedAt + durationMs, this.#options.postgresKills);
      const deadlineMs = startedAt + (this.#options.atMostMs ?? durationMs);
      while (performance.now() < deadlineMs && !(await this.#bit())) await this.#hurtUntil(Math.min(deadlineMs, performance.now() + 4_000), 0);
      while (this.#healing.size > 0) await Promise.all([...this.#healing]);
      const seconds = (performance.now() - startedAt) / 1000;
      const acknowledged = load.acknowledged.filter(({ atMs }) => atMs >= startedAt).length;
      for (const { postgres } of fleet.members) postgres.loseCommits(null);
      await load.finish(120_000);
      await untilAllEnded(this.#postgres.url, 120_000);
      const verdict = await judge(this.#postgres.url, { acknowledged: load.acknowledged, log: ECHO_LOG, failedAtMost: 0.01 });
      const fencedWrites = this.#fencedBefore + (await this.#fencedNow());
      return {
        ...verdict,
        violations: [...verdict.violations, ...this.#unhealed, ...load.contradictions.map((text) => `one key leads to one run: ${text}`), ...load.wrongAnswers.slice(0, 5).map((text) => `a refusal is 429 or 503 in the error model: ${text}`)],
        seed: this.#draw.seed,
        faults: this.#faults,
        hitShare: this.#faults.filter(({ inFlight }) => inFlight > 0).length / Math.max(1, this.#faults.length),
        acknowledgedPerSecond: acknowledged / seconds,
        fencedWrites,
        lostCommits: this.#lostCommits,
        unexpectedExits: fleet.unexpectedExits,
      };
    } finally {
      await load.close();
    }
  }

  get #lostCommits(): number {
    return this.#fleet.members.reduce((sum, { postgres }) => sum + postgres.lostCommits, 0);
  }

  async #bit(): Promise<boolean> {
    return this.#lostCommits >= TEETH.lostCommits && this.#fencedBefore + (await this.#fencedNow()) >= TEETH.fencedWrites;
  }

  async #hurtUntil(deadlineMs: number, kills: number): Promise<void> {
    const startedAt = performance.now();
    const killEvery = (deadlineMs - startedAt) / (kills + 1);
    let postgresKills = 0;
    let deck: FaultKind[] = [];
    while (performance.now() < deadlineMs) {
      await sleep(this.#draw.between(350, 900));
      if (postgresKills < kills && performance.now() > startedAt + (postgresKills + 1) * killEvery) {
        postgresKills += 1;
        await this.#killPostgres();
        continue;
      }
      if (deck.length === 0) deck = this.#shuffled(DECK);
      await this.#do(deck.pop()!);
    }
  }

  #shuffled(kinds: readonly FaultKind[]): FaultKind[] {
    const deck = [...kinds];
    for (let at = deck.length - 1; at > 0; at -= 1) {
      const other = this.#draw.between(0, at);
      [deck[at], deck[other]] = [deck[other]!, deck[at]!];
    }
    return deck;
  }

  /** Does the fault to a process that is whole, and leaves its healing under way. At least one of a kind stays whole. */
  async #do(kind: FaultKind): Promise<void> {
    const group = kind.endsWith('api') ? this.#fleet.apis : this.#fleet.workers;
    const whole = group.filter((member) => !this.#hurt.has(member) && member.running);
    if (whole.length < 2) return;
    const target = await this.#busiest(kind, whole);
    const inFlight = await this.#inFlight(kind, target);
    this.#faults.push({ kind, target: target.name, inFlight });
    this.#options.say?.(`${kind} ${target.name}, ${inFlight} in flight`);
    this.#hurt.add(target);
    if (kind.startsWith('kill')) await this.#kill(target);
    else if (kind.startsWith('freeze')) await target.signal('SIGSTOP');
    else target.postgres.silence();
    const healed = this.#heal(kind, target)
      .catch((error: unknown) => void this.#unhealed.push(`${target.name} did not come back: ${(error as Error).message}`))
      .finally(() => {
        this.#hurt.delete(target);
        this.#healing.delete(healed);
      });
    this.#healing.add(healed);
  }

  /** A fault on an idle worker proves little: the one that holds most is hit, APIs by chance. */
  async #busiest(kind: FaultKind, whole: readonly Member[]): Promise<Member> {
    if (kind.endsWith('api')) return whole[this.#draw.between(0, whole.length - 1)]!;
    const held = await Promise.all(whole.map((member) => runsInFlight(this.#postgres.url, [...member.postgres.workers])));
    return whole[held.indexOf(Math.max(...held))]!;
  }

  #inFlight(kind: FaultKind, target: Member): Promise<number> {
    return runsInFlight(this.#postgres.url, kind.endsWith('worker') ? [...target.postgres.workers] : null);
  }

  async #kill(target: Member): Promise<void> {
    this.#fencedBefore += await fencedWritesOf(target);
    await target.signal('SIGKILL');
  }

  async #heal(kind: FaultKind, target: Member): Promise<void> {
    const { leaseMs } = this.#options;
    if (kind.startsWith('kill')) {
      await sleep(this.#draw.between(100, 500));
      await target.start();
    } else if (kind.startsWith('freeze')) {
      await sleep(this.#draw.between(1.3 * leaseMs, 2.2 * leaseMs));
      await target.signal('SIGCONT');
    } else {
      // The service has to find out by itself that nobody is at the other end.
      await sleep(this.#draw.between(2_000, 4_000));
    }
  }

  async #killPostgres(): Promise<void> {
    const inFlight = await runsInFlight(this.#postgres.url);
    this.#faults.push({ kind: 'kill postgres', target: 'postgres', inFlight });
    this.#options.say?.(`kill postgres, ${inFlight} in flight`);
    await this.#postgres.kill();
    await sleep(this.#draw.between(200, 1_000));
    await this.#postgres.start();
  }

  async #fencedNow(): Promise<number> {
    const counts = await Promise.all(this.#fleet.workers.map(fencedWritesOf));
    return counts.reduce((sum, count) => sum + count, 0);
  }
}

/** Executions of this process that the fence stopped; 0 when it cannot be asked. */
async function fencedWritesOf(member: Member): Promise<number> {
  const text = await fetch(`${member.url}/metrics`, { signal: AbortSignal.timeout(2_000) }).then((answer) => answer.text(), () => '');
  return Number(/^agentos_run_count\{.*end="fenced".*\} (\d+)/m.exec(text)?.[1] ?? 0);
}

const TEETH = { hitShare: 0.8, reclaims: 20, fencedWrites: 5, lostCommits: 20 } as const;

/** Why this chaos run proves nothing; empty when it bit. */
export function toothless(report: ChaosReport, runsPerSecond: number): string[] {
  const teeth: readonly (readonly [string, number, number])[] = [
    ['share of faults that hit work in flight', report.hitShare, TEETH.hitShare],
    ['runs taken over', report.reclaims, TEETH.reclaims],
    ['writes refused by the fence', report.fencedWrites, TEETH.fencedWrites],
    ['commits without an answer', report.lostCommits, TEETH.lostCommits],
    ['acknowledged runs a second', report.acknowledgedPerSecond, runsPerSecond],
  ];
  return teeth.filter(([, found, wanted]) => found < wanted).map(([what, found, wanted]) => `${what}: ${found.toFixed(2)}, at least ${wanted} are needed`);
}
