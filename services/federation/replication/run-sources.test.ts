import { describe, expect, it } from 'vitest';
import type { EventEnvelope } from '../../../generated/types/index.ts';
import { verifies } from '../../../conformance/http/verifies.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { MemoryForwardIndex } from '../adapters/forward-index-memory.ts';
import { MemoryReplica } from '../adapters/replica-memory.ts';
import { CALLER, peerOf } from '../federation.fixture.ts';
import type { PeerPort } from '../ports/peer.ts';
import { nodeOfRun, sourceOfRun } from './run-sources.ts';
import { eventAt } from './scripted-node.fixture.ts';

const CALL = { correlationId: 'corr_x', traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', signal: new AbortController().signal };
const refusal = (code: AgentOsError['code'], reason: string): AgentOsError => new AgentOsError(code, { message: 'It says no.', details: { reason } });

/** Each node says which it is by refusing. */
function world(targetRefuses?: AgentOsError) {
  const portOf = (name: string, code: AgentOsError['code'] = 'not_found'): PeerPort => ({ openEvents: () => Promise.reject(refusal(code, name)) }) as unknown as PeerPort;
  const index = new MemoryForwardIndex();
  const replica = new MemoryReplica();
  const nodes = {
    own: peerOf('stk_a'),
    target(stackId: string) {
      if (stackId === 'stk_a') return { peer: peerOf('stk_a'), port: portOf('here') };
      if (targetRefuses !== undefined) throw targetRefuses;
      return { peer: peerOf(stackId), port: portOf('there', 'conflict') };
    },
  };
  const forward = async (runId: string, targetStackId: string): Promise<void> => {
    const forwardId = `fwd_${runId}`;
    await index.begin(CALLER, { forwardId, targetStackId, run: { agent_id: 'agt_demo', input: 'x' }, correlationId: 'corr_x', idempotency: null });
    await index.complete(CALLER, forwardId, { runId, eventsUrl: 'https://b.example', status: 'queued' });
  };
  const source = (runId: string, auth = CALLER) => sourceOfRun({ nodes, index, replica }, auth, runId, CALL);
  return { forward, source, copy: (runId: string) => replica.store(CALLER, 'stk_b', [eventAt(1, 0, { run_id: runId, tenant_id: CALLER.tenant_id })]) };
}

describe('where the events of a run come from', () => {
  it('is its node and what is kept, what is kept alone, or this node', verifies(['PRS-7.3-04'], async () => {
    const here = world();
    await here.forward('run_there', 'stk_b');
    await here.forward('run_mine', 'stk_a');
    await here.copy('run_copied');
    const there = await here.source('run_there');
    await expect(there.node!.open(0, CALL.signal)).rejects.toMatchObject({ details: { reason: 'there' } });
    expect(there.replica).not.toBeNull();
    for (const runId of ['run_mine', 'run_unknown']) {
      const local = await here.source(runId);
      await expect(local.node!.open(0, CALL.signal)).rejects.toMatchObject({ code: 'not_found', details: { reason: 'here' } });
      expect(local.replica).toBeNull();
    }
    expect(await here.source('run_copied')).toMatchObject({ node: null, replica: expect.anything() as object });
  }));

  it('is this node for a peer, and for another tenant', verifies(['PRS-7.4-09', 'PRS-7.4-08'], async () => {
    const here = world();
    await here.forward('run_there', 'stk_b');
    await here.copy('run_copied');
    for (const auth of [{ ...CALLER, peer: 'stk_c' }, { ...CALLER, tenant_id: 'tnt_other' }]) {
      for (const runId of ['run_there', 'run_copied']) await expect((await here.source(runId, auth)).node!.open(0, CALL.signal)).rejects.toMatchObject({ details: { reason: 'here' } });
    }
  }));

  it('is said to be away, in a status that a stream may have, when its node cannot be asked or refuses what is between nodes', verifies(['PRS-7.4-06'], async () => {
    const here = world();
    await here.forward('run_there', 'stk_b');
    await expect((await here.source('run_there')).node!.open(0, CALL.signal)).rejects.toMatchObject({ code: 'dependency_unavailable', retryable: false, details: { answered: 'conflict', peer: 'stk_b' } });
    const cases = [[refusal('not_found', 'x'), 'peer_unknown'], [refusal('conflict', 'peer_endpoint_missing'), 'peer_endpoint_missing'], [refusal('dependency_unavailable', 'peer_trust_not_configured'), 'peer_trust_not_configured']] as const;
    for (const [refuses, reason] of cases) {
      const cut = world(refuses);
      await cut.forward('run_there', 'stk_b');
      expect(await cut.source('run_there')).toMatchObject({ node: null, unreachable: { code: 'dependency_unavailable', details: { reason } } });
    }
  }));

  it('is believed for as long as the peers file names it: a stream that is open ends with its peer', verifies(['PRS-7.4-01', 'PRS-7.4-06'], async () => {
    let isPeer = true;
    const events = async function* (): AsyncGenerator<EventEnvelope> {
      for (let sequence = 1; ; sequence += 1) yield { event: eventAt(sequence, 0, { run_id: 'run_there', tenant_id: CALLER.tenant_id }) };
    };
    const nodes = {
      target(stackId: string) {
        if (!isPeer) throw refusal('not_found', 'x');
        return { peer: peerOf(stackId), port: { openEvents: async () => events(), getRun: () => Promise.reject(new Error('It must not be asked.')) } as unknown as PeerPort };
      },
    };
    const node = nodeOfRun(nodes, 'stk_b', CALLER, 'run_there', CALL);
    const read = (await node.open(0, CALL.signal))[Symbol.asyncIterator]();
    expect((await read.next()).value).toMatchObject({ event: { sequence: 1 } });
    isPeer = false;
    const gone = { code: 'dependency_unavailable', retryable: false, details: { reason: 'peer_unknown', peer: 'stk_b' } };
    await expect(read.next()).rejects.toMatchObject(gone);
    await expect(node.open(1, CALL.signal), 'nor is it asked again').rejects.toMatchObject(gone);
    await expect(node.hasEnded(CALL.signal)).rejects.toMatchObject(gone);
  }));
});
