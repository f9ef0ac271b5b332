/** What every DecisionsPort must do: keep each decision once, for its own tenant, and find it again. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifies } from '../../http/verifies.ts';
import { newId } from '../../../services/platform/ids.ts';
import type { DecisionsHarness } from '../contract.ts';
import { decisionOf } from '../decision-fixtures.ts';
import { expectCapabilities, expectSameRefusal } from '../fixtures.ts';

export function decisionsSuite(create: () => Promise<DecisionsHarness>): void {
  let harness: DecisionsHarness | undefined;
  beforeAll(async () => {
    harness = await create();
  });
  afterAll(() => harness?.dispose());

  describe('keeping', () => keeping(() => harness!));
  describe('finding', () => finding(() => harness!));
}

function keeping(under: () => DecisionsHarness): void {
  it('declares what it is', () => {
    expectCapabilities(under().decisions.capabilities());
  });

  it('answers a decision as it was recorded, and of several under one request the newest', async () => {
    const { decisions } = under();
    const auth = await under().newTenant();
    const first = decisionOf(auth);
    await decisions.record(auth, first);
    expect(await decisions.get(auth, first.request_id)).toEqual(first);
    const second = decisionOf(auth, { request_id: first.request_id, outcome: 'timeout' });
    await decisions.record(auth, second);
    expect(await decisions.get(auth, first.request_id)).toEqual(second);
  });

  it('keeps the same record once, however often and with whatever company it comes', async () => {
    const { decisions } = under();
    const auth = await under().newTenant();
    const all = Array.from({ length: 40 }, () => decisionOf(auth));
    await Promise.all([...all, ...all, { ...all[0]!, outcome: 'timeout' }].map((each) => decisions.record(auth, each)));
    const { decisions: found, hasMore } = await decisions.list(auth, { limit: 100 });
    expect(found.map((each) => each.decision_id)).toEqual(all.map((each) => each.decision_id).reverse());
    expect(hasMore).toBe(false);
    expect((await decisions.get(auth, all[0]!.request_id)).outcome).toBe('ok');
  });
}

function finding(under: () => DecisionsHarness): void {
  it('pages newest first and filters by decision, served model and time', async () => {
    const { decisions } = under();
    const auth = await under().newTenant();
    const at = (minute: number): string => new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString();
    const all = Array.from({ length: 6 }, (_, index) => decisionOf(auth, {
      at: at(index),
      ...(index % 2 === 0 ? {} : { policy: { policy_id: 'pol_default', version: null, decision: 'blocked' as const, reasons: ['denied_term'], redactions: [] }, candidates: [] }),
    }));
    for (const each of all) await decisions.record(auth, each);
    const ids = async (query: Partial<Parameters<typeof decisions.list>[1]>): Promise<number[]> => (await decisions.list(auth, { limit: 10, ...query })).decisions.map((each) => all.findIndex((one) => one.decision_id === each.decision_id));
    expect(await ids({})).toEqual([5, 4, 3, 2, 1, 0]);
    const page = await decisions.list(auth, { limit: 4 });
    expect(page.hasMore).toBe(true);
    expect(await ids({ limit: 4, after: page.decisions[3]!.decision_id })).toEqual([1, 0]);
    expect(await ids({ decision: 'blocked' })).toEqual([5, 3, 1]);
    expect(await ids({ model: 'm-1' })).toEqual([4, 2, 0]);
    expect(await ids({ model: 'm-2' }), 'a model that was only looked at').toEqual([]);
    expect(await ids({ fromMs: Date.parse(at(1)), toMs: Date.parse(at(4)) })).toEqual([3, 2, 1]);
  });

  it('holds what no text of a database can', async () => {
    const auth = await under().newTenant();
    const strange = decisionOf(auth, { model_ref: 'a\u0000b\ud800', request_id: newId('req') });
    await under().decisions.record(auth, strange);
    expect((await under().decisions.get(auth, strange.request_id)).model_ref).toMatch(/^a.b.$/s);
  });

  it("shows a tenant its own, and another's as none", verifies(['PRS-15.2-02', 'PRS-11.2-02'], async () => {
    const { decisions } = under();
    const [owner, stranger] = [await under().newTenant(), await under().newTenant()];
    const made = decisionOf(owner);
    await decisions.record(owner, made);
    await expectSameRefusal(decisions.get(stranger, made.request_id), made.request_id, decisions.get(stranger, 'req_absent'), 'req_absent');
    expect((await decisions.list(stranger, { limit: 10 })).decisions).toEqual([]);
    // Whose it is says the caller, not the record.
    await decisions.record(stranger, decisionOf(owner, { request_id: 'req_forged' }));
    await expect(decisions.get(owner, 'req_forged')).rejects.toMatchObject({ code: 'not_found' });
  }));
}
