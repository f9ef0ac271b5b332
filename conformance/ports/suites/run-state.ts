/**
 * What every RunStatePort must do (PRS 5.2, HLD 4.3, 10.3).
 *
 * `runStateSuite(create)` registers the suite with vitest; `create` supplies an adapter family and ends it. The races
 * live in run-state-races.ts, quotas and idempotency in run-state-admission.ts.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../../services/platform/ids.ts';
import { verifies } from '../../http/verifies.ts';
import type { RunStoreHarness } from '../contract.ts';
import { expectCapabilities, expectSameRefusal, rejection } from '../fixtures.ts';
import {
  allEvents, canceled, claimOptions, completion, create, createAndClaim, createMany, failure, newRun, step, terminalCount, tracked, WORKER,
  type RunStoreUnderTest,
} from '../run-fixtures.ts';
import { admission } from './run-state-admission.ts';
import { finding } from './run-state-finding.ts';
import { handover } from './run-state-handover.ts';
import { races } from './run-state-races.ts';
import { retention } from './run-state-retention.ts';

export type Under = () => RunStoreUnderTest;

/** Creates the harness once, settles after each test, disposes at the end. */
export function withRunStore(createHarness: () => Promise<RunStoreHarness>): Under {
  let harness: RunStoreUnderTest | undefined;
  beforeAll(async () => {
    harness = tracked(await createHarness());
  });
  afterEach(async () => {
    await harness?.settle();
  });
  afterAll(async () => {
    await harness?.dispose();
  });
  return () => harness!;
}

export function runStateSuite(createHarness: () => Promise<RunStoreHarness>): void {
  const under = withRunStore(createHarness);
  describe('creation', () => creation(under));
  describe('transitions', () => transitions(under));
  describe('cancellation', () => cancellation(under));
  describe('listing', () => listing(under));
  describe('tenants', () => tenants(under));
  describe('durability', () => durability(under));
  describe('admission', () => admission(under));
  describe('handover', () => handover(under));
  describe('races', () => races(under));
  describe('finding', () => finding(under));
  describe('retention', () => retention(under));
}

function creation(under: Under): void {
  it('declares what it is', verifies(['PRS-5.3-01', 'PRS-11.2-01'], () => {
    expectCapabilities(under().runState.capabilities());
    expect(under().runState.capabilities().durable).toBe(under().restart !== undefined);
  }));

  it('stores a queued run with its first event', verifies(['PRS-5.2-08', 'HLD-4.3-01', 'PRS-3.1-03'], async () => {
    const tenant = await under().newTenant();
    const wanted = newRun();
    const made = await create(under(), tenant, wanted);
    expect(made).toMatchObject({
      tenantId: tenant.tenant_id, runId: wanted.runId, agentId: wanted.agent.agentId, agentVersion: wanted.agent.version, status: 'queued',
      startedAt: null, completedAt: null, output: null, error: null, options: wanted.options, tooling: wanted.tooling, labels: wanted.labels,
      summary: { stepsTotal: 0, toolCallsTotal: 0, modelCallsTotal: 0 }, correlationId: wanted.correlationId, traceparent: wanted.traceparent,
      idempotencyKey: null, principalId: tenant.principal.principal_id, lastSequence: 1, step: 0, attempts: 0,
    });
    expect(new Date(made.createdAt).toISOString().slice(0, 19)).toBe(made.createdAt.slice(0, 19));
    expect(Math.abs(Date.parse(made.createdAt) - Date.now())).toBeLessThan(60_000);
    expect(await under().runState.getRun(tenant, wanted.runId)).toEqual(made);
    const [event, ...others] = await allEvents(under(), tenant, wanted.runId);
    expect(others).toEqual([]);
    expect(event).toMatchObject({
      eventId: wanted.created.eventId, sequence: 1, type: 'agentos.run.created', tenantId: tenant.tenant_id, agentId: wanted.agent.agentId,
      runId: wanted.runId, stepId: null, payload: { status: 'queued' },
      trace: { traceparent: expect.stringContaining('4bf92f3577b34da6a3ce929d0e0e4736') as string, span_id: wanted.created.spanId },
    });
  }));

  it('hands a worker everything the run was created with', verifies(['PRS-5.2-11', 'PRS-15.1-02'], async () => {
    const tenant = await under().newTenant();
    const wanted = newRun();
    await create(under(), tenant, wanted);
    const [claimed] = await under().queue.claim(WORKER, claimOptions());
    expect(claimed!.run).toMatchObject({ auth: tenant, input: wanted.input, context: wanted.context, agent: wanted.agent, options: wanted.options, tooling: wanted.tooling });
  }));
}

function transitions(under: Under): void {
  it('commits steps and the end under the lease', verifies(['PRS-5.2-08', 'HLD-4.3-02', 'PRS-4.1-03'], async () => {
    const tenant = await under().newTenant();
    const { lease, run } = await createAndClaim(under(), tenant);
    expect(run).toMatchObject({ status: 'running', step: 0, attempts: 1, startedAt: expect.any(String) as string });
    expect(await under().runState.advance(tenant, lease, step(run.runId, 0))).toEqual({ outcome: 'applied', lastSequence: 4 });
    expect(await under().runState.getRun(tenant, run.runId)).toMatchObject({ status: 'running', step: 1, lastSequence: 4, summary: { stepsTotal: 1, modelCallsTotal: 1, toolCallsTotal: 0 } });
    expect(await under().runState.advance(tenant, lease, completion(run.runId, 1, 'the answer'))).toEqual({ outcome: 'applied', lastSequence: 5 });
    const ended = await under().runState.getRun(tenant, run.runId);
    expect(ended).toMatchObject({ status: 'completed', output: { type: 'text', text: 'the answer' }, error: null, step: 2, lastSequence: 5 });
    expect(Date.parse(ended.completedAt!)).toBeGreaterThanOrEqual(Date.parse(ended.startedAt!));
    const events = await allEvents(under(), tenant, run.runId);
    expect(events.map((event) => event.type)).toEqual([
      'agentos.run.created', 'agentos.run.started', 'agentos.run.step.started', 'agentos.model.requested', 'agentos.run.completed',
    ]);
  }));

  it('stores why a run failed', async () => {
    const tenant = await under().newTenant();
    const { lease, run } = await createAndClaim(under(), tenant);
    const end = failure(run.runId, 0);
    expect((await under().runState.advance(tenant, lease, end)).outcome).toBe('applied');
    const ended = await under().runState.getRun(tenant, run.runId);
    expect(ended).toMatchObject({ status: 'failed', output: null, error: end.end !== null && 'error' in end.end ? end.end.error : null });
    expect(ended.completedAt).not.toBeNull();
  });

  it('knows a transition it has already applied', async () => {
    const tenant = await under().newTenant();
    const { lease, run } = await createAndClaim(under(), tenant);
    const first = await under().runState.advance(tenant, lease, step(run.runId, 0));
    expect(await under().runState.advance(tenant, lease, step(run.runId, 0))).toEqual({ outcome: 'already_applied', lastSequence: 4 });
    expect(first).toEqual({ outcome: 'applied', lastSequence: 4 });
    await under().runState.advance(tenant, lease, completion(run.runId, 1));
    expect((await under().runState.advance(tenant, lease, completion(run.runId, 1))).outcome).toBe('already_applied');
    expect(await allEvents(under(), tenant, run.runId)).toHaveLength(5);
    expect((await under().runState.getRun(tenant, run.runId)).summary.stepsTotal).toBe(1);
  });

  it('fences a writer with a lease it does not hold', async () => {
    const tenant = await under().newTenant();
    const { lease, run } = await createAndClaim(under(), tenant);
    const stranger = { ...lease, token: newId('lse') };
    expect(await under().runState.advance(tenant, stranger, step(run.runId, 0))).toEqual({ outcome: 'fenced', status: 'running' });
    expect(await allEvents(under(), tenant, run.runId)).toHaveLength(2);
  });

  it('fences a holder at the wrong step, ahead or behind', async () => {
    const tenant = await under().newTenant();
    const { lease, run } = await createAndClaim(under(), tenant);
    expect((await under().runState.advance(tenant, lease, step(run.runId, 3))).outcome).toBe('fenced');
    await under().runState.advance(tenant, lease, step(run.runId, 0));
    const different = { ...step(run.runId, 0), events: completion(run.runId, 0).events, end: completion(run.runId, 0).end };
    expect((await under().runState.advance(tenant, lease, different)).outcome, 'same step, other events: not this transition').toBe('fenced');
    expect(await allEvents(under(), tenant, run.runId)).toHaveLength(4);
    expect((await under().runState.getRun(tenant, run.runId)).status).toBe('running');
  });

  it('fences every write after the end', async () => {
    const tenant = await under().newTenant();
    const { lease, run } = await createAndClaim(under(), tenant);
    await under().runState.advance(tenant, lease, completion(run.runId, 0));
    expect(await under().runState.advance(tenant, lease, step(run.runId, 1))).toEqual({ outcome: 'fenced', status: 'completed' });
    expect(await allEvents(under(), tenant, run.runId)).toHaveLength(3);
  });
}

function cancellation(under: Under): void {
  it('ends a queued run at once', verifies(['PRS-4.2-05', 'T06-01'], async () => {
    const tenant = await under().newTenant();
    const run = await create(under(), tenant);
    const ended = await under().runState.cancelRun(tenant, run.runId, canceled(run.runId));
    expect(ended).toMatchObject({ status: 'canceled', lastSequence: 2, completedAt: expect.any(String) as string });
    expect(await under().queue.claim(WORKER, claimOptions())).toEqual([]);
    expect(terminalCount(await allEvents(under(), tenant, run.runId))).toBe(1);
  }));

  it('ends a running run and fences its worker', async () => {
    const tenant = await under().newTenant();
    const { lease, run } = await createAndClaim(under(), tenant);
    await under().runState.cancelRun(tenant, run.runId, canceled(run.runId));
    expect(await under().runState.advance(tenant, lease, step(run.runId, 0))).toEqual({ outcome: 'fenced', status: 'canceled' });
    expect(await under().queue.heartbeat(WORKER, [lease], 1000)).toEqual([lease]);
  });

  it('refuses to cancel a run that has ended', async () => {
    const tenant = await under().newTenant();
    const { lease, run } = await createAndClaim(under(), tenant);
    await under().runState.advance(tenant, lease, completion(run.runId, 0));
    expect((await rejection(under().runState.cancelRun(tenant, run.runId, canceled(run.runId)))).code).toBe('invalid_state_transition');
    const other = await create(under(), tenant);
    await under().runState.cancelRun(tenant, other.runId, canceled(other.runId));
    expect((await rejection(under().runState.cancelRun(tenant, other.runId, canceled(other.runId)))).code).toBe('invalid_state_transition');
    expect(await allEvents(under(), tenant, other.runId)).toHaveLength(2);
  });
}

function listing(under: Under): void {
  it('answers newest first, in pages without overlap', verifies(['PRS-4.3-15'], async () => {
    const tenant = await under().newTenant();
    const made: string[] = [];
    for (let i = 0; i < 7; i += 1) made.push((await create(under(), tenant)).runId);
    const seen: string[] = [];
    for (let after: string | undefined; ;) {
      const page = await under().runState.listRuns(tenant, { limit: 3, ...(after === undefined ? {} : { after }) });
      seen.push(...page.runs.map((run) => run.runId));
      after = page.runs.at(-1)?.runId;
      if (!page.hasMore) break;
      expect(page.runs).toHaveLength(3);
    }
    expect(seen).toEqual(made.reverse());
  }));

  it('filters by agent and by status', async () => {
    const tenant = await under().newTenant();
    await createMany(under(), tenant, 2);
    const other = newRun();
    await create(under(), tenant, { ...other, agent: { ...other.agent, agentId: 'agt_other' } });
    await under().runState.cancelRun(tenant, other.runId, canceled(other.runId));
    const byAgent = await under().runState.listRuns(tenant, { limit: 10, agentId: 'agt_other' });
    expect(byAgent).toMatchObject({ hasMore: false, runs: [{ runId: other.runId }] });
    expect(byAgent.runs).toHaveLength(1);
    expect((await under().runState.listRuns(tenant, { limit: 10, status: 'queued' })).runs).toHaveLength(2);
    expect((await under().runState.listRuns(tenant, { limit: 10, status: 'completed' })).runs).toEqual([]);
  });
}

function tenants(under: Under): void {
  it('hides a run from every other tenant', verifies(['PRS-13-09', 'PRS-11.2-02', 'PRS-15.2-01'], async () => {
    const [owner, stranger] = [await under().newTenant(), await under().newTenant()];
    const { lease, run } = await createAndClaim(under(), owner);
    const absent = newId('run');
    const { runState } = under();
    await expectSameRefusal(runState.getRun(stranger, run.runId), run.runId, runState.getRun(stranger, absent), absent);
    await expectSameRefusal(
      runState.cancelRun(stranger, run.runId, canceled(run.runId)), run.runId,
      runState.cancelRun(stranger, absent, canceled(absent)), absent,
    );
    expect((await runState.listRuns(stranger, { limit: 10 })).runs).toEqual([]);
    const written = await runState.advance(stranger, { ...lease, tenantId: stranger.tenant_id }, step(run.runId, 0)).catch((error: unknown) => error);
    expect(written).not.toMatchObject({ outcome: 'applied' });
    const forged = await runState.advance(stranger, lease, step(run.runId, 0)).catch((error: unknown) => error);
    expect(forged, 'the auth context decides, not the lease').not.toMatchObject({ outcome: 'applied' });
    expect(await allEvents(under(), owner, run.runId)).toHaveLength(2);
    expect((await runState.getRun(owner, run.runId)).status).toBe('running');
  }));

  it('keeps equal run ids of two tenants apart', async () => {
    const [one, other] = [await under().newTenant(), await under().newTenant()];
    const runId = newId('run');
    await create(under(), one, newRun({ runId }));
    await create(under(), other, newRun({ runId, labels: { whose: 'other' } }));
    await under().runState.cancelRun(one, runId, canceled(runId));
    expect(await under().runState.getRun(other, runId)).toMatchObject({ status: 'queued', labels: { whose: 'other' } });
  });
}

function durability(under: Under): void {
  it('keeps what it acknowledged when the process is replaced, if it says so', verifies(['PRS-3.1-03'], async ({ skip }: { skip: (note: string) => void }) => {
    if (under().restart === undefined) return skip('the adapter does not call itself durable');
    const tenant = await under().newTenant();
    const { lease, run } = await createAndClaim(under(), tenant);
    await under().runState.advance(tenant, lease, step(run.runId, 0));
    const reborn = await under().restart!();
    try {
      expect(await reborn.runState.getRun(tenant, run.runId)).toMatchObject({ status: 'running', step: 1, lastSequence: 4 });
      expect(await reborn.runState.advance(tenant, lease, completion(run.runId, 1))).toEqual({ outcome: 'applied', lastSequence: 5 });
      expect(await reborn.events.read(tenant, run.runId, { after: 0, limit: 50 })).toMatchObject({ status: 'completed', lastSequence: 5 });
    } finally {
      await reborn.close();
    }
  }));
}
