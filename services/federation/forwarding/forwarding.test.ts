/** Forwarding over scripted nodes: what is tried again, what is passed on, and that one request is one run. */
import { describe, expect, it } from 'vitest';
import { verifies } from '../../../conformance/http/verifies.ts';
import type { Peer } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { CALLER, forwardingOver, peerOf, type ForwardingFixture } from '../federation.fixture.ts';
import type { ForwardedRun, ForwardedRunRequest, PeerPort } from '../ports/peer.ts';
import type { ForwardCommand } from './forwarding.ts';

type Answer = Partial<ForwardedRun> | AgentOsError;

/** A node that keeps runs by their key, as any node does; what it answers is scripted. */
class ScriptedNode {
  readonly asked: Array<{ readonly auth: AuthContext; readonly target: Peer; readonly request: ForwardedRunRequest }> = [];
  readonly runs = new Map<string, string>();
  readonly script: Answer[] = [];
  described = 0;
  /** The run is made, and then the scripted failure is answered. */
  makesBeforeFailing = false;

  readonly port = {
    capabilities: () => ({ adapter: 'scripted', contractVersion: '1.0', durable: false, features: [] }),
    describe: async (_auth: AuthContext, peer: Peer) => {
      this.described += 1;
      return { peer, capabilities: { supports: { runs_forward: true, events_stream: true, tenant_isolation: true, tool_hosting: false }, limits: { max_concurrent_runs: 1, max_event_streams: 1 }, models: { tiers: [], backends: [], max_context_tokens: 0 } } };
    },
    createRun: async (auth: AuthContext, target: Peer, request: ForwardedRunRequest): Promise<ForwardedRun> => {
      this.asked.push({ auth, target, request });
      const next = this.script.shift();
      if (!(next instanceof AgentOsError) || this.makesBeforeFailing) this.runs.set(request.idempotencyKey, this.runs.get(request.idempotencyKey) ?? `run_${target.stack_id}_${this.runs.size + 1}`);
      if (next instanceof AgentOsError) throw next;
      const runId = this.runs.get(request.idempotencyKey)!;
      return { runId, status: 'queued', eventsUrl: `${target.endpoints['agent-orchestrator_base_url']}/v1/runs/${runId}/events`, ...next };
    },
  } as unknown as PeerPort;
}

const B = peerOf('stk_b');
const unavailable = (retryable = true) => new AgentOsError('dependency_unavailable', { message: 'away', retryable });
const command = (more: Partial<ForwardCommand['forward']['run_request']> = {}, selector: ForwardCommand['forward']['target_selector'] = { stack_id: 'stk_b' }): ForwardCommand => ({
  forward: { target_selector: selector, auth: { tenant_id: 'tnt_a' }, run_request: { agent_id: 'agt_x', input: 'hello', ...more } },
  idempotencyKey: null, correlationId: 'corr_1', traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
});
function nodes(more: Partial<ForwardingFixture> = {}) {
  const [local, remote] = [new ScriptedNode(), new ScriptedNode()];
  return { local, remote, ...forwardingOver({ local: local.port, remote: remote.port, peers: [B], ...more }) };
}
const refusal = (work: Promise<unknown>): Promise<AgentOsError> => work.then(() => expect.fail('It should have been refused.'), (error: AgentOsError) => error);

describe('a forward', () => {
  it('goes to the node that is named, in the name of the caller and with the scopes of a tenant alone', verifies(['PRS-7.3-01', 'PRS-7.3-03'], async () => {
    const { forwarding, remote, local, index } = nodes();
    const made = await forwarding.forward(CALLER, { ...command(), forward: { ...command().forward, auth: { tenant_id: 'tnt_a', principal: { principal_id: 'usr_else', principal_type: 'user' }, scopes: ['audit:read'], policy_context: { data_classification: 'internal', region: 'eu-1', purpose: 'agent_run' } } } });
    expect(made).toMatchObject({ stackId: 'stk_b', runId: 'run_stk_b_1', status: 'queued', eventsUrl: 'https://b.example/v1/runs/run_stk_b_1/events', replayed: false });
    expect(local.asked).toEqual([]);
    expect(remote.asked[0]!.auth).toMatchObject({ tenant_id: 'tnt_a', principal: CALLER.principal, policy_context: { data_classification: 'internal' } });
    expect([...remote.asked[0]!.auth.scopes].sort()).toEqual(['runs:cancel', 'runs:create', 'runs:forward', 'runs:read']);
    expect(remote.asked[0]!.request.idempotencyKey).toMatch(/^fed:stk_a:fwd_/);
    expect(await index.findByRun(CALLER, made.runId)).toMatchObject({ targetStackId: 'stk_b', correlationId: 'corr_1' });
  }));

  it('is tried again after silence and 5xx, with pauses that double, under one key: one run', verifies(['PRS-7.4-10'], async () => {
    const { forwarding, remote, slept } = nodes();
    remote.makesBeforeFailing = true;
    remote.script.push(unavailable(), unavailable());
    expect(await forwarding.forward(CALLER, command())).toMatchObject({ runId: 'run_stk_b_1' });
    expect([remote.asked.length, remote.runs.size, new Set(remote.asked.map(({ request }) => request.idempotencyKey)).size]).toEqual([3, 1, 1]);
    expect(slept).toEqual([100, 200]);
  }));

  it.each(['invalid_request', 'forbidden', 'not_found', 'conflict', 'quota_exceeded', 'rate_limited'] as const)('that is refused with %s is not tried again, and its key is free', async (code) => {
    await verifies(['PRS-7.4-10'], async () => {
      const { forwarding, remote, slept, audit } = nodes();
      remote.script.push(new AgentOsError(code, { message: 'no', details: { peer: 'stk_b' } }));
      expect(await refusal(forwarding.forward(CALLER, command({ idempotency_key: 'k' })))).toMatchObject({ code, details: { peer: 'stk_b' } });
      expect([remote.asked.length, slept]).toEqual([1, []]);
      expect((await audit.list(CALLER, { limit: 5 })).records).toMatchObject([{ action: 'run.forward', outcome: 'denied', peer: 'stk_b', details: { code } }]);
      // Another body under the same key: the refused one has left nothing.
      expect(await forwarding.forward(CALLER, command({ idempotency_key: 'k', input: 'other' }))).toMatchObject({ replayed: false });
    })();
  });

  it('that nobody answered is found again under its key, on the node where it began, whatever would be chosen now', verifies(['PRS-7.4-10', 'PRS-7.4-11'], async () => {
    const { forwarding, remote, local, index, node } = nodes({ maxAttempts: 2 });
    remote.makesBeforeFailing = true;
    remote.script.push(unavailable(), unavailable());
    const request = command({ idempotency_key: 'k' }, { required_capabilities: ['events.stream'], region: 'us-1' });
    const there = { ...node, peers: [peerOf('stk_b', { region: 'us-1' })] };
    const first = forwardingOver({ local: local.port, remote: remote.port, index, maxAttempts: 2, peers: there.peers, own: there.local });
    expect(await refusal(first.forwarding.forward(CALLER, request))).toMatchObject({ code: 'dependency_unavailable' });
    // Now this node is in that region too, and would be taken first.
    const again = forwardingOver({ local: local.port, remote: remote.port, index, own: peerOf('stk_a', { region: 'us-1' }), peers: there.peers });
    expect(await again.forwarding.forward(CALLER, request)).toMatchObject({ stackId: 'stk_b', runId: 'run_stk_b_1', replayed: true });
    expect([remote.runs.size, local.asked.length]).toEqual([1, 0]);
    expect(await forwarding.forward(CALLER, request)).toMatchObject({ runId: 'run_stk_b_1', replayed: true });
    expect(remote.asked.length).toBe(3);
  }));

  it('is answered from the index when it is repeated, without asking anybody; another request under its key is a conflict', async () => {
    const { forwarding, remote } = nodes();
    const first = await forwarding.forward(CALLER, command({ idempotency_key: 'k' }));
    remote.script.push(unavailable(false));
    expect(await forwarding.forward(CALLER, command({ idempotency_key: 'k' }))).toEqual({ ...first, replayed: true });
    expect(remote.asked.length).toBe(1);
    expect(await refusal(forwarding.forward(CALLER, command({ idempotency_key: 'k', input: 'x' })))).toMatchObject({ code: 'conflict', details: { reason: 'idempotency_key_reused' } });
    expect(await refusal(forwarding.forward(CALLER, command({ idempotency_key: 'k' }, { stack_id: 'stk_a' })))).toMatchObject({ code: 'conflict' });
  });

  it('of a hundred equal keys at once is one run, and one of them began it', async () => {
    const { forwarding, remote } = nodes();
    const all = await Promise.all(Array.from({ length: 100 }, () => forwarding.forward(CALLER, command({ idempotency_key: 'k' }))));
    expect(new Set(all.map(({ runId }) => runId)).size).toBe(1);
    expect([all.filter(({ replayed }) => !replayed).length, remote.runs.size, remote.asked.length, remote.described]).toEqual([1, 1, 1, 1]);
  });

  it('to an events URL of a host that is no endpoint of the peer is not passed on', async () => {
    const { forwarding, remote } = nodes();
    for (const eventsUrl of ['https://evil.example/v1/runs/x/events', 'https://b.example:444/x', 'https://b.example@evil.example/x', 'javascript:alert(1)', '/v1/runs/x/events', '']) {
      remote.script.push({ eventsUrl });
      expect(await refusal(forwarding.forward(CALLER, command())), eventsUrl).toMatchObject({ code: 'dependency_unavailable', retryable: false, details: { reason: 'events_url_not_of_peer' } });
    }
  });

  it('needs certificates for another node, and none for this one', verifies(['PRS-7.4-06'], async () => {
    const { forwarding, local } = nodes({ remote: null });
    expect(await refusal(forwarding.forward(CALLER, command()))).toMatchObject({ code: 'dependency_unavailable', retryable: false, details: { reason: 'peer_trust_not_configured', peer: 'stk_b' } });
    expect(await forwarding.forward(CALLER, command({}, { region: 'eu-1' }))).toMatchObject({ stackId: 'stk_a' });
    expect(await forwarding.forward(CALLER, command({}, { stack_id: 'stk_a' }))).toMatchObject({ stackId: 'stk_a' });
    expect(local.asked.length).toBe(2);
  }));

  it('needs to know where the peer listens', async () => {
    const { forwarding } = nodes({ peers: [peerOf('stk_b', { endpoints: { 'agent-orchestrator_base_url': 'https://b.example', 'model-policy_base_url': 'https://b.example' } })] });
    expect(await refusal(forwarding.forward(CALLER, command()))).toMatchObject({ code: 'conflict', details: { reason: 'peer_endpoint_missing' } });
  });

  it('needs a key where the mode demands one', async () => {
    const { forwarding } = nodes({ idempotencyKeyRequired: true });
    expect(await refusal(forwarding.forward(CALLER, command()))).toMatchObject({ code: 'invalid_request', details: { reason: 'idempotency_key_required' } });
    expect(await forwarding.forward(CALLER, { ...command(), idempotencyKey: 'header' })).toMatchObject({ replayed: false });
  });

  it('asks a node what it can do once for many forwards, for each tenant', async () => {
    const { forwarding, remote } = nodes();
    for (let i = 0; i < 5; i += 1) await forwarding.forward(CALLER, command());
    await forwarding.forward({ ...CALLER, tenant_id: 'tnt_b' }, command());
    expect(remote.described).toBe(2);
  });
});

describe('a run of a peer', () => {
  const FROM_C: AuthContext = { ...CALLER, peer: 'stk_c' };

  it('is made here, under a key that only that peer can have, and is on record with its origin', verifies(['PRS-10.3-03'], async () => {
    const { forwarding, local, remote, audit } = nodes();
    const received = await forwarding.receive(FROM_C, command({ idempotency_key: 'fed:stk_c:fwd_1' }, { stack_id: 'stk_a' }));
    expect(received).toMatchObject({ stackId: 'stk_a', runId: 'run_stk_a_1', eventsUrl: 'https://a.example/v1/runs/run_stk_a_1/events' });
    expect(await forwarding.receive(FROM_C, command({ idempotency_key: 'fed:stk_c:fwd_1' }, { stack_id: 'stk_a' }))).toMatchObject({ runId: 'run_stk_a_1' });
    await forwarding.receive(FROM_C, command({ idempotency_key: 'fed:stk_b:fwd_1' }, { stack_id: 'stk_a' }));
    expect(local.asked.map(({ request }) => request.idempotencyKey)).toEqual(['fed:stk_c:fwd_1', 'fed:stk_c:fwd_1', 'fed:stk_c:fed:stk_b:fwd_1']);
    expect(local.asked[0]!.auth.peer).toBe('stk_c');
    expect(remote.asked).toEqual([]);
    expect((await audit.list(CALLER, { limit: 5 })).records.at(-1)).toMatchObject({ action: 'run.receive', outcome: 'allowed', peer: 'stk_c', resource: { type: 'run', id: 'run_stk_a_1' }, principal: { principal_id: 'svc_a' } });
  }));

  it('is not relayed, and not tried again here: the peer does that', async () => {
    const { forwarding, local, audit } = nodes();
    for (const selector of [{ stack_id: 'stk_b' }, { region: 'us-1' }, { stack_id: 'stk_a', region: 'us-1' }]) {
      expect(await refusal(forwarding.receive(FROM_C, command({ idempotency_key: 'k' }, selector)))).toMatchObject({ code: 'conflict', details: { reason: 'not_the_target' } });
    }
    local.script.push(unavailable());
    expect(await refusal(forwarding.receive(FROM_C, command({ idempotency_key: 'k' }, { stack_id: 'stk_a' })))).toMatchObject({ code: 'dependency_unavailable' });
    expect(local.asked.length).toBe(1);
    expect((await audit.list(CALLER, { limit: 5 })).records).toMatchObject([{ action: 'run.receive', outcome: 'failed', peer: 'stk_c' }]);
  });
});

describe('a choice among several nodes', () => {
  it('does not wait again for one that was silent a moment ago; one that is named is asked each time', async () => {
    const { forwarding, remote } = nodes({ peers: [B, peerOf('stk_c')], own: peerOf('stk_a', { region: 'us-1' }) });
    const asked: string[] = [];
    const answers = remote.port.describe;
    remote.port.describe = async (auth, peer, call) => {
      asked.push(peer.stack_id);
      if (peer.stack_id === 'stk_b') throw unavailable();
      return answers(auth, peer, call);
    };
    const region = command({}, { region: 'eu-1' });
    for (let i = 0; i < 3; i += 1) expect(await forwarding.forward(CALLER, region)).toMatchObject({ stackId: 'stk_c' });
    expect(asked).toEqual(['stk_b', 'stk_c']);
    for (let i = 0; i < 2; i += 1) expect(await refusal(forwarding.forward(CALLER, command()))).toMatchObject({ code: 'dependency_unavailable' });
    expect(asked.filter((stackId) => stackId === 'stk_b').length).toBe(3);
  });
});

describe('an answer that names a run of another forward', () => {
  it('is not believed, and is no conflict of the caller’s', async () => {
    const { forwarding, remote } = nodes();
    const first = await forwarding.forward(CALLER, command());
    remote.script.push({ runId: first.runId });
    expect(await refusal(forwarding.forward(CALLER, command()))).toMatchObject({ code: 'dependency_unavailable', retryable: false, details: { reason: 'answer_unusable', peer: 'stk_b' } });
  });
});
