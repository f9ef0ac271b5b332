import { describe, expect, it } from 'vitest';
import { decodeTime } from 'ulid';
import { derivedId, newId } from './ids.ts';

describe('new ids', () => {
  it('are prefixed ULIDs, unique and in order', () => {
    const ids = Array.from({ length: 20_000 }, () => newId('run'));
    expect(new Set(ids).size).toBe(ids.length);
    expect([...ids].sort()).toEqual(ids);
    expect(ids.every((id) => /^run_[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(id))).toBe(true);
  });

  it('use every character in their random part', async () => {
    const seen = new Set<string>();
    for (let round = 0; round < 60; round += 1) {
      for (const character of newId('evt').slice(14, 28)) seen.add(character);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(seen.size).toBe(32);
  });

  // The last one: the ids behind it follow the time that it was given.
  it('stay in order whatever the clock does, and tell the time they were made for', () => {
    const ahead = Date.now() + 60_000;
    const ids = [newId('use'), newId('use', ahead), newId('use', ahead - 30_000), newId('use'), newId('use', ahead + 1)];
    expect([...ids].sort()).toEqual(ids);
    expect(decodeTime(ids[1]!.slice(4))).toBe(ahead);
    expect(decodeTime(ids[4]!.slice(4))).toBe(ahead + 1);
  });
});

describe('derived ids', () => {
  it('depend on their parts alone, and on where one part ends', () => {
    expect(derivedId('evt', 'run_1', 3, 'started')).toBe(derivedId('evt', 'run_1', 3, 'started'));
    expect(derivedId('evt', 'run_1', 3, 'started')).toMatch(/^evt_[0-9A-HJKMNP-TV-Z]{26}$/);
    expect(derivedId('evt', 'a', 'bc')).not.toBe(derivedId('evt', 'ab', 'c'));
    expect(derivedId('evt', 'a')).not.toBe(derivedId('stp', 'a'));
  });
});
