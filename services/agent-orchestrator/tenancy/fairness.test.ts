import { describe, expect, it } from 'vitest';
import { QueuePlaces, type GivenRanks, type WaitingRanks } from './fairness.ts';

const empty = () => new QueuePlaces(null, new Map(), new Map());

describe('places in the queue', () => {
  it('lines up the runs of one tenant', () => {
    const places = empty();
    expect([1, 2, 3].map(() => places.next('a', 1))).toEqual([0, 1, 2]);
  });

  it('puts a tenant that comes with one run at the front', () => {
    const places = new QueuePlaces(500, new Map([['a', [null, 2_000, null]]]), new Map());
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

  /** Claims the smallest of what waits; whoever is served comes back with one run at once. */
  function closedLoop(waiting: { tenant: string; level: 0 | 1 | 2; rank: number }[], rounds: number): string[] {
    const served: string[] = [];
    const given = new Map<string, GivenRanks>();
    for (let round = 0; round < rounds; round += 1) {
      // Of equal ranks the newest goes first: the worst that an index could do.
      const next = waiting.reduce((best, run) => (run.rank <= best.rank ? run : best));
      waiting.splice(waiting.indexOf(next), 1);
      served.push(`${next.tenant}${next.level}`);
      if (next.tenant.startsWith('backlog')) continue;
      const newest = new Map<string, WaitingRanks>();
      for (const { tenant, level, rank } of waiting) {
        const ranks: [number | null, number | null, number | null] = [...(newest.get(tenant) ?? ([null, null, null] as const))];
        ranks[level] = Math.max(ranks[level] ?? rank, rank);
        newest.set(tenant, ranks);
      }
      const places = new QueuePlaces(Math.min(...waiting.map(({ rank }) => rank)), newest, given);
      waiting.push({ tenant: next.tenant, level: next.level, rank: places.next(next.tenant, next.level) });
      given.set(next.tenant, places.given(next.tenant));
    }
    return served;
  }

  it('let no tenant starve behind many that come back as soon as they are served', () => {
    const waiting = [
      ...Array.from({ length: 40 }, (_, rank) => ({ tenant: 'backlog', level: 1 as const, rank })),
      ...Array.from({ length: 20 }, (_, index) => ({ tenant: `loop${index}`, level: 1 as const, rank: 0 })),
    ];
    expect(closedLoop(waiting, 400).filter((run) => run === 'backlog1').length, 'its share of 21 tenants').toBeGreaterThanOrEqual(18);
  });

  it('let no priority starve behind a higher one that never ends', () => {
    const places = empty();
    const low = { tenant: 'backlog', level: 0 as const, rank: places.next('backlog', 0) };
    const high = Array.from({ length: 3 }, (_, index) => ({ tenant: `loop${index}`, level: 2 as const, rank: places.next(`loop${index}`, 2) }));
    expect(closedLoop([low, ...high], 10)).toContain('backlog0');
  });
});
