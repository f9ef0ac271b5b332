import { describe, expect, it } from 'vitest';
import { QueuePlaces } from './fairness.ts';

const empty = () => new QueuePlaces(null, new Map());

describe('places in the queue', () => {
  it('lines up the runs of one tenant', () => {
    const places = empty();
    expect([1, 2, 3].map(() => places.next('a', 1))).toEqual([0, 1, 2]);
  });

  it('puts a tenant that comes with one run at the front', () => {
    const places = new QueuePlaces(500, new Map([['a', [null, 2_000, null]]]));
    expect(places.next('b', 1)).toBe(500);
    expect(places.next('a', 1)).toBe(2_001);
    expect(places.next('b', 1)).toBe(501);
  });

  it('alternates between tenants, whatever their backlog', () => {
    const places = empty();
    const waiting = [...Array.from({ length: 2_000 }, () => ({ tenant: 'big', rank: places.next('big', 1) })), ...['x', 'y'].flatMap((tenant) => Array.from({ length: 10 }, () => ({ tenant, rank: places.next(tenant, 1) })))];
    const first = waiting.sort((a, b) => a.rank - b.rank).slice(0, 30);
    expect(first.filter((run) => run.tenant === 'big')).toHaveLength(10);
  });

  it('orders the runs of one tenant by priority', () => {
    const places = empty();
    const low = [places.next('a', 0), places.next('a', 0)];
    const normal = places.next('a', 1);
    const high = [places.next('a', 2), places.next('a', 2)];
    expect(high).toEqual([0, 1]);
    expect(normal).toBeLessThanOrEqual(low[1]!);
    expect(places.next('a', 1)).toBe(2);
    expect(places.next('a', 0)).toBe(3);
  });

  it('gives a tenant that uses every priority three lines at most', () => {
    const places = empty();
    for (let round = 0; round < 100; round += 1) for (const level of [0, 1, 2] as const) places.next('a', level);
    const ranks = Array.from({ length: 5 }, () => places.next('b', 1));
    expect(ranks).toEqual([0, 1, 2, 3, 4]);
  });
});
