import { describe, expect, it } from 'vitest';
import { KeyUses, type KeyUse } from './key-uses.ts';

const MINUTE = 60_000;

function uses(fail: () => boolean = () => false): { uses: KeyUses; written: KeyUse[][]; at: (ms: number) => void } {
  const written: KeyUse[][] = [];
  let now = 10 * MINUTE + 12_345;
  return {
    uses: new KeyUses(async (batch) => {
      if (fail()) throw new Error('down');
      written.push([...batch]);
    }, () => now),
    written,
    at: (ms) => { now = ms; },
  };
}
const key = (keyId: string) => ({ tenantId: 'tnt_a', keyId });

describe('uses of keys', () => {
  it('are written together, at most once a minute a key', async () => {
    const { uses: under, written, at } = uses();
    for (let use = 0; use < 1_000; use += 1) under.note(key(use % 2 === 0 ? 'key_1' : 'key_2'));
    await under.flush();
    under.note(key('key_1'));
    await under.flush();
    expect(written).toEqual([[{ ...key('key_1'), minuteMs: 10 * MINUTE }, { ...key('key_2'), minuteMs: 10 * MINUTE }]]);
    at(11 * MINUTE);
    under.note(key('key_1'));
    await under.flush();
    expect(written[1]).toEqual([{ ...key('key_1'), minuteMs: 11 * MINUTE }]);
  });

  it('that cannot be written hurt nobody, and are noted again in the next minute', async () => {
    let down = true;
    const { uses: under, written, at } = uses(() => down);
    under.note(key('key_1'));
    await expect(under.flush()).resolves.toBeUndefined();
    down = false;
    at(11 * MINUTE);
    under.note(key('key_1'));
    await under.flush();
    expect(written).toEqual([[{ ...key('key_1'), minuteMs: 11 * MINUTE }]]);
  });

  it('are written by themselves after a moment', async () => {
    const { uses: under, written } = uses();
    under.note(key('key_1'));
    expect(written).toEqual([]);
    await expect.poll(() => written.length, { timeout: 5_000 }).toBe(1);
  });
});
