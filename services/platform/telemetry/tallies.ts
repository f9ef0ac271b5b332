/**
 * Counters and histograms for what is counted with every request. prom-client finds a child by its labels anew each time,
 * a bound child too; here whoever counts keeps the child, and the registry reads it when somebody asks for metrics.
 */
import type { Metric, Registry } from 'prom-client';

type Labels<Name extends string> = Readonly<Record<Name, string>>;

export interface TallyOptions {
  readonly name: string;
  readonly help: string;
  readonly registers: readonly Registry[];
}

/** One set of labels. */
export interface Tally {
  add(amount: number): void;
}

class Count<Name extends string> implements Tally {
  readonly labels: Labels<Name>;
  value = 0;

  constructor(labels: Labels<Name>) {
    this.labels = labels;
  }

  add(amount: number): void {
    this.value += amount;
  }
}

class Distribution<Name extends string> implements Tally {
  readonly labels: Labels<Name>;
  readonly bounds: readonly number[];
  /** Not cumulative; the last is what lies above all bounds. */
  readonly counts: number[];
  sum = 0;

  constructor(labels: Labels<Name>, bounds: readonly number[]) {
    this.labels = labels;
    this.bounds = bounds;
    this.counts = new Array<number>(bounds.length + 1).fill(0);
  }

  add(amount: number): void {
    this.sum += amount;
    let at = 0;
    while (at < this.bounds.length && amount > this.bounds[at]!) at += 1;
    this.counts[at]! += 1;
  }
}

interface Sample {
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly sharedLabels?: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A metric as a registry reads it. */
abstract class TallyMetric<Name extends string, Child extends Tally> {
  readonly name: string;
  readonly help: string;
  readonly aggregator = 'sum';
  abstract readonly type: 'counter' | 'histogram';
  readonly #children = new Map<string, Child>();

  constructor({ name, help, registers }: TallyOptions) {
    this.name = name;
    this.help = help;
    for (const registry of registers) registry.registerMetric(this as unknown as Metric);
  }

  protected abstract make(labels: Labels<Name>): Child;
  protected abstract samplesOf(child: Child): readonly Sample[];

  /** The same child for the same labels. Keep it: finding it costs what this is here to save. */
  of(labels: Labels<Name>): Tally {
    const key = JSON.stringify(Object.entries(labels).sort());
    let child = this.#children.get(key);
    if (child === undefined) this.#children.set(key, (child = this.make(labels)));
    return child;
  }

  reset(): void {
    this.#children.clear();
  }

  async getForPromString() {
    return { name: this.name, help: this.help, type: this.type, aggregator: this.aggregator, values: [...this.#children.values()].flatMap((child) => this.samplesOf(child)) };
  }

  async get() {
    const read = await this.getForPromString();
    return { ...read, values: read.values.map(({ sharedLabels, labels, ...sample }) => ({ ...sample, labels: { ...labels, ...sharedLabels } })) };
  }
}

export class TallyCounter<Name extends string> extends TallyMetric<Name, Count<Name>> {
  readonly type = 'counter';

  protected make(labels: Labels<Name>): Count<Name> {
    return new Count(labels);
  }

  protected samplesOf({ labels, value }: Count<Name>): readonly Sample[] {
    return value === 0 ? [] : [{ labels, value }];
  }
}

export class TallyHistogram<Name extends string> extends TallyMetric<Name, Distribution<Name>> {
  readonly type = 'histogram';
  readonly #bounds: readonly number[];

  /** @param options `buckets`: upper bounds, ascending. */
  constructor(options: TallyOptions & { readonly buckets: readonly number[] }) {
    super(options);
    this.#bounds = options.buckets;
  }

  protected make(labels: Labels<Name>): Distribution<Name> {
    return new Distribution(labels, this.#bounds);
  }

  protected samplesOf({ labels, bounds, counts, sum }: Distribution<Name>): readonly Sample[] {
    let count = 0;
    const buckets = counts.map((each, at): Sample => {
      count += each;
      return { metricName: `${this.name}_bucket`, labels: { le: bounds[at] ?? '+Inf' }, sharedLabels: labels, value: count };
    });
    if (count === 0) return [];
    return [...buckets, { metricName: `${this.name}_sum`, labels: {}, sharedLabels: labels, value: sum }, { metricName: `${this.name}_count`, labels: {}, sharedLabels: labels, value: count }];
  }
}
