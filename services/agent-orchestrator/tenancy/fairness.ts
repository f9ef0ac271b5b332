/**
 * Start-time fair queueing: which place in the queue of all tenants a new run gets (HLD 10.2).
 *
 * A run's rank is one more than that of the newest waiting run of its own tenant with the same or a higher priority;
 * where there is none it is the smallest rank that anybody waits with, so that a tenant that comes with one run goes
 * to the front and one that comes with fifty thousand lines them up behind each other. Claims take the smallest rank,
 * and so alternate between tenants without counting anything. Priorities order a tenant's own runs: each priority is
 * a line of its own, so a tenant that uses all three is at most three lines wide.
 */

/** Newest waiting rank by priority level (low, normal, high); null where none waits. */
export type WaitingRanks = readonly [number | null, number | null, number | null];

/** The queue as one flush sees it; `next` gives out ranks and remembers them for the runs that follow. */
export class QueuePlaces {
  #smallest: number | null;
  readonly #newest: Map<string, [number | null, number | null, number | null]>;

  constructor(smallest: number | null, newest: ReadonlyMap<string, WaitingRanks>) {
    this.#smallest = smallest;
    this.#newest = new Map([...newest].map(([tenantId, ranks]) => [tenantId, [...ranks]]));
  }

  next(tenantId: string, level: 0 | 1 | 2): number {
    const ranks = this.#newest.get(tenantId) ?? [null, null, null];
    const ahead = ranks.slice(level).filter((rank): rank is number => rank !== null);
    const rank = ahead.length > 0 ? Math.max(...ahead) + 1 : (this.#smallest ?? 0);
    ranks[level] = rank;
    this.#newest.set(tenantId, ranks);
    if (this.#smallest === null || rank < this.#smallest) this.#smallest = rank;
    return rank;
  }
}
