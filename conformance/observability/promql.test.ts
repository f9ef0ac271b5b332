import { describe, expect, it } from 'vitest';
import { readExposition, sampleOf } from './exposition.ts';
import { check } from './promql.ts';

const EXPOSED = readExposition(`
# HELP things_total Things.
# TYPE things_total counter
things_total{service="a",result="ok"} 1
things_total{service="a",result="failed",note="with \\"quotes\\", and {braces}"} 0
things_ms_bucket{service="a",le="+Inf"} 2
depth 3
`);

const labels = (expression: string): string[] => [...check(expression, EXPOSED).labels.keys()].sort();

describe('reading what is exposed', () => {
  it('knows names, labels and values, whatever stands in them', () => {
    expect([...EXPOSED.keys()]).toEqual(['things_total', 'things_ms_bucket', 'depth']);
    expect(EXPOSED.get('things_total')!.get('note')).toEqual(new Set(['with \\"quotes\\", and {braces}']));
    expect(sampleOf('a{x="1"} 2\na{x="2"} 3\n', 'a', { x: '2' })).toBe(3);
  });

  it('refuses what is no exposition', () => {
    expect(() => readExposition('things{a=b} 1')).toThrow('cannot be read');
    expect(() => readExposition('{}')).toThrow('no sample');
  });
});

describe('checking a query', () => {
  it('works out the labels of its answer', () => {
    expect(labels('rate(things_total[5m])')).toEqual(['note', 'result', 'service']);
    expect(labels('sum by (service) (rate(things_total{result="ok"}[5m])) / (sum by (service) (rate(things_total[5m])) > 0)')).toEqual(['service']);
    expect(labels('sum without (note) (things_total)')).toEqual(['result', 'service']);
    expect(labels('histogram_quantile(0.95, sum by (service, le) (rate(things_ms_bucket[5m])))')).toEqual(['service']);
    expect(labels('topk(3, things_total)')).toEqual(['note', 'result', 'service']);
    expect(labels('sum(things_total) or vector(0)')).toEqual([]);
    expect(labels('things_total / on (service) group_left () sum by (service) (things_ms_bucket)')).toEqual(['note', 'result', 'service']);
    expect(labels('clamp_max(2 * (things_total > bool 1), 2)')).toEqual(['note', 'result', 'service']);
  });

  it.each([
    ['a metric that nobody exposes', 'rate(thing_total[5m])', 'Nothing exposes thing_total'],
    ['a label that it does not have', 'things_total{tenant_id="a"}', 'things_total has no label tenant_id'],
    ['a value that never occurs', 'things_total{result="fine"}', 'never has result="fine"'],
    ['grouping by what it does not have', 'sum by (tenant) (things_total)', 'has no label tenant'],
    ['grouping by what an aggregation has dropped', 'sum by (result) (sum by (service) (things_total))', 'has no label result'],
    ['a quantile without buckets', 'histogram_quantile(0.9, sum by (service) (things_ms_bucket))', 'has no label le'],
    ['sides that never fit', 'sum by (service) (things_total) / sum by (result) (things_total)', 'nothing fits'],
    ['matching on a label of one side alone', 'things_total / on (result) things_ms_bucket', 'has no label result'],
    ['what is not PromQL', 'rate(things_total{[5m])', 'Not PromQL'],
  ])('finds %s', (_what, expression, problem) => {
    expect(() => check(expression, EXPOSED)).toThrow(problem);
  });
});
