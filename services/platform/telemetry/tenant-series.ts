/**
 * Metrics by tenant, for few tenants at a time (PRS 9.2, 15.5; HLD 9.2).
 *
 * A label `tenant_id` makes as many time series as there are tenants, times everything that is counted, times every
 * process; ten thousand tenants would make a Prometheus fall over. So a process gives series of its own to at most
 * `limit` tenants, and counts all others together as `(other)`, which is no tenant's id. Who is always shown is
 * configuration; the remaining places go to whoever comes first, and from then on to whoever does most: once a window,
 * when somebody reads the metrics, a tenant without a place takes that of the quietest tenant that has one, if it did
 * more than twice as much. Activity halves each window, so that yesterday's crowd does not hold its places for ever,
 * and the factor of two keeps tenants of like size from pushing each other out again and again. At most `limit` tenants
 * come and go in a window, which bounds what Prometheus has to keep as well.
 *
 * Counters stay right through all of this, because nothing is ever moved between series:
 *  - What a tenant does without a place is counted in `(other)` and stays there. `(other)` never goes down.
 *  - A tenant that takes a place over is shown as it is, at zero, in the very reading that gives it the place, and
 *    counts for itself from then on: no increase falls between two readings. Who takes a free place counts for itself
 *    at once, as every new series of a counter does.
 *  - A tenant that loses its place is shown once more in that reading, with all that it did until then, and keeps its
 *    counts in a small memory. When it comes back it goes on from there, so that
 *    its series does not start below where it ended. Should it be forgotten by then, it starts at zero, which is what
 *    Prometheus takes for a restart.
 * Sums over tenants therefore hold for rates and increases, never for raw values; totals without tenants have metrics of
 * their own. Each process chooses for itself: behind a load balancer the busy tenants are the same everywhere, and a
 * tenant that has to be exact in every process is one to name in the configuration.
 *
 * With two readers, the one that does not bring a change about may miss what fell between its reading and the other's.
 *
 * Nothing here costs a request more than a look into a map: whoever counts asks for the tenant's account once and adds
 * to plain numbers. Whom the series may be shown to is not decided here, see `http/health.ts`.
 */
import type { Metric, Registry } from 'prom-client';

/** Stands for all tenants without a series of their own; ids of tenants hold no brackets. */
export const OTHER_TENANTS = '(other)';
export const DEFAULT_TENANT_SERIES = 50;

export interface TenantSeriesOptions {
  readonly registry: Registry;
  /** Tenants that have series of their own; 0: nothing is attributed. */
  readonly limit: number;
  /** Tenants that have them whatever they do, beside those. */
  readonly always?: readonly string[];
  /** Between two changes of who has them; ten minutes when absent. */
  readonly windowMs?: number;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

/** What one tenant has done, or all others together. To be asked for anew for each event. */
export interface TenantAccount {
  readonly label: string;
  readonly cells: number[];
}

/** A tenant that was active lately. */
interface Seen {
  readonly tenantId: string;
  readonly pinned: boolean;
  weight: number;
  account: TenantAccount;
}

export interface TenantCounter<Value extends string> {
  add(account: TenantAccount, value: Value, amount?: number): void;
}

export interface TenantHistogram {
  observe(account: TenantAccount, amount: number): void;
}

interface Sample {
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

interface MetricText {
  readonly name: string;
  readonly help: string;
}

const WINDOW_MS = 600_000;
/** So much more has a newcomer to do than who holds the place, and so many events on top, lest single calls change places. */
const FACTOR = 2;
const MARGIN = 16;
/** Tenants whose activity is kept in mind; beyond it the quietest are forgotten. */
const MOST_SEEN = 4_096;
/** Tenants whose counts outlive their place, for each place. */
const DEPARTED_PER_PLACE = 4;

export class TenantSeries {
  readonly #options: TenantSeriesOptions;
  readonly #now: () => number;
  readonly #seen = new Map<string, Seen>();
  /** In the order in which they got their places. */
  readonly #holders = new Map<string, Seen>();
  readonly #departed = new Map<string, TenantAccount>();
  /** Those that lose their places in the reading that is being made. */
  #leaving: TenantAccount[] = [];
  readonly #other: TenantAccount = { label: OTHER_TENANTS, cells: [] };
  readonly #places: number;
  #width = 0;
  #electedAtMs: number;

  constructor(options: TenantSeriesOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#electedAtMs = this.#now();
    const always = [...new Set(options.always ?? [])];
    this.#places = options.limit + always.length;
    for (const tenantId of always) this.#admit({ tenantId, pinned: true, weight: 0, account: this.#other });
  }

  /** False: nothing is attributed, and nothing shown. */
  get enabled(): boolean {
    return this.#places > 0;
  }

  /** Tenants that have series of their own now. */
  get holders(): readonly string[] {
    return [...this.#holders.keys()];
  }

  /** The account to add to, for one event of the tenant; it counts towards its activity. */
  of(tenantId: string): TenantAccount {
    const seen = this.#seen.get(tenantId);
    if (seen === undefined) return this.#first(tenantId);
    seen.weight += 1;
    return seen.account;
  }

  /** @param values all that the label may be; what is not among them counts as the last. */
  counter<Value extends string>(text: MetricText, label: string, values: readonly Value[]): TenantCounter<Value> {
    const from = this.#widen(values.length);
    const at: Record<string, number> = Object.create(null) as Record<string, number>;
    values.forEach((value, index) => (at[value] = from + index));
    this.#register(text, 'counter', ({ label: tenant, cells }) => values.map((value, index) => ({ labels: { tenant_id: tenant, [label]: value }, value: cells[from + index]! })));
    const last = from + values.length - 1;
    return { add: ({ cells }, value, amount = 1) => void (cells[at[value] ?? last]! += amount) };
  }

  /** A counter without a label of its own. */
  total(text: MetricText): { add(account: TenantAccount, amount: number): void } {
    const at = this.#widen(1);
    this.#register(text, 'counter', ({ label, cells }) => [{ labels: { tenant_id: label }, value: cells[at]! }]);
    return { add: ({ cells }, amount) => void (cells[at]! += amount) };
  }

  /** @param bounds upper ones, ascending and few: each is a series of each tenant. */
  histogram(text: MetricText, bounds: readonly number[]): TenantHistogram {
    const from = this.#widen(bounds.length + 2);
    const sum = from + bounds.length + 1;
    this.#register(text, 'histogram', ({ label, cells }) => {
      let count = 0;
      const buckets = [...bounds, '+Inf' as const].map((le, index): Sample => {
        count += cells[from + index]!;
        return { metricName: `${text.name}_bucket`, labels: { tenant_id: label, le }, value: count };
      });
      return [...buckets, { metricName: `${text.name}_sum`, labels: { tenant_id: label }, value: cells[sum]! }, { metricName: `${text.name}_count`, labels: { tenant_id: label }, value: count }];
    });
    return {
      observe({ cells }, amount) {
        let at = 0;
        while (at < bounds.length && amount > bounds[at]!) at += 1;
        cells[from + at]! += 1;
        cells[sum]! += amount;
      },
    };
  }

  /** @param read what is now, for tenants that have series of their own; those it leaves out are not shown. */
  gauge(text: MetricText, label: string, read: (tenants: readonly string[]) => Promise<ReadonlyMap<string, Readonly<Record<string, number>>>>): void {
    this.#show(text, 'gauge', async () => {
      const values = await read(this.holders);
      return [...values].filter(([tenant]) => this.#holders.has(tenant)).flatMap(([tenant, each]) => Object.entries(each).map(([name, value]): Sample => ({ labels: { tenant_id: tenant, [label]: name }, value })));
    });
  }

  #register(text: MetricText, type: 'counter' | 'histogram', samplesOf: (account: TenantAccount) => readonly Sample[]): void {
    this.#show(text, type, () => [...[...this.#holders.values()].map(({ account }) => account), ...this.#leaving, this.#other].flatMap(samplesOf));
  }

  /** As a registry reads it. */
  #show(text: MetricText, type: string, read: () => readonly Sample[] | Promise<readonly Sample[]>): void {
    if (!this.enabled) return;
    const get = async () => {
      this.#elect();
      return { ...text, type, aggregator: 'sum', values: await read() };
    };
    this.#options.registry.registerMetric({ ...text, type, aggregator: 'sum', get, getForPromString: get, reset: () => undefined } as unknown as Metric);
  }

  #widen(width: number): number {
    const from = this.#width;
    this.#width += width;
    for (const { cells } of [this.#other, ...[...this.#holders.values()].map(({ account }) => account), ...this.#departed.values()]) while (cells.length < this.#width) cells.push(0);
    return from;
  }

  #first(tenantId: string): TenantAccount {
    if (!this.enabled) return this.#other;
    if (this.#seen.size >= MOST_SEEN + this.#places) this.#fade();
    const seen: Seen = { tenantId, pinned: false, weight: 1, account: this.#other };
    if (this.#holders.size < this.#places) this.#admit(seen);
    else this.#seen.set(tenantId, seen);
    return seen.account;
  }

  #admit(seen: Seen): void {
    seen.account = this.#departed.get(seen.tenantId) ?? { label: seen.tenantId, cells: new Array<number>(this.#width).fill(0) };
    this.#departed.delete(seen.tenantId);
    this.#seen.set(seen.tenantId, seen);
    this.#holders.set(seen.tenantId, seen);
  }

  #dismiss(seen: Seen): void {
    this.#holders.delete(seen.tenantId);
    this.#departed.set(seen.tenantId, seen.account);
    this.#leaving.push(seen.account);
    seen.account = this.#other;
    for (const tenantId of this.#departed.keys()) {
      if (this.#departed.size <= this.#places * DEPARTED_PER_PLACE) break;
      this.#departed.delete(tenantId);
    }
  }

  /** Gives places to whoever did more than who holds them, once a window. */
  #elect(): void {
    const nowMs = this.#now();
    if (nowMs - this.#electedAtMs < (this.#options.windowMs ?? WINDOW_MS)) return;
    this.#electedAtMs = nowMs;
    const outside = [...this.#seen.values()].filter(({ tenantId }) => !this.#holders.has(tenantId)).sort((a, b) => b.weight - a.weight);
    const quietest = [...this.#holders.values()].filter(({ pinned }) => !pinned).sort((a, b) => a.weight - b.weight);
    for (const [index, holder] of quietest.entries()) {
      const newcomer = outside[index];
      if (newcomer === undefined || newcomer.weight <= holder.weight * FACTOR + MARGIN) break;
      this.#dismiss(holder);
      this.#admit(newcomer);
    }
    // A registry asks all metrics of one reading in the same turn.
    queueMicrotask(() => void (this.#leaving = []));
    this.#fade();
  }

  /** Halves all activity; who has done nothing lately and holds no place is forgotten. */
  #fade(): void {
    for (const seen of this.#seen.values()) {
      seen.weight = Math.floor(seen.weight / 2);
      if (seen.weight === 0 && !this.#holders.has(seen.tenantId)) this.#seen.delete(seen.tenantId);
    }
  }
}
