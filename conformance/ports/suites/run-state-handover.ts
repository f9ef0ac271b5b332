/** Creating and claiming in one transaction (feature `handover`): like a claim in every respect, and never past a run that waits. */
import { expect, it } from 'vitest';
import type { NewRun, RunHandover } from '../../../services/agent-orchestrator/ports/run-state.ts';
import type { AuthContext } from '../../../services/platform/tenancy/auth-context.ts';
import { verifies } from '../../http/verifies.ts';
import { pause } from '../fixtures.ts';
import { allEvents, canceled, claimOptions, completion, create, draft, newRun, step, WORKER } from '../run-fixtures.ts';
import type { Under } from './run-state.ts';

function handoverOf(runId: string, leaseMs = 30_000): RunHandover {
  return { workerId: WORKER.workerId, leaseMs, started: draft(runId, 0, 'started', 'agentos.run.started', { status: 'running' }), opening: step(runId, 0).events };
}

/** The answer of a creation that offers a slot; null where the adapter does not declare the feature. */
async function offer(under: Under, tenant: AuthContext, overrides: Partial<NewRun> = {}, leaseMs?: number) {
  const run = newRun(overrides);
  const result = await under().runState.createRun(tenant, { ...run, handover: handoverOf(run.runId, leaseMs) });
  if (result.outcome !== 'created') return expect.fail(`should have been created, but was ${result.outcome}`);
  expect(result.run, 'the answer tells the run as it was created').toMatchObject({ status: 'queued', lastSequence: 1, step: 0, attempts: 0 });
  if (!under().runState.capabilities().features.includes('handover')) {
    expect(result.handedOver ?? null).toBeNull();
    return { run, handedOver: null };
  }
  return { run, handedOver: result.handedOver ?? null };
}

/** Who declares the feature and hands nothing over to a tenant that has nothing waiting has not kept it. */
function undeclared(under: Under, skip: (note: string) => void): void {
  if (under().runState.capabilities().features.includes('handover')) expect.fail('it declares handover, and handed nothing over');
  skip('it does not declare handover');
}

export function handover(under: Under): void {
  it('stores what a claim and a first transition would have stored', verifies(['PRS-5.2-08', 'PRS-7.4-05'], async ({ skip }: { skip: (note: string) => void }) => {
    const tenant = await under().newTenant();
    const { run, handedOver } = await offer(under, tenant);
    if (handedOver === null) return undeclared(under, skip);
    expect(handedOver.run).toMatchObject({ status: 'running', step: 1, attempts: 1, lastSequence: 4, auth: tenant, input: run.input, context: run.context, agent: run.agent });
    expect(handedOver.run.startedAt).toBe(handedOver.run.createdAt);
    const { auth: _auth, input: _input, context: _context, agent: _agent, ...record } = handedOver.run;
    expect(await under().runState.getRun(tenant, run.runId)).toEqual(record);
    expect((await allEvents(under(), tenant, run.runId)).map((event) => event.type)).toEqual([
      'agentos.run.created', 'agentos.run.started', 'agentos.run.step.started', 'agentos.model.requested',
    ]);
    expect(await under().queue.claim(WORKER, claimOptions({ limit: 5 })), 'somebody holds it').toEqual([]);
    expect(await under().queue.heartbeat(WORKER, [handedOver.lease], 30_000)).toEqual([]);
    expect(await under().queue.depth(WORKER)).toMatchObject({ queued: 0, running: 1, drift: 0 });
    expect(await under().runState.advance(tenant, handedOver.lease, completion(run.runId, 1))).toEqual({ outcome: 'applied', lastSequence: 5 });
    expect(await under().queue.depth(WORKER)).toMatchObject({ queued: 0, running: 0, drift: 0 });
  }));

  it('lets a run pass over nobody: while one waits, new runs queue up', async () => {
    const [tenant, other] = [await under().newTenant(), await under().newTenant()];
    await create(under(), other);
    const { run, handedOver } = await offer(under, tenant);
    expect(handedOver).toBeNull();
    expect(await under().runState.getRun(tenant, run.runId)).toMatchObject({ status: 'queued', attempts: 0, lastSequence: 1 });
    const claimed = await under().queue.claim(WORKER, claimOptions({ limit: 5 }));
    expect(claimed.map((each) => each.run.runId)).toContain(run.runId);
  });

  it('is taken over when its worker is gone, and the one that comes back is fenced', verifies(['PRS-7.4-05'], async ({ skip }: { skip: (note: string) => void }) => {
    const tenant = await under().newTenant();
    const { run, handedOver } = await offer(under, tenant, {}, 50);
    if (handedOver === null) return undeclared(under, skip);
    await pause(120);
    const [taken] = await under().queue.claim(WORKER, claimOptions());
    expect(taken).toMatchObject({ run: { runId: run.runId, attempts: 2, step: 1, lastSequence: 4 } });
    expect(await under().runState.advance(tenant, handedOver.lease, completion(run.runId, 1))).toEqual({ outcome: 'fenced', status: 'running' });
    expect((await under().runState.advance(tenant, taken!.lease, completion(run.runId, 1))).outcome).toBe('applied');
    expect(await allEvents(under(), tenant, run.runId)).toHaveLength(5);
  }));

  it('can be given back and canceled like any other', async ({ skip }) => {
    const tenant = await under().newTenant();
    const first = await offer(under, tenant);
    if (first.handedOver === null) return undeclared(under, skip);
    await under().queue.release(tenant, first.handedOver.lease, 0);
    expect(await under().runState.getRun(tenant, first.run.runId)).toMatchObject({ status: 'queued', step: 1 });
    const [again] = await under().queue.claim(WORKER, claimOptions());
    expect(again!.run).toMatchObject({ runId: first.run.runId, step: 1, attempts: 2 });
    const second = await offer(under, tenant);
    await under().runState.cancelRun(tenant, second.run.runId, canceled(second.run.runId));
    expect((await under().runState.advance(tenant, second.handedOver!.lease, completion(second.run.runId, 1))).outcome).toBe('fenced');
  });

  it('hands a repeated request nothing', async () => {
    const tenant = await under().newTenant();
    const idempotency = { key: 'idem_handover', requestHash: 'a'.repeat(64), ttlHours: 1 };
    const { run } = await offer(under, tenant, { idempotency });
    const again = newRun({ idempotency });
    const answer = await under().runState.createRun(tenant, { ...again, handover: handoverOf(again.runId) });
    expect(answer).toMatchObject({ outcome: 'replayed', run: { runId: run.runId } });
    expect('handedOver' in answer).toBe(false);
  });
}
