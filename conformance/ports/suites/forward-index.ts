/** What every ForwardIndexPort must do: one forward a key, one run a forward, and nothing of it lost that was acknowledged. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../../services/platform/ids.ts';
import type { ForwardedTo, NewForward } from '../../../services/federation/ports/forward-index.ts';
import { verifies } from '../../http/verifies.ts';
import type { ForwardIndexHarness } from '../contract.ts';
import { contextOf, rejection } from '../fixtures.ts';

const newForward = (more: Partial<NewForward> = {}): NewForward => ({
  forwardId: newId('fwd'), targetStackId: 'stk_b', run: { agent_id: 'agt_x', input: 'hello' }, correlationId: 'corr_suite', idempotency: null, ...more,
});
const keyed = (key: string, requestHash = 'h', more: Partial<NewForward> = {}): NewForward => newForward({ idempotency: { key, requestHash, ttlHours: 24 }, ...more });
const remote = (runId = newId('run')): ForwardedTo => ({ runId, eventsUrl: `https://b.example/v1/runs/${runId}/events`, status: 'queued' });

export function forwardIndexSuite(create: () => Promise<ForwardIndexHarness>): void {
  let harness: ForwardIndexHarness | undefined;
  beforeAll(async () => {
    harness = await create();
  });
  afterAll(() => harness?.dispose());
  const under = () => harness!;
  describe('forwards', () => forwards(under));
  describe('keys', () => keys(under));
  describe('time', () => time(under));
}

function forwards(under: () => ForwardIndexHarness): void {
  it('are there from their beginning, and are found by their run once it is known', verifies(['PRS-7.3-03', 'PRS-7.4-11'], async () => {
    const { index, newTenant } = under();
    const auth = await newTenant();
    const forward = newForward();
    const begun = await index.begin(auth, forward);
    expect(begun).toMatchObject({ outcome: 'new', forward: { forwardId: forward.forwardId, tenantId: auth.tenant_id, principalId: auth.principal.principal_id, agentId: 'agt_x', targetStackId: 'stk_b', correlationId: 'corr_suite', remote: null } });
    const to = remote();
    expect(await index.findByRun(auth, to.runId)).toBeNull();
    const completed = await index.complete(auth, forward.forwardId, to);
    expect(completed).toMatchObject({ forwardId: forward.forwardId, remote: to });
    expect(await index.findByRun(auth, to.runId)).toEqual(completed);
    expect(Math.abs(Date.parse(completed.createdAt) - Date.now())).toBeLessThan(60_000);
  }));

  it('are completed once: the same run again changes nothing, another one is a conflict, and so is a run that another forward has', async () => {
    const { index, newTenant } = under();
    const auth = await newTenant();
    const [one, two] = [newForward(), newForward()];
    await index.begin(auth, one);
    await index.begin(auth, two);
    const to = remote();
    const first = await index.complete(auth, one.forwardId, to);
    expect(await index.complete(auth, one.forwardId, { ...to, status: 'completed', eventsUrl: 'https://b.example/other' })).toEqual(first);
    expect(await rejection(index.complete(auth, one.forwardId, remote()))).toMatchObject({ code: 'conflict', details: { reason: 'forward_run_taken' } });
    expect(await rejection(index.complete(auth, two.forwardId, to))).toMatchObject({ code: 'conflict', details: { reason: 'forward_run_taken' } });
    expect(await rejection(index.complete(auth, newId('fwd'), remote()))).toMatchObject({ code: 'not_found' });
    const both = await Promise.all(Array.from({ length: 10 }, () => index.complete(auth, two.forwardId, remote('run_of_two'))));
    expect(new Set(both.map((record) => record.remote!.runId))).toEqual(new Set(['run_of_two']));
  });

  it('of another tenant are not there, under the same ids and the same run', verifies(['PRS-13-09'], async () => {
    const { index, newTenant } = under();
    const [one, two] = [await newTenant(), await newTenant()];
    const forward = keyed('k');
    const to = remote();
    await index.begin(one, forward);
    await index.complete(one, forward.forwardId, to);
    expect(await index.findByRun(two, to.runId)).toBeNull();
    expect(await index.find(two, 'agt_x', { key: 'k', requestHash: 'h' })).toBeNull();
    expect(await rejection(index.complete(two, forward.forwardId, to))).toMatchObject({ code: 'not_found' });
    await index.abandon(two, forward.forwardId);
    expect(await index.begin(two, forward)).toMatchObject({ outcome: 'new', forward: { tenantId: two.tenant_id } });
    expect(await index.complete(two, forward.forwardId, to)).toMatchObject({ tenantId: two.tenant_id });
    expect(await index.findByRun(one, to.runId)).toMatchObject({ tenantId: one.tenant_id });
  }));

  it('survive a restart, the unfinished ones too', verifies(['PRS-7.4-11'], async ({ skip }: { skip: (note: string) => void }) => {
    const { index, newTenant, restart } = under();
    if (!index.capabilities().durable) return skip('it does not say that it is durable');
    expect(restart, 'a harness of a durable adapter must offer restart()').toBeDefined();
    const auth = await newTenant();
    const [done, open] = [keyed('done'), keyed('open')];
    await index.begin(auth, done);
    await index.begin(auth, open);
    const record = await index.complete(auth, done.forwardId, remote());
    const after = await restart!();
    try {
      expect(await after.index.findByRun(auth, record.remote!.runId)).toEqual(record);
      expect(await after.index.begin(auth, keyed('done'))).toEqual({ outcome: 'repeated', forward: record });
      expect(await after.index.begin(auth, keyed('open'))).toMatchObject({ outcome: 'repeated', forward: { forwardId: open.forwardId, remote: null } });
    } finally {
      await after.close();
    }
  }));
}

function keys(under: () => ForwardIndexHarness): void {
  it('lead to the forward that was begun first, finished or not; another request under one is told apart', async () => {
    const { index, newTenant } = under();
    const auth = await newTenant();
    const first = keyed('k');
    expect(await index.find(auth, 'agt_x', { key: 'k', requestHash: 'h' })).toBeNull();
    await index.begin(auth, first);
    expect(await index.begin(auth, keyed('k'))).toMatchObject({ outcome: 'repeated', forward: { forwardId: first.forwardId, remote: null } });
    expect(await index.begin(auth, keyed('k', 'other'))).toEqual({ outcome: 'key_reused' });
    expect(await index.find(auth, 'agt_x', { key: 'k', requestHash: 'other' })).toEqual({ outcome: 'key_reused' });
    const completed = await index.complete(auth, first.forwardId, remote());
    expect(await index.begin(auth, keyed('k', 'h', { targetStackId: 'stk_c' }))).toEqual({ outcome: 'repeated', forward: completed });
    expect(await index.find(auth, 'agt_x', { key: 'k', requestHash: 'h' })).toEqual({ outcome: 'repeated', forward: completed });
  });

  it('are of one principal and one agent', async () => {
    const { index, newTenant } = under();
    const auth = await newTenant();
    const other = contextOf(auth.tenant_id, 'usr_other');
    await index.begin(auth, keyed('k'));
    expect(await index.begin(other, keyed('k'))).toMatchObject({ outcome: 'new' });
    expect(await index.begin(auth, keyed('k', 'h', { run: { agent_id: 'agt_y', input: 'hello' } }))).toMatchObject({ outcome: 'new' });
    expect(await index.begin(auth, newForward())).toMatchObject({ outcome: 'new' });
  });

  it('let exactly one of many simultaneous calls begin, over several processes', async () => {
    const { index, newTenant, restart } = under();
    const auth = await newTenant();
    const second = await restart?.();
    const indexes = second === undefined ? [index] : [index, second.index];
    const outcomes = await Promise.all(Array.from({ length: 50 }, (_, i) => indexes[i % indexes.length]!.begin(auth, keyed('race'))));
    await second?.close();
    expect(outcomes.filter(({ outcome }) => outcome === 'new').length).toBe(1);
    expect(new Set(outcomes.map((each) => (each.outcome === 'key_reused' ? 'reused' : each.forward.forwardId))).size).toBe(1);
  });

  it('are free again when their forward was given up, which may still be completed; a complete one cannot be', async () => {
    const { index, newTenant } = under();
    const auth = await newTenant();
    const [first, second] = [keyed('k'), keyed('k', 'other')];
    await index.begin(auth, first);
    await index.abandon(auth, first.forwardId);
    await index.abandon(auth, first.forwardId);
    await index.abandon(auth, newId('fwd'));
    expect(await index.begin(auth, second)).toMatchObject({ outcome: 'new' });
    const late = remote();
    await index.complete(auth, first.forwardId, late);
    expect(await index.findByRun(auth, late.runId)).toMatchObject({ forwardId: first.forwardId });
    await index.complete(auth, second.forwardId, remote());
    await index.abandon(auth, second.forwardId);
    expect(await index.begin(auth, keyed('k', 'other'))).toMatchObject({ outcome: 'repeated', forward: { forwardId: second.forwardId } });
  });
}

function time(under: () => ForwardIndexHarness): void {
  it('frees keys, and forgets forwards that are old enough, at most as many as it is told', async () => {
    const { index, newTenant, letHoursPass, now } = under();
    const auth = await newTenant();
    const old = Array.from({ length: 3 }, (_, i) => keyed(`old-${i}`));
    const runs = [];
    for (const forward of old) {
      await index.begin(auth, forward);
      runs.push((await index.complete(auth, forward.forwardId, remote())).remote!.runId);
    }
    await letHoursPass(25);
    expect(await index.find(auth, 'agt_x', { key: 'old-0', requestHash: 'h' })).toBeNull();
    const again = keyed('old-0', 'another request');
    expect(await index.begin(auth, again)).toMatchObject({ outcome: 'new', forward: { forwardId: again.forwardId } });
    expect(await index.findByRun(auth, runs[0]!)).toMatchObject({ forwardId: old[0]!.forwardId });
    const before = new Date(now() - 3_600_000).toISOString();
    while ((await index.deleteExpired(before, 2)) === 2);
    expect(await Promise.all(runs.map((runId) => index.findByRun(auth, runId)))).toEqual([null, null, null]);
    expect(await index.find(auth, 'agt_x', { key: 'old-0', requestHash: 'another request' })).toMatchObject({ outcome: 'repeated' });
  });
}
