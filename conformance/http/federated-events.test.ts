/** Events across nodes: the stream of a run that executes elsewhere, and events that are pushed (PRS 7.3, 7.4; Appendix F.5). */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, readEvents, untilEnded, type Json } from '../harness/client.ts';
import { askAsPeer, CALLER, type PeerAnswer } from '../harness/peer-caller.ts';
import { startTwoNodes, type TwoNodes } from '../harness/two-nodes.ts';
import { replicaEvent, replicaRun, type WireEvent } from '../ports/replica-fixtures.ts';
import { newId } from '../../services/platform/ids.ts';
import { tenantTables } from '../../services/platform/tenancy/tenant-tables.ts';
import { goldenPayload } from './golden.ts';
import { verifies } from './verifies.ts';

const INGEST = '/v1/federation/events:ingest';
const TENANT = 'tnt_demo';
const eventsOf = (runId: string): string => `/v1/federation/runs/${runId}/events`;
/** What came, without comments. */
const framesIn = (raw: string): string => raw.split('\n\n').filter((block) => block !== '' && !block.startsWith(':')).join('\n\n');

async function forward(nodes: TwoNodes, tenant = TENANT): Promise<Json> {
  const body = { forward: { target_selector: { stack_id: nodes.b.stackId }, auth: { ...CALLER, tenant_id: tenant }, run_request: { agent_id: 'agt_demo', input: 'Say hello.' } } };
  const answer = await call(nodes.a.urls.federation, '/v1/federation/runs:forward', { body, tenant });
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
  return answer.body.forwarded;
}

describe('the stream of a run that was forwarded', () => {
  let nodes: TwoNodes;
  let runId: string;
  const here = (): string => nodes.a.urls.federation;
  const there = (): string => nodes.b.urls['agent-orchestrator'];
  beforeAll(async () => {
    nodes = await startTwoNodes();
    runId = (await forward(nodes)).remote_run_id;
    await untilEnded(there(), runId);
  }, 180_000);
  afterAll(() => nodes?.close());

  it('is byte for byte what the node that executes it writes', verifies(['PRS-7.3-04', 'PRS-7.4-03', 'PRS-7.4-05', 'PRS-7.1-01'], async () => {
    const original = await readEvents(there(), `/v1/runs/${runId}/events`);
    const federated = await readEvents(here(), eventsOf(runId));
    expect(original.frames.length).toBeGreaterThan(3);
    expect(framesIn(federated.raw)).toBe(framesIn(original.raw));
    expect(federated).toMatchObject({ status: 200, ended: true });
    for (const name of ['content-type', 'cache-control', 'x-accel-buffering']) expect(federated.headers.get(name), name).toBe(original.headers.get(name));
  }));

  it('is the same on the node that executes it, asked through its Federation', verifies(['PRS-7.3-04'], async () => {
    const original = await readEvents(there(), `/v1/runs/${runId}/events`);
    expect(framesIn((await readEvents(nodes.b.urls.federation, eventsOf(runId))).raw)).toBe(framesIn(original.raw));
  }));

  it('goes on behind any cursor, in all three spellings; the query goes before the header', verifies(['PRS-7.3-04'], async () => {
    const all = (await readEvents(here(), eventsOf(runId))).frames;
    for (const after of [0, 2, all.length - 1, all.length, 1_000]) {
      const asked = await Promise.all([
        readEvents(here(), `${eventsOf(runId)}?after_sequence=${after}`),
        readEvents(here(), `${eventsOf(runId)}?from_sequence=${after}`),
        readEvents(here(), eventsOf(runId), { headers: { 'last-event-id': String(after) } }),
        readEvents(here(), `${eventsOf(runId)}?after_sequence=${after}`, { headers: { 'last-event-id': '1' } }),
      ]);
      for (const { frames, ended } of asked) expect({ frames, ended }).toEqual({ frames: all.slice(after), ended: true });
    }
    expect((await call(here(), `${eventsOf(runId)}?after_sequence=-1`)).status).toBe(400);
    expect((await call(here(), eventsOf(runId), { headers: { 'last-event-id': 'x' } })).status).toBe(400);
  }));

  it('is not there for another tenant, in the very words of a run that there is not', verifies(['PRS-7.4-09', 'PRS-7.4-08', 'PRS-13-09', 'PRS-13-11'], async () => {
    const stranger = await nodes.tenant();
    const absent = newId('run');
    const answers = await Promise.all([runId, absent].map((id) => call(here(), eventsOf(id), { tenant: stranger })));
    expect(answers.map(({ status }) => status)).toEqual([404, 404]);
    const [theirs, nobodys] = answers.map(({ body }, at) => JSON.stringify({ ...body, correlation_id: '' }).replaceAll([runId, absent][at]!, '<id>'));
    expect(theirs).toBe(nobodys);
  }));

  it('needs the scope', async () => {
    expect((await call(here(), eventsOf(runId), { headers: { 'x-scopes': 'runs:forward' } })).status).toBe(403);
  });

  it('is told to a peer where the run executes, and nowhere else', verifies(['PRS-7.4-09'], async () => {
    const ask = async (from: 'a' | 'b', path: string): Promise<PeerAnswer> => {
      const [caller, target] = from === 'a' ? [nodes.a, nodes.b] : [nodes.b, nodes.a];
      return askAsPeer({ stackId: target.stackId, url: target.peerUrl, authority: target.authority.cert }, { stackId: caller.stackId, certificate: caller.certificate }, { path });
    };
    // A knows where it is and does not relay.
    expect(await ask('b', eventsOf(runId))).toMatchObject({ status: 404 });
  }));

  it('with a node that is away is answered with 503 before it begins, and is there again with the node', verifies(['PRS-7.4-06'], async () => {
    await nodes.b.stop();
    const refused = await call(here(), eventsOf(runId));
    expect(refused).toMatchObject({ status: 503, body: { error: { code: 'dependency_unavailable', retryable: true } } });
    await nodes.b.start();
    expect((await readEvents(here(), eventsOf(runId))).ended).toBe(true);
  }), 180_000);

  it('whose node is no peer any more says so, and is there again with the peers file', verifies(['PRS-7.4-06'], async () => {
    const file = join(nodes.a.folder, 'peers.json');
    const before = readFileSync(file, 'utf8');
    writeFileSync(file, JSON.stringify({ ...(JSON.parse(before) as object), peers: [] }));
    await expect.poll(async () => (await call(here(), eventsOf(runId))).body, { timeout: 15_000 }).toMatchObject({ error: { code: 'dependency_unavailable', retryable: false, details: { reason: 'peer_unknown' } } });
    writeFileSync(file, before);
    await expect.poll(async () => (await readEvents(here(), eventsOf(runId))).status, { timeout: 15_000 }).toBe(200);
  }), 180_000);

  describe('events that are pushed', () => {
    /** By a caller of node A. */
    const ingest = (body: Json, options: { readonly tenant?: string; readonly headers?: Record<string, string> } = {}) => call(here(), INGEST, { body, ...options });
    /** By node B itself, to the listener for nodes. */
    const push = async (body: Json, tenantId = TENANT): Promise<{ readonly status: number; readonly body: Json }> => {
      const answer = await askAsPeer({ stackId: nodes.a.stackId, url: nodes.a.peerUrl, authority: nodes.a.authority.cert }, { stackId: nodes.b.stackId, certificate: nodes.b.certificate }, { path: INGEST, body, auth: { ...CALLER, tenant_id: tenantId } });
      if ('failed' in answer) throw new Error(answer.failed);
      return answer;
    };
    const from = (events: readonly unknown[], source: string | null = nodes.b.stackId) => ({ events, ...(source === null ? {} : { ingest: { source_stack_id: source, dedupe: { mode: 'event_id' } } }) });
    const auth = { tenant_id: TENANT };

    it('are taken in every form in use, from the source that each form names', verifies(['PRS-7.3-05'], async () => {
      const source = nodes.b.stackId;
      const appendix = goldenPayload('F.5-events-ingest.request.json') as { events: WireEvent[]; ingest: Json };
      const forms: Json[] = [
        { ...appendix, ingest: { ...appendix.ingest, source_stack_id: source } },
        { peer: { stack_id: source, environment: 'test' }, events: [{ event: replicaEvent(auth, newId('run'), 1) }] },
        { peer_id: source, auth: { tenant_id: TENANT, principal_id: 'prn_ci' }, events: [{ event: replicaEvent(auth, newId('run'), 1) }] },
        { ...from([replicaEvent(auth, newId('run'), 1), { event: replicaEvent(auth, newId('run'), 2), correlation_id: 'corr_x' }]), peer_id: 'stk_overruled' },
      ];
      for (const form of forms) {
        const { status, body } = await push(form);
        expect(status, JSON.stringify(body)).toBe(200);
        const results = (form.events as Json[]).map((item, index) => ({ index, status: 'accepted', event_id: (item.event ?? item).event_id }));
        expect(body).toEqual({ accepted: results.length, rejected: 0, duplicates: 0, results, correlation_id: expect.any(String) as string, tenant_id: TENANT });
      }
    }));

    it('are taken once, also when the same frames were passed through before', verifies(['PRS-7.4-04', 'PRS-7.3-05'], async () => {
      const [first, second] = (await readEvents(here(), eventsOf(runId))).frames.map((frame) => frame.data);
      for (const verdicts of [['accepted', 'duplicate'], ['duplicate', 'duplicate']]) {
        const { body } = await ingest(from([first, first]));
        expect(body.results.map((result: Json) => result.status)).toEqual(verdicts);
        expect(body).toMatchObject({ accepted: verdicts.filter((each) => each === 'accepted').length, rejected: verdicts.filter((each) => each === 'duplicate').length });
      }
      expect((await ingest(from([second.event]))).body).toMatchObject({ accepted: 1, rejected: 0 });
    }));

    it('are judged one by one: what cannot be taken leaves the others alone', verifies(['PRS-7.4-08', 'PRS-7.4-09', 'PRS-7.4-04'], async () => {
      const taken = newId('run');
      const [one, two, three] = replicaRun(auth, taken, 4) as [WireEvent, WireEvent, WireEvent];
      const local = (await call(nodes.a.urls['agent-orchestrator'], '/v1/agents/agt_demo/runs', { body: { input: 'Here.' } })).body.run.run_id as string;
      const { agent_id: _agent, ...nameless } = replicaEvent(auth, newId('run'), 1);
      const items: readonly (readonly [item: unknown, status: string, reason?: string])[] = [
        [one, 'accepted'],
        [{ ...two, tenant_id: 'tnt_other' }, 'rejected', 'tenant_mismatch'],
        [{ event: { ...two, tenant_id: 'tnt_other' } }, 'rejected', 'tenant_mismatch'],
        [{ ...two, sequence: 'two' }, 'rejected', 'invalid'],
        [{ ...two, event_id: '' }, 'rejected', 'invalid'],
        ['an event', 'rejected', 'invalid'],
        [null, 'rejected', 'invalid'],
        [{ event: null }, 'rejected', 'invalid'],
        [{ ...one, payload: { status: 'forged' } }, 'rejected', 'conflict'],
        [{ ...one, event_id: newId('evt') }, 'rejected', 'conflict'],
        [replicaEvent(auth, local, 99), 'rejected', 'run_is_local'],
        [nameless, 'rejected', 'agent_unknown'],
        [one, 'duplicate'],
        [three, 'accepted'],
        [two, 'accepted'],
      ];
      const { status, body } = await push(from(items.map(([item]) => item)));
      expect(status).toBe(200);
      expect(body.results.map(({ status: told, reason }: Json) => [told, reason])).toEqual(items.map(([, told, reason]) => [told, reason]));
      expect(body).toMatchObject({ accepted: 3, rejected: items.length - 3, duplicates: 1 });
      const { frames } = await readEvents(here(), eventsOf(taken), { stopAfter: 3 });
      expect(frames.map((frame) => frame.data)).toEqual([{ event: one }, { event: two }, { event: three }]);
      const audit = await call(nodes.a.urls['agent-orchestrator'], '/v1/audit?action=events.replicate&outcome=denied', { headers: { 'x-scopes': 'audit:read' } });
      expect(audit.body.records[0], 'what reached for others is on record').toMatchObject({ peer: nodes.b.stackId, details: { rejected: 3, reasons: ['tenant_mismatch', 'run_is_local'] } });
      const listed = await call(nodes.a.urls['agent-orchestrator'], `/v1/runs/${local}/history`);
      expect(listed.body.events.some(({ event }: Json) => event.sequence === 99)).toBe(false);
    }));

    it('of older nodes are made whole', async () => {
      const run = newId('run');
      const bare = { event_id: newId('evt'), sequence: 1, type: 'agentos.run.created', run_id: run };
      expect((await push(from([{ ...bare, agent_id: 'agt_old' }, { ...bare, event_id: newId('evt'), sequence: 2, trace: { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' } }]))).body).toMatchObject({ accepted: 2 });
      const { frames } = await readEvents(here(), eventsOf(run), { stopAfter: 2 });
      expect(frames[0]!.data.event).toEqual({
        ...bare, tenant_id: TENANT, agent_id: 'agt_old', step_id: null, payload: {}, time: expect.stringMatching(/Z$/) as string,
        trace: { traceparent: expect.stringMatching(/^00-/) as string, span_id: expect.stringMatching(/^[0-9a-f]{16}$/) as string },
      });
      expect(frames[1]!.data.event).toMatchObject({ agent_id: 'agt_old', trace: { span_id: '00f067aa0ba902b7' } });
    });

    it('are refused as a whole for who sends them and for whom', verifies(['PRS-7.4-08', 'PRS-7.4-09'], async () => {
      const event = replicaEvent(auth, newId('run'), 1);
      const refusals: readonly (readonly [body: Json, status: number, code: string, reason?: string])[] = [
        [from([event], null), 400, 'invalid_request', 'source_missing'],
        [from([event], 'stk_stranger'), 409, 'conflict', 'peer_unknown'],
        [from([event], nodes.a.stackId), 409, 'conflict', 'source_is_this_node'],
        [{ ...from([event]), auth: { tenant_id: 'tnt_other' } }, 400, 'tenant_mismatch'],
        [{ ingest: { source_stack_id: nodes.b.stackId } }, 400, 'invalid_request'],
        [{ ...from([event]), events: {} }, 400, 'invalid_request'],
        [{ ...from([event]), ingest: { source_stack_id: nodes.b.stackId, dedupe: { mode: 'none' } } }, 400, 'invalid_request'],
      ];
      for (const [body, status, code, reason] of refusals) {
        const answer = await ingest(body);
        expect([answer.status, answer.body.error?.code], JSON.stringify(answer.body)).toEqual([status, code]);
        if (reason !== undefined) expect(answer.body.error.details.reason).toBe(reason);
      }
      expect((await ingest(from([event]), { headers: { 'x-scopes': 'runs:read' } })).status).toBe(403);
      expect((await call(here(), eventsOf(event.run_id))).status, 'nothing was stored').toBe(404);
      expect((await ingest(from([]))).body).toMatchObject({ accepted: 0, rejected: 0, duplicates: 0, results: [] });
    }));

    it('stay with their tenant, even where another has the same run', verifies(['PRS-7.4-09', 'PRS-13-11'], async () => {
      const [mine, other] = [await nodes.tenant(), await nodes.tenant()];
      const run = newId('run');
      for (const tenant_id of [mine, other]) expect((await push(from(replicaRun({ tenant_id }, run, tenant_id === mine ? 3 : 5)), tenant_id)).body).toMatchObject({ rejected: 0 });
      for (const [tenant, length] of [[mine, 3], [other, 5]] as const) {
        const { frames } = await readEvents(here(), eventsOf(run), { tenant });
        expect(frames.map((frame) => frame.data.event.tenant_id)).toEqual(Array(length).fill(tenant));
      }
      expect((await call(here(), eventsOf(run))).status).toBe(404);
    }));

    it('of a run that was forwarded are taken from the node that it went to alone', verifies(['PRS-7.4-08'], async () => {
      const run = (await forward(nodes)).remote_run_id as string;
      await untilEnded(there(), run);
      const events = (await readEvents(there(), `/v1/runs/${run}/events`)).frames.map((frame) => frame.data);
      const sender = { stackId: nodes.b.stackId, certificate: nodes.b.certificate };
      const target = { stackId: nodes.a.stackId, url: nodes.a.peerUrl, authority: nodes.a.authority.cert };
      // By the node itself, which need not say who it is, and cannot say that it is another.
      expect(await askAsPeer(target, sender, { path: INGEST, body: { events: events.slice(0, 2) } })).toMatchObject({ status: 200, body: { accepted: 2, rejected: 0 } });
      expect(await askAsPeer(target, sender, { path: INGEST, body: { ...from(events), ingest: { source_stack_id: 'stk_c' } } })).toMatchObject({ status: 403, body: { error: { code: 'forbidden', details: { reason: 'source_not_sender' } } } });
      expect((await ingest(from(events))).body).toMatchObject({ accepted: events.length - 2, duplicates: 2 });
    }));

    it('by a caller of this node are taken as the node of the run tells them, and not otherwise', verifies(['PRS-7.4-08', 'PRS-7.3-05', 'PRS-10.3-03'], async () => {
      const run = (await forward(nodes)).remote_run_id as string;
      await untilEnded(there(), run);
      const events = (await readEvents(there(), `/v1/runs/${run}/events`)).frames.map((frame) => frame.data.event as WireEvent);
      const [one, two, three] = events as [WireEvent, WireEvent, WireEvent];
      const last = events.at(-1)!;
      const forged: readonly (readonly [item: unknown, reason: string])[] = [
        [{ ...one, payload: { status: 'forged' } }, 'not_confirmed'],
        [{ ...one, event_id: newId('evt') }, 'not_confirmed'],
        [{ ...one, type: 'agentos.run.failed' }, 'not_confirmed'],
        [{ ...two, sequence: 3 }, 'not_confirmed'],
        [replicaEvent(auth, run, last.sequence + 1), 'not_confirmed'],
        [replicaEvent(auth, run, 0), 'not_confirmed'],
        [replicaEvent(auth, newId('run'), 1), 'run_not_forwarded'],
      ];
      const { status, body } = await ingest(from(forged.map(([item]) => item)));
      expect(status, JSON.stringify(body)).toBe(200);
      expect(body.results.map(({ reason }: Json) => reason)).toEqual(forged.map(([, reason]) => reason));
      expect(body).toMatchObject({ accepted: 0, rejected: forged.length });
      const kept = () => nodes.a.database.asSuperuser(async (client) => (await client.query<{ event: WireEvent }>('SELECT event FROM federation.replica_events WHERE run_id = $1 ORDER BY sequence', [run])).rows.map(({ event }) => event));
      expect(await kept()).toEqual([]);
      const audit = await call(nodes.a.urls['agent-orchestrator'], '/v1/audit?action=events.replicate&outcome=denied', { headers: { 'x-scopes': 'audit:read' } });
      expect(audit.body.records[0]).toMatchObject({ peer: nodes.b.stackId, details: { rejected: forged.length, reasons: ['not_confirmed', 'run_not_forwarded'] } });
      // What says which event it is, is its own; about the rest nobody but its node is asked.
      expect((await ingest(from([{ ...one, time: '2001-01-01T00:00:00Z', agent_id: 'agt_forged', step_id: 'stp_forged', extra: 'forged' }, three]))).body).toMatchObject({ accepted: 2 });
      expect(await kept()).toEqual([one, three]);
    }));

    it('by a caller of this node wait for the node of the run, which alone can confirm them', verifies(['PRS-7.4-08', 'PRS-7.4-06'], async () => {
      const run = (await forward(nodes)).remote_run_id as string;
      await untilEnded(there(), run);
      const [one] = (await readEvents(there(), `/v1/runs/${run}/events`)).frames.map((frame) => frame.data.event as WireEvent);
      await nodes.b.stop();
      try {
        expect(await ingest(from([one]))).toMatchObject({ status: 503, body: { error: { code: 'dependency_unavailable', retryable: true, details: { peer: nodes.b.stackId } } } });
      } finally {
        await nodes.b.start();
      }
      expect((await ingest(from([one]))).body).toMatchObject({ accepted: 1, rejected: 0 });
    }), 180_000);

    it('are on record with the node that they came from', verifies(['PRS-10.3-03'], async () => {
      const run = newId('run');
      await push(from(replicaRun(auth, run, 3)));
      const { body } = await call(here().replace(nodes.a.urls.federation, nodes.a.urls['agent-orchestrator']), `/v1/audit?action=events.replicate&resource_id=${run}`, { headers: { 'x-scopes': 'audit:read' } });
      expect(body.records, JSON.stringify(body)).toMatchObject([{ action: 'events.replicate', outcome: 'allowed', peer: nodes.b.stackId, tenant_id: TENANT, resource: { type: 'run', id: run }, details: { stored: 3, duplicates: 0, conflicts: 0 } }]);
    }));
  });
});

describe('a node that copies what it forwards', () => {
  let nodes: TwoNodes;
  const here = (): string => nodes.a.urls.federation;
  const there = (): string => nodes.b.urls['agent-orchestrator'];
  beforeAll(async () => {
    // Nobody works on B, so a run stays in its queue until it is canceled.
    nodes = await startTwoNodes({ env: { a: { AGENTOS_FED_REPLICATION: 'on' }, b: { AGENTOS_ROLE: 'api' } } });
  }, 180_000);
  afterAll(() => nodes?.close());

  const copied = async (runId: string): Promise<number> =>
    nodes.a.database.asSuperuser(async (client) => (await client.query<{ n: number }>('SELECT count(*)::int AS n FROM federation.replica_events WHERE run_id = $1', [runId])).rows[0]!.n);
  const cancel = (runId: string) => call(here(), `/v1/federation/runs/${runId}:cancel`, { method: 'POST' });

  it('serves a run whose node is away, in the words of that node', verifies(['PRS-7.3-04', 'PRS-7.4-06', 'PRS-7.4-03'], async () => {
    const runId = (await forward(nodes)).remote_run_id as string;
    await cancel(runId);
    await expect.poll(() => copied(runId), { timeout: 15_000 }).toBe(2);
    const original = await readEvents(there(), `/v1/runs/${runId}/events`);
    await nodes.b.stop();
    try {
      const federated = await readEvents(here(), eventsOf(runId));
      expect(federated).toMatchObject({ status: 200, ended: true });
      expect(framesIn(federated.raw)).toBe(framesIn(original.raw));
      expect((await readEvents(here(), `${eventsOf(runId)}?after_sequence=1`)).frames).toEqual(original.frames.slice(1));
      const stranger = await nodes.a.running().tenant();
      expect((await call(here(), eventsOf(runId), { tenant: stranger })).status).toBe(404);
    } finally {
      await nodes.b.start();
    }
  }), 180_000);

  it('tells what it has, keeps the reader, and goes on when the node is back', verifies(['PRS-7.3-04', 'PRS-7.4-04', 'PRS-7.4-05'], async () => {
    const runId = (await forward(nodes)).remote_run_id as string;
    await expect.poll(() => copied(runId), { timeout: 15_000 }).toBe(1);
    await nodes.b.stop();
    const reading = readEvents(here(), eventsOf(runId), { timeoutMs: 40_000 });
    await new Promise((resolve) => setTimeout(resolve, 500));
    await nodes.b.start();
    await expect.poll(async () => (await cancel(runId)).status, { timeout: 10_000 }).toBe(200);
    const { frames, ended } = await reading;
    expect({ sequences: frames.map((frame) => frame.id), ended }).toEqual({ sequences: ['1', '2'], ended: true });
  }), 180_000);

  it('goes on copying after a restart, and has each event once and on record', verifies(['PRS-7.4-11', 'PRS-7.4-04', 'PRS-10.3-03'], async () => {
    const runId = (await forward(nodes)).remote_run_id as string;
    await expect.poll(() => copied(runId), { timeout: 15_000 }).toBe(1);
    await nodes.a.stop();
    await call(there(), `/v1/runs/${runId}:cancel`, { method: 'POST' });
    await nodes.a.start();
    await expect.poll(() => copied(runId), { timeout: 15_000 }).toBe(2);
    const { body } = await call(nodes.a.urls['agent-orchestrator'], `/v1/audit?action=events.replicate&resource_id=${runId}`, { headers: { 'x-scopes': 'audit:read' } });
    expect(body.records.map((record: Json) => [record.peer, record.outcome, record.principal.principal_id, record.details.stored])).toEqual([[nodes.b.stackId, 'allowed', 'svc_federation', 1], [nodes.b.stackId, 'allowed', 'svc_federation', 1]]);
    const metrics = (await call(here(), '/metrics')).body as string;
    expect(metrics).toMatch(/agentos_federation_replica_events_total\{way="followed",verdict="stored",service="federation"\} [1-9]/);
    expect(metrics).toMatch(/agentos_federation_replication_lag_seconds_count\{service="federation"\} [1-9]/);
    await expect.poll(async () => /agentos_federation_replications_open\{service="federation"\} (\d+)/.exec((await call(here(), '/metrics')).body as string)?.[1], { timeout: 10_000 }).toBe('0');
  }), 180_000);

  it('has its copies among what goes with a tenant', async () => {
    const tables = await nodes.a.database.asSuperuser((client) => tenantTables(client));
    expect(tables.map(({ name }) => name)).toEqual(expect.arrayContaining(['federation.replica_events', 'federation.replica_runs', 'federation.replications']));
  });
});
