import { describe, expect, it } from 'vitest';
import { Backlog } from './backlog.ts';

/** A queue of so many places, counted as full at 0 ms and found full by so many creations. */
function found(limit: number, refused: number): Backlog {
  const backlog = new Backlog();
  backlog.within(limit);
  backlog.counted(limit, 0);
  for (let n = 0; n < refused; n += 1) expect(backlog.full(0)).toBe(limit);
  return backlog;
}

describe('the backlog', () => {
  it('is counted now and then while it is short, and by every creation near its limit', () => {
    const backlog = new Backlog();
    backlog.within(10_000);
    expect(backlog.countUpTo(0, 1), 'nothing is known yet').toBe(10_000);
    backlog.counted(4_000, 0);
    expect(backlog.countUpTo(249, 100)).toBeNull();
    expect(backlog.countUpTo(250, 100)).toBe(10_000);
    expect(backlog.countUpTo(1, 1_000), 'with these it would be near').toBe(10_000);
    backlog.within(undefined);
    expect(backlog.countUpTo(1_000, 1)).toBeNull();
    expect(backlog.full(1_000)).toBeNull();
  });

  it('counts what is admitted in between', () => {
    const backlog = new Backlog();
    backlog.within(2);
    backlog.counted(0, 0);
    for (const expected of [null, null, 2]) {
      expect(backlog.full(0)).toBe(expected);
      if (expected === null) backlog.admitted();
    }
  });

  it('lets who comes alone ask again, and tells a crowd from memory for a moment', () => {
    expect(found(100, 3).standing(100, 1)).toBeNull();
    const crowded = found(100, 20);
    expect(crowded.standing(100, 99)).toBe(100);
    expect(crowded.standing(100, 100), 'then it is counted again').toBeNull();
    expect(crowded.standing(200, 50), 'a limit that was changed has to be asked for').toBeNull();
  });

  it('tells nobody from memory once there is room, or the crowd is gone', () => {
    const crowded = found(100, 20);
    crowded.counted(99, 10);
    expect(crowded.standing(100, 11)).toBeNull();
    const later = found(100, 20);
    later.counted(100, 5_000);
    expect(later.standing(100, 5_001)).toBeNull();
  });
});
