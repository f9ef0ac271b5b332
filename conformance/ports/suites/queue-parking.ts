/** Runs that wait for something without a worker. */
import { expect, it } from 'vitest';
import { pause } from '../fixtures.ts';
import { allEvents, canceled, claimOptions, completion, createAndClaim, step, WORKER } from '../run-fixtures.ts';
import type { Under } from './run-state.ts';

const OTHER = { workerId: 'wrk_other' } as const;

const claimer = (under: Under) => () => under().queue.claim(OTHER, claimOptions({ limit: 5 }));

export function parking(under: Under): void {
  aside(under);
  boundaries(under);
}

function aside(under: Under): void {
  const claim = claimer(under);

  it('keeps a parked run from everybody until it is woken, then hands it out at once', async () => {
    const tenant = await under().newTenant();
    const { lease, run } = await createAndClaim(under(), tenant);
    await under().runState.advance(tenant, lease, step(run.runId, 0));
    expect(await under().queue.park(tenant, lease, 60_000)).toBe(true);
    expect(await claim()).toEqual([]);
    expect((await under().runState.getRun(tenant, run.runId)).status).toBe('running');
    await under().queue.wake(tenant, run.runId);
    const [again] = await claim();
    expect(again).toMatchObject({ run: { runId: run.runId, step: 1, status: 'running' } });
    expect(again!.lease.token).not.toBe(lease.token);
    expect(await under().runState.advance(tenant, again!.lease, completion(run.runId, 1))).toMatchObject({ outcome: 'applied' });
    expect((await allEvents(under(), tenant, run.runId)).filter((event) => event.type === 'agentos.run.started')).toHaveLength(1);
  });

  it('hands a parked run out by itself when its wait is over', async () => {
    const tenant = await under().newTenant();
    const { lease, run } = await createAndClaim(under(), tenant);
    await under().queue.park(tenant, lease, 150);
    expect(await claim()).toEqual([]);
    await pause(200);
    expect((await claim())[0]?.run.runId).toBe(run.runId);
  });

  it('takes the lease of whoever parks it, so that nothing more can be written under it', async () => {
    const tenant = await under().newTenant();
    const { lease, run } = await createAndClaim(under(), tenant);
    await under().queue.park(tenant, lease, 60_000);
    expect(await under().runState.advance(tenant, lease, step(run.runId, 0))).toMatchObject({ outcome: 'fenced' });
    expect(await under().queue.heartbeat(WORKER, [lease], 30_000)).toEqual([lease]);
    expect(await under().queue.park(tenant, lease, 60_000)).toBe(false);
    await under().queue.release(tenant, lease, 0);
    expect(await claim()).toEqual([]);
  });
}

function boundaries(under: Under): void {
  const claim = claimer(under);

  it('parks only what the caller holds', async () => {
    const [tenant, stranger] = [await under().newTenant(), await under().newTenant()];
    const { lease, run } = await createAndClaim(under(), tenant);
    expect(await under().queue.park(stranger, lease, 60_000)).toBe(false);
    await under().queue.park(tenant, lease, 60_000);
    await under().queue.wake(stranger, run.runId);
    expect(await claim()).toEqual([]);
  });

  it('wakes nothing but parked runs', async () => {
    const tenant = await under().newTenant();
    const { lease, run } = await createAndClaim(under(), tenant);
    await under().queue.wake(tenant, run.runId);
    await under().queue.wake(tenant, 'run_absent');
    expect(await claim()).toEqual([]);
    expect(await under().runState.advance(tenant, lease, completion(run.runId, 0))).toMatchObject({ outcome: 'applied' });
    await under().queue.wake(tenant, run.runId);
    expect(await claim()).toEqual([]);
  });

  it('does not hold waiting against a run: it may park as often as it likes', async () => {
    const tenant = await under().newTenant();
    let { lease } = await createAndClaim(under(), tenant);
    for (let i = 0; i < 7; i += 1) {
      await under().queue.park(tenant, lease, 60_000);
      await under().queue.wake(tenant, lease.runId);
      const [again] = await under().queue.claim(WORKER, claimOptions({ limit: 1, maxAttempts: 3 }));
      expect(again?.run.runId).toBe(lease.runId);
      lease = again!.lease;
    }
  });

  it('can be canceled while it waits', async () => {
    const tenant = await under().newTenant();
    const { lease, run } = await createAndClaim(under(), tenant);
    await under().queue.park(tenant, lease, 60_000);
    expect((await under().runState.cancelRun(tenant, run.runId, canceled(run.runId))).status).toBe('canceled');
    await under().queue.wake(tenant, run.runId);
    expect(await claim()).toEqual([]);
    expect(await under().queue.depth(WORKER)).toMatchObject({ running: 0, drift: 0 });
  });
}
