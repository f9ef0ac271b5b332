/**
 * Start-time fair queueing: which place in the queue of all tenants a new run gets (HLD 10.2).
 *
 * A run's rank is one more than that of the newest waiting run of its own tenant with the same or a higher priority;
 * where there is none it is the smallest rank that anybody waits with, so that a tenant that comes with one run goes
 * to the front and one that comes with fifty thousand lines them up behind each other. Claims take the smallest rank,
 * and so alternate between tenants without counting anything. Priorities order a tenant's own runs: each priority is
 * a line of its own, so a tenant that uses all three is at most three lines wide.
 *
 * Nobody starves. A line whose newest run was given the smallest rank or a later one gets the rank after it next time,
 * although nothing waits in it any more: tenants that each come back as soon as they are served would else stand at the
 * front for ever, before whoever has a line. So each line is given a rank once, those that wait at it become fewer, and
 * the rank after it has its turn; a low priority is overtaken by no more than one run a line and rank.
 */

/** The rank that the newest run of each priority level was given (low, normal, high), whatever became of it; -1: none ever. */
export type GivenRanks = readonly [number, number, number];

const NO_RANKS: GivenRanks = [-1, -1, -1];

/** Newest waiting rank by priority level (low, normal, high); null where none waits. */
export type WaitingRanks = readonly [number | null, number | null, number | null];

/** The queue as one flush sees it; `next` gives out ranks and remembers them for the runs that follow. */
export class QueuePlaces {
  #smallest: number | null;
  readonly #newest: Map<string, [number | null, number | null, number | null]>;
  readonly #given: Map<string, [number, number, number]>;

  constructor(smallest: number | null, newest: ReadonlyMap<string, WaitingRanks>, given: ReadonlyMap<string, GivenRanks>) {
    this.#smallest = smallest;
    this.#newest = new Map([...newest].map(([tenantId, ranks]) => [tenantId, [...ranks]]));
    this.#given = new Map([...given].map(([tenantId, ranks]) => [tenantId, [...ranks]]));
  }

  /** To be stored with the runs that were given them. */
  given(tenantId: string): GivenRanks {
    return this.#given.get(tenantId) ?? NO_RANKS;
  }

  next(tenantId: string, level: 0 | 1 | 2): number {
    const ranks = this.#newest.get(tenantId) ?? [null, null, null];
    const ahead = ranks.slice(level).filter((rank): rank is number => rank !== null);
    const front = this.#smallest ?? 0;
    const given: [number, number, number] = [...this.given(tenantId)];
    const rank = ahead.length > 0 ? Math.max(...ahead) + 1 : Math.max(...given.slice(level)) >= front ? front + 1 : front;
    ranks[level] = rank;
    given[level] = rank;
    this.#given.set(tenantId, given);
    this.#newest.set(tenantId, ranks);
    if (this.#smallest === null || rank < this.#smallest) this.#smallest = rank;
    return rank;
  }
}
