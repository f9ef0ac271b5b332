import { expect, it } from 'vitest';
import { verifies } from '../../../conformance/http/verifies.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { MemoryForwardIndex } from '../adapters/forward-index-memory.ts';
import { MemoryReplica } from '../adapters/replica-memory.ts';
import { CALLER, peerOf } from '../federation.fixture.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PeerPort } from '../ports/peer.ts';
import { createRunJudge } from './run-judge.ts';
import { eventAt } from './scripted-node.fixture.ts';

const CALL = { correlationId: 'corr_x', traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', signal: new AbortController().signal };

/** This node executes `run_local` and is away for `run_away`. */
async function world() {
  const asked: string[] = [];
  const port = {
    async getRun(auth: { scopes: readonly string[] }, _peer: unknown, runId: string) {
      asked.push(runId);
      expect(auth.scopes, 'asked with the right to read and no other').toEqual(['runs:read']);
      if (runId === 'run_away') throw new AgentOsError('dependency_unavailable', { message: 'It is away.' });
      if (runId !== 'run_local') throw new AgentOsError('not_found', { message: 'There is no such run.' });
      return { run_id: runId };
    },
  } as unknown as PeerPort;
  const index = new MemoryForwardIndex();
  const replica = new MemoryReplica();
  for (const [runId, targetStackId] of [['run_at_b', 'stk_b'], ['run_kept_here', 'stk_a']] as const) {
    await index.begin(CALLER, { forwardId: `fwd_${runId}`, targetStackId, run: { agent_id: 'agt_forwarded', input: 'x' }, correlationId: 'corr_x', idempotency: null });
    await index.complete(CALLER, `fwd_${runId}`, { runId, eventsUrl: 'https://b.example', status: 'queued' });
  }
  await replica.store(CALLER, 'stk_b', [eventAt(1, 0, { run_id: 'run_copied', tenant_id: CALLER.tenant_id, agent_id: 'agt_copied' })]);
  const judge = createRunJudge({ index, replica, nodes: { own: peerOf('stk_a'), target: () => ({ peer: peerOf('stk_a'), port }) } });
  const verdictsFor = (auth: AuthContext) => async (runIds: readonly string[], source = 'stk_b') => Object.fromEntries(await judge(auth, new Set(runIds), source, CALL));
  return { asked, verdicts: verdictsFor({ ...CALLER, peer: 'stk_b' }), ofCallers: verdictsFor(CALLER) };
}

it('takes events of runs that can be elsewhere, from the node that has them', verifies(['PRS-7.4-08'], async () => {
  const here = await world();
  const all = ['run_at_b', 'run_kept_here', 'run_copied', 'run_local', 'run_new'];
  expect(await here.verdicts(all)).toEqual({
    run_at_b: { agentId: 'agt_forwarded' }, run_kept_here: { refused: 'run_is_local' }, run_copied: { agentId: 'agt_copied' }, run_local: { refused: 'run_is_local' }, run_new: { agentId: null },
  });
  expect(await here.verdicts(['run_at_b', 'run_copied'], 'stk_c')).toEqual({ run_at_b: { refused: 'source_mismatch' }, run_copied: { agentId: 'agt_copied' } });
  expect([...here.asked].sort(), 'what the index and the copies know is not asked').toEqual(['run_local', 'run_new']);
}));

it('asks a bounded number of questions for one batch, whatever it brings', async () => {
  const here = await world();
  const many = Array.from({ length: 1_000 }, (_, index) => `run_new_${index}`);
  const verdicts = Object.values(await here.verdicts(many));
  expect(verdicts.filter((verdict) => 'refused' in verdict && verdict.refused === 'too_many_runs')).toHaveLength(744);
  expect(here.asked).toHaveLength(256);
});

it('refuses the batch when it cannot be known whose run it is', async () => {
  await expect((await world()).verdicts(['run_new', 'run_away'])).rejects.toMatchObject({ code: 'dependency_unavailable' });
});

it('takes of callers what they forwarded, and nothing that only a node could know of', verifies(['PRS-7.4-08'], async () => {
  const here = await world();
  expect(await here.ofCallers(['run_at_b', 'run_kept_here', 'run_copied', 'run_local', 'run_new'])).toEqual({
    run_at_b: { agentId: 'agt_forwarded' }, run_kept_here: { refused: 'run_is_local' }, run_copied: { refused: 'run_not_forwarded' }, run_local: { refused: 'run_is_local' }, run_new: { refused: 'run_not_forwarded' },
  });
  expect(await here.ofCallers(['run_at_b'], 'stk_c')).toEqual({ run_at_b: { refused: 'source_mismatch' } });
}));

it('asks other nodes about a bounded number of runs of one batch, known or not', async () => {
  const here = await world();
  const verdicts = Object.values(await here.ofCallers(Array.from({ length: 100 }, (_, index) => `run_new_${index}`)));
  expect(verdicts.filter((verdict) => 'refused' in verdict && verdict.refused === 'too_many_runs')).toHaveLength(68);
  expect(here.asked).toHaveLength(32);
});
