/** What every PolicyRulesPort must do (PRS 6.3): keep a tenant's ordered rule sets, and name the one that holds. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PII_KINDS, type PolicyRule } from '../../../services/model-policy/ports/policy-rules.ts';
import { verifies } from '../../http/verifies.ts';
import type { PolicyRulesHarness } from '../contract.ts';
import { expectCapabilities, expectSameRefusal, pause, rejection } from '../fixtures.ts';

const STRICT: readonly PolicyRule[] = [
  { id: 'mail', kind: 'pii', types: ['email'], action: 'block', direction: 'request' },
  { id: 'words', kind: 'terms', terms: ['forbidden'], action: 'block' },
  { id: 'eu', kind: 'attributes', when: { data_classification: ['confidential'] }, require: { region: ['eu-west-1', 'context'] } },
  { id: 'small', kind: 'max_tokens', max: 100 },
];
const words = (...terms: string[]): readonly PolicyRule[] => [{ id: 'words', kind: 'terms', terms, action: 'block' }];

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
      const owner = await harness!.newTenant();
      const rules = await harness!.rules.get(owner, null);
      expect(rules).toMatchObject({ source: 'node', version: 1, updatedAtMs: null });
      expect(rules.rules.some((rule) => rule.kind === 'pii' && rule.types !== 'all' && rule.types.every((type) => (PII_KINDS as readonly string[]).includes(type)))).toBe(true);
      expect(await harness!.rules.get(owner, rules.policyId)).toEqual(rules);
    }));

    it('answers the one that is named, in its order, to its own tenant alone', verifies(['PRS-15.2-02', 'PRS-11.2-02', 'PRS-6.3-03'], async () => {
      const { rules } = harness!;
      const [owner, stranger] = [await harness!.newTenant(), await harness!.newTenant()];
      const { policy, created } = await rules.put(owner, { policyId: 'pol_strict', description: 'none', rules: STRICT });
      expect([created, policy.version, policy.source, policy.description]).toEqual([true, 1, 'tenant', 'none']);
      expect(await rules.get(owner, 'pol_strict')).toEqual(policy);
      expect(policy.rules).toEqual(STRICT);
      await expectSameRefusal(rules.get(stranger, 'pol_strict'), 'pol_strict', rules.get(stranger, 'pol_absent'), 'pol_absent');
      await expectSameRefusal(rules.delete(stranger, 'pol_strict'), 'pol_strict', rules.delete(stranger, 'pol_absent'), 'pol_absent');
      expect((await rules.list(stranger, { limit: 10 })).policies.map((each) => each.source)).toEqual(['node']);
    }));

    it('counts versions, shows a change at once, and gives the same object until the next', async () => {
      const { rules } = harness!;
      const owner = await harness!.newTenant();
      for (const [place, terms] of [['one'], ['two', 'three']].entries()) {
        const { policy, created } = await rules.put(owner, { policyId: 'pol_own', rules: words(...terms) });
        expect([policy.version, created]).toEqual([place + 1, place === 0]);
        const read = await rules.get(owner, 'pol_own');
        expect(read).toEqual(policy);
        await pause(harness!.staleMs + 50);
        expect(await rules.get(owner, 'pol_own')).toBe(read);
      }
    });
  });

  describe('changes to rule sets', () => changesSuite(() => harness!));
}

function changesSuite(harness: () => PolicyRulesHarness): void {
  it('replaces only the version that is named', async () => {
    const { rules } = harness();
    const owner = await harness().newTenant();
    expect((await rejection(rules.put(owner, { policyId: 'pol_v', rules: [], version: 1 }))).details).toMatchObject({ reason: 'version_conflict', version: null });
    await rules.put(owner, { policyId: 'pol_v', rules: words('one') });
    expect((await rules.put(owner, { policyId: 'pol_v', rules: words('two'), version: 1 })).policy.version).toBe(2);
    for (const version of [2 ** 40, Number.MAX_SAFE_INTEGER + 1, 1e308]) {
      expect(await rejection(rules.put(owner, { policyId: 'pol_v', rules: [], version })), String(version)).toMatchObject({ code: 'conflict', details: { reason: 'version_conflict', version: 2 } });
    }
    expect(await rejection(rules.put(owner, { policyId: 'pol_v', rules: [], version: 1 }))).toMatchObject({ code: 'conflict', details: { reason: 'version_conflict', version: 2 } });
    expect((await rules.get(owner, 'pol_v')).rules).toEqual(words('two'));
  });

  it('lists in order of the id, page by page', async () => {
    const { rules } = harness();
    const owner = await harness().newTenant();
    for (const policyId of ['pol_z', 'pol_B', 'pol_a']) await rules.put(owner, { policyId, rules: [] });
    const first = await rules.list(owner, { limit: 2 });
    expect([first.policies.map((each) => each.policyId), first.hasMore]).toEqual([['pol_B', 'pol_a'], true]);
    const rest = await rules.list(owner, { limit: 2, after: 'pol_a' });
    expect([rest.policies.map((each) => each.policyId), rest.hasMore]).toEqual([['pol_default', 'pol_z'], false]);
  });

  it('lets a tenant override the default, and have it back', async () => {
    const { rules } = harness();
    const owner = await harness().newTenant();
    await rules.put(owner, { policyId: 'pol_default', rules: [] });
    expect(await rules.get(owner, null)).toMatchObject({ source: 'tenant', rules: [] });
    expect((await rules.list(owner, { limit: 10 })).policies.map((each) => each.source)).toEqual(['tenant']);
    expect((await rules.get(await harness().newTenant(), null)).source).toBe('node');
    await rules.delete(owner, 'pol_default');
    expect((await rules.get(owner, null)).source).toBe('node');
    expect((await rejection(rules.delete(owner, 'pol_default'))).code).toBe('not_found');
  });

  it('forgets one that is deleted', async () => {
    const { rules } = harness();
    const owner = await harness().newTenant();
    await rules.put(owner, { policyId: 'pol_gone', rules: words('old') });
    await rules.get(owner, 'pol_gone');
    await rules.delete(owner, 'pol_gone');
    expect((await rejection(rules.get(owner, 'pol_gone'))).code).toBe('not_found');
    await rules.put(owner, { policyId: 'pol_gone', rules: words('new') });
    expect((await rules.get(owner, 'pol_gone')).rules).toEqual(words('new'));
  });
}
