/** What every PolicyRulesPort must do (PRS 6.3): name a tenant's rule set, or its default. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifies } from '../../http/verifies.ts';
import type { PolicyRulesHarness } from '../contract.ts';
import { expectCapabilities, expectSameRefusal, pause, rejection } from '../fixtures.ts';

const KINDS = ['email', 'phone', 'card', 'iban', 'ssn', 'ip', 'secret'];

export function policyRulesSuite(create: () => Promise<PolicyRulesHarness>): void {
  let harness: PolicyRulesHarness | undefined;
  beforeAll(async () => {
    harness = await create();
  });
  afterAll(() => harness?.dispose());

  describe('rule sets', () => {
    it('declares what it is', () => {
      expectCapabilities(harness!.rules.capabilities());
    });

    it('has a default for every tenant', verifies(['PRS-6.2-07'], async () => {
      const rules = await harness!.rules.get(await harness!.newTenant(), null);
      expect(rules.policyId.length).toBeGreaterThan(0);
      for (const [kind, action] of Object.entries(rules.pii)) {
        expect(KINDS).toContain(kind);
        expect(['redact', 'block']).toContain(action);
      }
      expect(Array.isArray(rules.deniedTerms)).toBe(true);
    }));

    it('answers the one that is named, to its own tenant alone', verifies(['PRS-15.2-02', 'PRS-11.2-02'], async () => {
      const [owner, stranger] = [await harness!.newTenant(), await harness!.newTenant()];
      const strict = { policyId: 'pol_strict', pii: { email: 'block', card: 'redact' }, deniedTerms: ['forbidden'] } as const;
      await harness!.put(owner, strict);
      expect(await harness!.rules.get(owner, 'pol_strict')).toEqual(strict);
      await expectSameRefusal(harness!.rules.get(stranger, 'pol_strict'), 'pol_strict', harness!.rules.get(stranger, 'pol_absent'), 'pol_absent');
    }));

    it('follows a change within the time it may be stale', async () => {
      const owner = await harness!.newTenant();
      for (const deniedTerms of [['one'], ['two', 'three']]) {
        await harness!.put(owner, { policyId: 'pol_own', pii: {}, deniedTerms });
        await pause(harness!.staleMs + 50);
        expect((await harness!.rules.get(owner, 'pol_own')).deniedTerms).toEqual(deniedTerms);
      }
    });

    it('refuses one that there is not', async () => {
      expect((await rejection(harness!.rules.get(await harness!.newTenant(), 'pol_absent'))).code).toBe('not_found');
    });
  });
}
