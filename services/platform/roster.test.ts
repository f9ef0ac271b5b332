import { describe, expect, it } from 'vitest';
import { Roster } from './roster.ts';

describe('a roster', () => {
  it('holds those who have come and not left, whatever the order in which they leave', () => {
    const roster = new Roster<number>();
    const expected = new Map<number, () => void>();
    // Members leave from the beginning, the middle and the end of what is there.
    for (let step = 0; step < 500; step += 1) {
      expected.set(step, roster.add(step));
      const leaving = [...expected.keys()][(step * 7) % expected.size]!;
      if (step % 3 === 0) continue;
      expected.get(leaving)!();
      expected.delete(leaving);
      expect([...roster].sort((one, other) => one - other)).toEqual([...expected.keys()]);
    }
    for (const leave of expected.values()) leave();
    expect([...roster]).toEqual([]);
  });

  it('lets a member leave twice without taking off another', () => {
    const roster = new Roster<string>();
    const leave = roster.add('a');
    leave();
    roster.add('b');
    leave();
    expect([...roster]).toEqual(['b']);
  });

  it('tells everybody who was there although they leave while they are told', () => {
    const roster = new Roster<string>();
    const leaving = new Map(['a', 'b', 'c'].map((name) => [name, roster.add(name)]));
    const told: string[] = [];
    for (const name of roster) {
      told.push(name);
      leaving.get(name)!();
    }
    expect(told.sort()).toEqual(['a', 'b', 'c']);
    expect([...roster]).toEqual([]);
  });
});
