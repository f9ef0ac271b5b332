/** Finding runs: filters, order and cursors of `listRuns`, and what `getWork` gives back. */
import { expect, it } from 'vitest';
import type { ListRunsQuery } from '../../../services/agent-orchestrator/ports/run-state.ts';
import type { AuthContext } from '../../../services/platform/tenancy/auth-context.ts';
import { verifies } from '../../http/verifies.ts';
import { expectSameRefusal, pause } from '../fixtures.ts';
import { agentDefinition, canceled, completion, create, createAndClaim, failure, newRun, type RunStoreUnderTest } from '../run-fixtures.ts';
import type { Under } from './run-state.ts';

async function found(under: RunStoreUnderTest, tenant: AuthContext, query: Partial<ListRunsQuery>, ids: readonly string[]): Promise<number[]> {
  const page = await under.runState.listRuns(tenant, { limit: 50, ...query });
  return page.runs.map((run) => ids.indexOf(run.runId));
}

export function finding(under: Under): void {
  filters(under);
  relations(under);
}

function filters(under: Under): void {
  it('finds by labels, all of which must hold, also long ones', async () => {
    const tenant = await under().newTenant();
    const long = 'x'.repeat(256);
    const labels: Record<string, string>[] = [{ team: 'a' }, { team: 'a', long }, { team: 'b', long }, {}, { 'te\u001fam': 'a' }, { team: 'a', n: '"%_\\' }];
    const ids: string[] = [];
    for (const each of labels) ids.push((await create(under(), tenant, { labels: each })).runId);
    expect(await found(under(), tenant, { labels: { team: 'a' } }, ids)).toEqual([5, 1, 0]);
    expect(await found(under(), tenant, { labels: { team: 'a', long } }, ids)).toEqual([1]);
    expect(await found(under(), tenant, { labels: { long } }, ids)).toEqual([2, 1]);
    expect(await found(under(), tenant, { labels: { team: 'a', n: '"%_\\' } }, ids)).toEqual([5]);
    expect(await found(under(), tenant, { labels: { team: 'A' } }, ids)).toEqual([]);
    expect(await found(under(), tenant, { labels: {} }, ids)).toEqual([5, 4, 3, 2, 1, 0]);
    expect(await found(under(), tenant, { labels: { team: 'a' }, order: 'oldest', limit: 2 }, ids)).toEqual([0, 1]);
    expect(await found(under(), tenant, { labels: { team: 'a' }, after: ids[5]! }, ids)).toEqual([1, 0]);
  });

  it('finds by agent, priority, statuses and time, alone and together', async () => {
    const tenant = await under().newTenant();
    const ids: string[] = [];
    const times: string[] = [];
    const ends = [completion, failure, null, completion, null, null];
    for (const [i, end] of ends.entries()) {
      const run = await create(under(), tenant, { agent: agentDefinition(i % 2 === 0 ? 'agt_even' : 'agt_odd'), options: { ...newRun().options, priority: i === 3 ? 'high' : 'normal' } });
      ids.push(run.runId);
      times.push(run.createdAt);
      if (end !== null) {
        const [claimed] = await under().queue.claim({ workerId: 'wrk_suite' }, { limit: 1, leaseMs: 30_000, maxAttempts: 5, started: ({ runId }) => ({ ...canceled(runId), eventId: `evt_started_${runId}`, type: 'agentos.run.started' }), poisoned: ({ runId }) => canceled(runId) });
        await under().runState.advance(tenant, claimed!.lease, end(run.runId, 0));
      } else if (i === 2) await under().runState.cancelRun(tenant, run.runId, canceled(run.runId));
      await pause(3);
    }
    expect(await found(under(), tenant, { agentId: 'agt_even' }, ids)).toEqual([4, 2, 0]);
    expect(await found(under(), tenant, { status: 'failed' }, ids)).toEqual([1]);
    expect(await found(under(), tenant, { status: ['failed', 'canceled'] }, ids)).toEqual([2, 1]);
    expect(await found(under(), tenant, { status: ['queued'] }, ids)).toEqual([5, 4]);
    expect(await found(under(), tenant, { status: ['completed', 'queued'], agentId: 'agt_odd' }, ids)).toEqual([5, 3]);
    expect(await found(under(), tenant, { status: 'running' }, ids)).toEqual([]);
    expect(await found(under(), tenant, { priority: 'high' }, ids)).toEqual([3]);
    expect(await found(under(), tenant, { createdAfter: times[3]! }, ids)).toEqual([5, 4, 3]);
    expect(await found(under(), tenant, { createdBefore: times[3]! }, ids)).toEqual([2, 1, 0]);
    expect(await found(under(), tenant, { createdAfter: times[1]!, createdBefore: times[4]!, status: ['completed', 'failed'], order: 'oldest' }, ids)).toEqual([1, 3]);
  });
}

function relations(under: Under): void {
  it('finds the children of a run, and tells where a run comes from', async () => {
    const tenant = await under().newTenant();
    const parent = await create(under(), tenant);
    const lineage = { parentRunId: parent.runId, rootRunId: parent.runId, depth: 1 };
    const children = [await create(under(), tenant, { lineage }), await create(under(), tenant, { lineage, labels: { team: 'a' } })];
    const again = await create(under(), tenant, { lineage: { retryOf: parent.runId } });
    const ids = [...children.map((child) => child.runId), again.runId];
    expect(await found(under(), tenant, { parentRunId: parent.runId }, ids)).toEqual([1, 0]);
    expect(await found(under(), tenant, { parentRunId: parent.runId, labels: { team: 'a' } }, ids)).toEqual([1]);
    expect(await found(under(), tenant, { parentRunId: again.runId }, ids)).toEqual([]);
    expect((await under().runState.getRun(tenant, children[0]!.runId)).lineage).toEqual(lineage);
    expect((await under().runState.getRun(tenant, again.runId)).lineage).toEqual({ retryOf: parent.runId });
    expect(await under().runState.getRun(tenant, parent.runId)).not.toHaveProperty('lineage');
    expect(await found(under(), await under().newTenant(), { parentRunId: parent.runId }, ids)).toEqual([]);
  });

  it('gives back what a run was created with, whatever became of it', verifies(['PRS-5.2-08'], async () => {
    const tenant = await under().newTenant();
    const input = { type: 'messages', text: 'And?', messages: [{ role: 'user' as const, content: 'A' }, { role: 'assistant' as const, content: 'B' }, { role: 'user' as const, content: 'And?' }] };
    const wanted = newRun({ input });
    await create(under(), tenant, wanted);
    const work = await under().runState.getWork(tenant, wanted.runId);
    expect(work).toMatchObject({ input, context: wanted.context, agent: wanted.agent, auth: tenant, labels: wanted.labels, options: wanted.options, status: 'queued' });
    await under().runState.cancelRun(tenant, wanted.runId, canceled(wanted.runId));
    const { lease, run } = await createAndClaim(under(), tenant);
    expect(run.agent).toEqual((await under().runState.getWork(tenant, lease.runId)).agent);
    expect((await under().runState.getWork(tenant, wanted.runId)).status).toBe('canceled');
    const stranger = await under().newTenant();
    await expectSameRefusal(under().runState.getWork(stranger, wanted.runId), wanted.runId, under().runState.getWork(stranger, 'run_absent'), 'run_absent');
  }));
}
