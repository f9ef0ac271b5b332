/** What every CanaryStatePort must do: tell all processes alike which canaries were rolled back. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifies } from '../../http/verifies.ts';
import type { CanaryStateHarness } from '../contract.ts';
import { expectCapabilities } from '../fixtures.ts';

export function canaryStateSuite(create: () => Promise<CanaryStateHarness>): void {
  let harness: CanaryStateHarness | undefined;
  beforeAll(async () => {
    harness = await create();
  });
  afterAll(() => harness?.dispose());

  describe('roll-backs', () => {
    const made = { name: 'next', version: 'v1', reason: 'error_rate 0.12 > 0.02', atMs: 1_780_000_000_000 };

    it('declares what it is', () => {
      expectCapabilities(harness!.canaryState.capabilities());
    });

    it('keeps the first of many, and answers everybody with it', verifies(['PRS-6.3-08'], async () => {
      const { canaryState } = harness!;
      expect(await canaryState.rolledBack()).toEqual([]);
      expect(await canaryState.rollBack(made)).toEqual(made);
      const others = await Promise.all(Array.from({ length: 8 }, (_, index) => canaryState.rollBack({ ...made, reason: `other ${index}`, atMs: made.atMs + index })));
      expect(others).toEqual(Array(8).fill(made));
      expect(await canaryState.rolledBack()).toEqual([made]);
    }));

    it('tells versions of a rule apart', async () => {
      const { canaryState } = harness!;
      const next = { ...made, version: 'v2', atMs: made.atMs + 1_000 };
      await canaryState.rollBack(next);
      const found = await canaryState.rolledBack();
      expect(found).toContainEqual(next);
      expect(found.filter((each) => each.version === 'v2')).toHaveLength(1);
    });
  });
}
