/** What must hold when many write at once: gap-free sequences, one terminal event, slots that add up. */
import { expect, it } from 'vitest';
import { verifies } from '../../http/verifies.ts';
import { allEvents, canceled, claimAll, claimOptions, completion, create, createAndClaim, createMany, step, terminalCount, WORKER } from '../run-fixtures.ts';
import { pause, rejection } from '../fixtures.ts';
import type { Under } from './run-state.ts';

const CANCEL_ROUNDS = 200;

export function races(under: Under): void {
  writing(under);
  ending(under);
  holding(under);
}

function writing(under: Under): void {
  it('keeps sequences without gap or repeat under fifty concurrent writers', verifies(['PRS-7.4-05', 'PRS-4.1-04'], async () => {
    const [one, other] = [await under().newTenant(), await under().newTenant()];
    await Promise.all([createMany(under(), one, 25), createMany(under(), other, 25)]);
    const claimed = await claimAll(under(), 50);
    expect(claimed).toHaveLength(50);
    const authOf = new Map([[one.tenant_id, one], [other.tenant_id, other]]);
    await Promise.all(claimed.map(async ({ lease, run }) => {
      const auth = authOf.get(lease.tenantId)!;
      for (let at = 0; at < 3; at += 1) {
        const twice = await Promise.all([under().runState.advance(auth, lease, step(run.runId, at)), under().runState.advance(auth, lease, step(run.runId, at))]);
        expect(twice.map((result) => result.outcome).sort()).toEqual(['already_applied', 'applied']);
      }
      expect((await under().runState.advance(auth, lease, completion(run.runId, 3))).outcome).toBe('applied');
    }));
    for (const { lease, run } of claimed) {
      const auth = authOf.get(lease.tenantId)!;
      expect(await allEvents(under(), auth, run.runId)).toHaveLength(9);
      expect((await under().runState.getRun(auth, run.runId)).summary).toEqual({ stepsTotal: 3, toolCallsTotal: 0, modelCallsTotal: 3 });
    }
  }));
}

function ending(under: Under): void {
  it(`lets exactly one of cancel and completion win, ${CANCEL_ROUNDS} times`, verifies(['HLD-4.3-01'], async () => {
    const tenant = await under().newTenant();
    const won = { canceled: 0, completed: 0 };
    for (let round = 0; round < CANCEL_ROUNDS; round += 25) {
      await createMany(under(), tenant, 25);
      const claimed = await claimAll(under(), 25);
      expect(claimed).toHaveLength(25);
      await Promise.all(claimed.map(async ({ lease, run }, index) => {
        const cancel = () => under().runState.cancelRun(tenant, run.runId, canceled(run.runId)).then(() => 'canceled', () => 'refused');
        const complete = () => under().runState.advance(tenant, lease, completion(run.runId, 0)).then((result) => result.outcome);
        const [cancelOutcome, completeOutcome] = index % 2 === 0
          ? await Promise.all([cancel(), complete()])
          : await Promise.all([complete(), cancel()]).then(([done, stopped]) => [stopped, done] as const);
        const status = cancelOutcome === 'canceled' ? 'canceled' : 'completed';
        expect(completeOutcome).toBe(status === 'canceled' ? 'fenced' : 'applied');
        expect((await under().runState.getRun(tenant, run.runId)).status).toBe(status);
        expect(terminalCount(await allEvents(under(), tenant, run.runId))).toBe(1);
        won[status] += 1;
      }));
    }
    expect(won.canceled + won.completed).toBe(CANCEL_ROUNDS);
  }), 60_000);

  it('lets one of two cancels win', async () => {
    const tenant = await under().newTenant();
    for (let round = 0; round < 10; round += 1) {
      const run = await create(under(), tenant);
      const outcomes = await Promise.allSettled([1, 2].map(() => under().runState.cancelRun(tenant, run.runId, canceled(run.runId))));
      expect(outcomes.map((outcome) => outcome.status).sort()).toEqual(['fulfilled', 'rejected']);
      expect((await rejection(under().runState.cancelRun(tenant, run.runId, canceled(run.runId)))).code).toBe('invalid_state_transition');
      expect(await allEvents(under(), tenant, run.runId)).toHaveLength(2);
    }
  });
}

function holding(under: Under): void {
  it('fences the old holder of a reclaimed run, however often it tries', verifies(['PRS-1-02'], async () => {
    const tenant = await under().newTenant();
    const { lease: old, run } = await createAndClaim(under(), tenant, { leaseMs: 100 });
    await under().runState.advance(tenant, old, step(run.runId, 0));
    await pause(250);
    const [again] = await under().queue.claim({ workerId: 'wrk_other' }, claimOptions());
    expect(again!.run).toMatchObject({ runId: run.runId, step: 1, attempts: 2 });
    expect(again!.lease.token).not.toBe(old.token);
    const results = await Promise.all([
      ...Array.from({ length: 5 }, () => under().runState.advance(tenant, old, completion(run.runId, 1, 'the old one'))),
      under().runState.advance(tenant, again!.lease, completion(run.runId, 1, 'the new one')),
    ]);
    expect(results.at(-1)).toMatchObject({ outcome: 'applied' });
    expect(results.slice(0, -1).filter((result) => result.outcome === 'applied')).toEqual([]);
    expect((await under().runState.getRun(tenant, run.runId)).output?.text).toBe('the new one');
    expect(terminalCount(await allEvents(under(), tenant, run.runId))).toBe(1);
  }));

  it('claims no run twice, however many workers ask', async () => {
    const tenants = await Promise.all([under().newTenant(), under().newTenant(), under().newTenant()]);
    await Promise.all(tenants.map((tenant) => createMany(under(), tenant, 10)));
    const claims = await Promise.all(Array.from({ length: 12 }, (_, i) => under().queue.claim({ workerId: `wrk_${i}` }, claimOptions({ limit: 4 }))));
    const ids = claims.flat().map((claimed) => claimed.run.runId);
    const rest = await claimAll(under(), 30 - ids.length);
    const all = [...ids, ...rest.map((claimed) => claimed.run.runId)];
    expect(new Set(all).size).toBe(all.length);
    expect(all).toHaveLength(30);
    expect(await under().queue.depth(WORKER)).toEqual({ queued: 0, running: 30, drift: 0 });
  });
}
