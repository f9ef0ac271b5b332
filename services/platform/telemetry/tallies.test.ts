import { Counter, Histogram, Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { TallyCounter, TallyHistogram } from './tallies.ts';

const BUCKETS = [1, 2.5, 5];
const AMOUNTS = [0.5, 1, 1.01, 2.5, 4, 5, 5.1, 1_000];

describe('tallies', () => {
  it("tell a registry what prom-client's own metrics tell", async () => {
    const [own, theirs] = [new Registry(), new Registry()];
    for (const registry of [own, theirs]) registry.setDefaultLabels({ service: 'a' });
    const count = new TallyCounter<'model' | 'outcome'>({ name: 'calls', help: 'Calls.', registers: [own] });
    const time = new TallyHistogram<'model'>({ name: 'ms', help: 'Milliseconds.', buckets: BUCKETS, registers: [own] });
    const theirCount = new Counter({ name: 'calls', help: 'Calls.', labelNames: ['model', 'outcome'], registers: [theirs] });
    const theirTime = new Histogram({ name: 'ms', help: 'Milliseconds.', labelNames: ['model'], buckets: BUCKETS, registers: [theirs] });
    for (const model of ['a "quoted" one', 'b']) {
      for (const amount of AMOUNTS) {
        count.of({ model, outcome: 'ok' }).add(amount);
        time.of({ model }).add(amount);
        theirCount.inc({ model, outcome: 'ok' }, amount);
        theirTime.observe({ model }, amount);
      }
    }
    expect(await own.metrics()).toBe(await theirs.metrics());
    expect((await time.get()).values).toEqual(expect.arrayContaining([expect.objectContaining({ metricName: 'ms_count', labels: { model: 'b' }, value: AMOUNTS.length })]));
  });

  it('are one for the same labels, in whatever order, and are not told of before something was counted', async () => {
    const registry = new Registry();
    const count = new TallyCounter<'a' | 'b'>({ name: 'calls', help: 'Calls.', registers: [registry] });
    const child = count.of({ a: '1', b: '2' });
    expect(count.of({ b: '2', a: '1' })).toBe(child);
    expect(await registry.metrics()).not.toContain('{');
    child.add(2);
    expect(await registry.metrics()).toContain('calls{a="1",b="2"} 2');
    expect(() => new TallyCounter({ name: 'calls', help: 'Again.', registers: [registry] })).toThrow();
  });
});
