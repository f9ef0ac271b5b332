/** What every PeerPort must do: act for the caller, tell refusals from failures, and hold every answer to what was asked. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { EventEnvelope } from '../../../generated/types/index.ts';
import { newId } from '../../../services/platform/ids.ts';
import type { AuthContext } from '../../../services/platform/tenancy/auth-context.ts';
import { verifies } from '../../http/verifies.ts';
import type { PeerHarness } from '../contract.ts';
import { rejection } from '../fixtures.ts';
import { peerCall as call } from '../peer-fixtures.ts';

export function peerSuite(create: () => Promise<PeerHarness>): void {
  let harness: PeerHarness | undefined;
  beforeAll(async () => {
    harness = await create();
  });
  afterEach(() => harness?.node.set('answers'));
  afterAll(() => harness?.dispose());
  const under = () => harness!;
  describe('description', () => description(under));
  describe('runs', () => runs(under));
  describe('failures', () => failures(under));
  describe('events', () => events(under));
}

const forward = ({ peer, target }: PeerHarness, auth: AuthContext, idempotencyKey = `fed:stk_a:${newId('fwd')}`, more = {}) =>
  peer.createRun(auth, target, { idempotencyKey, run: { agent_id: 'agt_x', input: 'hello', idempotency_key: 'the caller’s own', ...more } }, call());

function description(under: () => PeerHarness): void {
  it('says who the node is and what it can do, whatever else it tells', verifies(['PRS-3.2-01', 'PRS-3.2-02'], async () => {
    const { peer, target, newTenant } = under();
    const told = await peer.describe(await newTenant(), target, call());
    expect(told.peer.stack_id).toBe(target.stack_id);
    expect(told.peer.api_versions).toContain('v1');
    expect(told.capabilities.supports).toMatchObject({ tenant_isolation: true });
  }));
}

function runs(under: () => PeerHarness): void {
  it('are made in the name of the caller, whole, under the key that names the forward', verifies(['PRS-7.4-07'], async () => {
    const { node, newTenant } = under();
    const auth: AuthContext = { ...(await newTenant()), peer: 'stk_origin', policy_context: { data_classification: 'internal', region: 'eu-1', purpose: 'agent_run' } };
    const key = `fed:stk_a:${newId('fwd')}`;
    const made = await forward(under(), auth, key, { labels: { a: 'b' } });
    expect(made).toMatchObject({ runId: expect.stringMatching(/^run_/), status: 'queued' });
    expect(URL.canParse(made.eventsUrl) && made.eventsUrl.endsWith(`/runs/${made.runId}/events`), made.eventsUrl).toBe(true);
    const seen = node.seen.at(-1)!;
    expect(seen.auth).toMatchObject({ tenant_id: auth.tenant_id, principal: auth.principal, scopes: auth.scopes.filter((scope) => scope !== 'tenants:admin'), policy_context: auth.policy_context });
    expect(seen.headers['x-correlation-id']).toBe('corr_suite');
    expect(seen.headers['traceparent']).toMatch(/^00-4bf92f3577b34da6a3ce929d0e0e4736-[0-9a-f]{16}-01$/);
    expect(JSON.stringify(seen.body)).toContain(`"idempotency_key":"${key}"`);
    expect(JSON.stringify(seen.body)).toContain('"labels":{"a":"b"}');
    expect(JSON.stringify(seen.body), 'the caller’s own key names another thing on the other node').not.toContain('the caller’s own');
  }));

  it('are the same run under the same key, and are read and canceled by their id', async () => {
    const { peer, target, newTenant } = under();
    const auth = await newTenant();
    const [one, again, other] = [await forward(under(), auth, 'fed:stk_a:fwd_1'), await forward(under(), auth, 'fed:stk_a:fwd_1'), await forward(under(), auth, 'fed:stk_a:fwd_2')];
    expect([again.runId === one.runId, other.runId === one.runId]).toEqual([true, false]);
    expect(await peer.getRun(auth, target, one.runId, call())).toMatchObject({ run_id: one.runId, tenant_id: auth.tenant_id, status: 'queued' });
    expect(await peer.cancelRun(auth, target, one.runId, call())).toMatchObject({ run_id: one.runId, status: 'canceled' });
  });

  it('have ids that cannot lead elsewhere', async () => {
    const { peer, target, newTenant, node } = under();
    const auth = await newTenant();
    for (const id of ['../admin', 'a/b?c=d#e', 'run_x:cancel', '%2e%2e']) {
      expect(await rejection(peer.getRun(auth, target, id, call())), id).toMatchObject({ code: 'not_found' });
      expect(node.seen.at(-1)!.path, id).toMatch(new RegExp(`/runs/${encodeURIComponent(id).replaceAll('.', '\\.')}$`));
    }
  });
}

function failures(under: () => PeerHarness): void {
  const asked = {
    createRun: (auth: AuthContext) => forward(under(), auth),
    getRun: (auth: AuthContext) => under().peer.getRun(auth, under().target, 'run_node_1', call()),
    cancelRun: (auth: AuthContext) => under().peer.cancelRun(auth, under().target, 'run_node_1', call()),
  };

  it.each(Object.keys(asked) as Array<keyof typeof asked>)('of %s: a refusal is the node’s own, a failure is a dependency', async (name) => {
    await verifies(['PRS-7.4-10'], async () => {
      const { node, target, newTenant } = under();
      const auth = await newTenant();
      const failing = async (mode: Parameters<typeof node.set>[0]) => {
        node.set(mode);
        return rejection(asked[name](auth));
      };
      expect(await failing('refuses')).toMatchObject({ code: 'conflict', details: { reason: 'because', peer: target.stack_id } });
      expect(await failing('fails')).toMatchObject({ code: 'dependency_unavailable', retryable: true, details: { peer: target.stack_id } });
      expect(await failing('breaks')).toMatchObject({ code: 'dependency_unavailable', retryable: true });
      expect(await failing('babbles')).toMatchObject({ code: 'dependency_unavailable' });
      // A credential of the caller's is not what is wrong, and asking again mends nothing.
      expect(await failing('distrusts')).toMatchObject({ code: 'dependency_unavailable', retryable: false, details: { reason: 'peer_untrusted' } });
    })();
  });

  it('leave a run that the same request finds: it was made, and the answer was lost', verifies(['PRS-7.4-10'], async () => {
    const { node, newTenant } = under();
    const auth = await newTenant();
    for (const mode of ['fails', 'breaks'] as const) {
      const [key, before] = [`fed:stk_a:${newId('fwd')}`, node.runs()];
      node.set(mode);
      await rejection(forward(under(), auth, key));
      node.set('answers');
      await forward(under(), auth, key);
      expect(node.runs() - before, mode).toBe(1);
    }
  }));

  it('are answers about another tenant, and silence for longer than the caller waits', verifies(['PRS-7.4-09'], async () => {
    const { peer, target, node, newTenant } = under();
    const auth = await newTenant();
    const { runId } = await forward(under(), auth);
    node.set('lies');
    for (const work of [forward(under(), auth), peer.getRun(auth, target, runId, call()), peer.cancelRun(auth, target, runId, call())]) {
      expect(await rejection(work)).toMatchObject({ code: 'dependency_unavailable', details: { reason: 'answer_unusable' } });
    }
    node.set('hangs');
    expect(await rejection(peer.getRun(auth, target, runId, { ...call(), signal: AbortSignal.timeout(100) }))).toMatchObject({ code: 'dependency_unavailable' });
    expect(await rejection(peer.openEvents(auth, target, { runId, afterSequence: 0 }, { ...call(), signal: AbortSignal.timeout(100) }))).toMatchObject({ code: 'dependency_unavailable' });
  }));
}

function events(under: () => PeerHarness): void {
  const open = (auth: AuthContext, runId: string, afterSequence = 0, signal = new AbortController().signal) => under().peer.openEvents(auth, under().target, { runId, afterSequence }, { ...call(), signal });
  async function take(stream: AsyncIterable<EventEnvelope>, into: number[] = []): Promise<number[]> {
    for await (const { event } of stream) into.push(event.sequence);
    return into;
  }

  it('come in order from the cursor on, as they happen, until the run’s last one', async () => {
    const { node, newTenant } = under();
    const auth = await newTenant();
    const { runId } = await forward(under(), auth);
    const [all, later] = [take(await open(auth, runId)), take(await open(auth, runId, 2))];
    for (const type of ['test.step', 'test.step', 'test.ended']) {
      await sleep(10);
      node.emit(runId, type);
    }
    expect(await all).toEqual([1, 2, 3, 4]);
    expect(await later).toEqual([3, 4]);
  });

  it('end where the connection does, without an error, and go on from the cursor', async () => {
    const { node, newTenant } = under();
    const auth = await newTenant();
    const { runId } = await forward(under(), auth);
    const taken: number[] = [];
    const first = take(await open(auth, runId), taken);
    await expect.poll(() => taken).toEqual([1]);
    node.cutStreams();
    expect(await first).toEqual([1]);
    node.emit(runId, 'test.ended');
    expect(await take(await open(auth, runId, 1))).toEqual([2]);
  });

  it.each([{ tenant_id: 'tnt_somebody_else' }, { run_id: 'run_another' }, { sequence: 'two' as never }])('that hold %j are not passed on: the stream ends with an error', async (as) => {
    await verifies(['PRS-7.4-09'], async () => {
      const { node, newTenant } = under();
      const auth = await newTenant();
      const { runId } = await forward(under(), auth);
      node.emit(runId, 'test.step', as);
      const taken: number[] = [];
      expect(await rejection(take(await open(auth, runId), taken))).toMatchObject({ code: 'dependency_unavailable', details: { reason: 'answer_unusable' } });
      expect(taken).toEqual([1]);
      await expect.poll(() => node.openStreams()).toBe(0);
    })();
  });

  it('are those of a run that there is: else the node’s refusal', async () => {
    const auth = await under().newTenant();
    expect(await rejection(open(auth, 'run_absent'))).toMatchObject({ code: 'not_found' });
  });

  it('leave no connection behind when nobody reads any more', async () => {
    const { node, newTenant } = under();
    const auth = await newTenant();
    const { runId } = await forward(under(), auth);
    const leaving = new AbortController();
    const aborted = take(await open(auth, runId, 0, leaving.signal));
    for await (const { event } of await open(auth, runId)) {
      expect(event.sequence).toBe(1);
      break;
    }
    leaving.abort();
    await aborted;
    await expect.poll(() => node.openStreams()).toBe(0);
  });
}
