/** What every AssertionUsesPort must do: let each assertion of a peer be used once, over all processes of a node. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../../services/platform/ids.ts';
import { verifies } from '../../http/verifies.ts';
import type { AssertionUsesHarness } from '../contract.ts';
import { expectCapabilities } from '../fixtures.ts';

const use = (issuer = 'stk_suite') => ({ issuer, jti: newId('jti'), expiresAtMs: Date.now() + 60_000 });

export function assertionUsesSuite(create: () => Promise<AssertionUsesHarness>): void {
  let harness: AssertionUsesHarness | undefined;
  beforeAll(async () => {
    harness = await create();
  });
  afterAll(() => harness?.dispose());

  describe('uses of assertions', () => {
    it('declares what it is', () => {
      expectCapabilities(harness!.uses.capabilities());
    });

    it('takes an assertion once', verifies(['PRS-7.4-02'], async () => {
      const { uses } = harness!;
      const first = use();
      expect(await uses.use(first)).toBe(true);
      expect(await uses.use(first)).toBe(false);
      expect(await uses.use({ ...first, expiresAtMs: first.expiresAtMs + 60_000 }), 'another expiry makes it no other assertion').toBe(false);
      expect(await uses.use(use())).toBe(true);
    }));

    it('gives each issuer ids of its own', async () => {
      const { uses } = harness!;
      const first = use('stk_a');
      expect(await uses.use(first)).toBe(true);
      expect(await uses.use({ ...first, issuer: 'stk_b' }), 'a peer could use up the ids of another one').toBe(true);
      // Joined without care, these two would be one.
      const jti = newId('jti');
      expect(await uses.use({ ...first, issuer: 'stk_c', jti: `d.${jti}` })).toBe(true);
      expect(await uses.use({ ...first, issuer: 'stk_c.d', jti })).toBe(true);
    });

    it('lets exactly one of many at once through, in every process', verifies(['PRS-7.4-02'], async () => {
      const other = await harness!.another?.();
      const ports = other === undefined ? [harness!.uses] : [harness!.uses, other.uses];
      try {
        for (let round = 0; round < 10; round += 1) {
          const contested = use();
          const answers = await Promise.all(Array.from({ length: 12 }, (_, index) => ports[index % ports.length]!.use(contested)));
          expect(answers.filter(Boolean)).toHaveLength(1);
        }
      } finally {
        await other?.close();
      }
    }));

    it('keeps what has not expired while it forgets what has', async () => {
      const { uses } = harness!;
      const [old, live] = [{ ...use(), expiresAtMs: Date.now() - 3_600_000 }, use()];
      await uses.use(old);
      expect(await uses.use(live)).toBe(true);
      for (let more = 0; more < 20; more += 1) await uses.use(use());
      expect(await uses.use(live)).toBe(false);
    });
  });
}
