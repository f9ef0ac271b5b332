/** Forwarding as its callers see it (PRS 7.3, 7.4): between two whole nodes, and to a node that misbehaves. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { validators } from '../../generated/validators/schemas.js';
import { tenantTables } from '../../services/platform/tenancy/tenant-tables.ts';
import { createAuthority, stackCertificate } from '../harness/certificate.ts';
import { call, type Answer, type Json } from '../harness/client.ts';
import { startNode, type TestNode } from '../harness/node.ts';
import { planProcesses } from '../harness/processes.ts';
import { startTwoNodes, type FederatedNode, type TwoNodes } from '../harness/two-nodes.ts';
import { startNodeUpstream, type NodeUpstream } from '../ports/node-upstream.ts';
import { verifies } from './verifies.ts';

interface Forward {
  readonly tenant?: string;
  readonly selector?: object;
  readonly key?: string;
  readonly run?: object;
  readonly headers?: Readonly<Record<string, string>>;
  readonly auth?: object;
}

const forwardTo = (url: string, { tenant = 'tnt_demo', selector = { stack_id: 'stk_node_b' }, key, run = {}, headers = {}, auth = {} }: Forward = {}): Promise<Answer> =>
  call(url, '/v1/federation/runs:forward', {
    tenant, headers, signal: AbortSignal.timeout(60_000),
    body: { forward: { target_selector: selector, auth: { tenant_id: tenant, ...auth }, run_request: { agent_id: 'agt_forwarded', input: 'hello', ...(key === undefined ? {} : { idempotency_key: key }), ...run } } },
  });
const made = (answer: Answer): Json => {
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
  expect(validators.FederationForwardAnswer(answer.body), JSON.stringify(validators.FederationForwardAnswer.errors)).toBe(true);
  return answer.body.forwarded;
};
const auditOf = async (url: string, tenant: string, query: string): Promise<Json[]> => (await call(url, `/v1/audit?${query}`, { tenant })).body.records;
const runsOf = async (node: { readonly urls: FederatedNode['urls'] }, tenant: string): Promise<Json[]> => (await call(node.urls['agent-orchestrator'], '/v1/runs?limit=200', { tenant })).body.runs;

describe('between two nodes', () => {
  let nodes: TwoNodes;
  let tenant: string;
  const at = (node: FederatedNode): string => node.urls.federation;
  beforeAll(async () => {
    nodes = await startTwoNodes();
    tenant = await nodes.tenant();
  }, 180_000);
  afterAll(() => nodes?.close());

  it('a run goes to the node that is named, and is there, and not here', verifies(['PRS-7.3-01', 'PRS-7.3-03', 'PRS-7.4-03'], async () => {
    const { a, b } = nodes;
    const forwarded = made(await forwardTo(at(a), { tenant }));
    expect(forwarded).toMatchObject({ tenant_id: tenant, remote_stack_id: 'stk_node_b', remote_run_id: expect.stringMatching(/^run_[0-9A-Z]{26}$/), status: 'queued' });
    expect(forwarded.remote_events_url).toBe(`${b.urls['agent-orchestrator']}/v1/runs/${forwarded.remote_run_id}/events`);
    const path = `/v1/runs/${forwarded.remote_run_id}`;
    expect((await call(b.urls['agent-orchestrator'], path, { tenant })).body.run).toMatchObject({ tenant_id: tenant, agent_id: 'agt_forwarded' });
    expect((await call(a.urls['agent-orchestrator'], path, { tenant })).status).toBe(404);
  }));

  it.each([
    [{ region: 'region-b' }, 'stk_node_b'], [{ region: 'region-a' }, 'stk_node_a'], [{ required_capabilities: ['runs.forward', 'tenant_isolation'] }, 'stk_node_a'],
    [{ region: 'region-b', required_capabilities: ['runs_forward', 'tenant.isolation'] }, 'stk_node_b'], [{ stack_id: 'stk_node_a' }, 'stk_node_a'],
  ])('a selector %j takes %s', async (selector, stackId) => {
    await verifies(['PRS-7.3-02'], async () => {
        expect(made(await forwardTo(at(nodes.a), { tenant, selector })).remote_stack_id).toBe(stackId);
    })();
  });

  it.each([
    [{ stack_id: 'stk_nobody' }, 404, 'not_found', { reason: 'peer_not_found' }],
    [{ region: 'region-z' }, 404, 'not_found', { reason: 'no_peer_in_region' }],
    [{ required_capabilities: ['tenant_isolation', 'tool.hosting'] }, 409, 'conflict', { reason: 'capability_missing', missing_capabilities: ['tool.hosting'] }],
    [{ stack_id: 'stk_node_b', required_capabilities: ['teleport'] }, 409, 'conflict', { reason: 'capability_missing', missing_capabilities: ['teleport'] }],
    [{}, 400, 'invalid_request', {}],
  ])('a selector %j that nothing fits is %i', async (selector, status, code, details) => {
    await verifies(['PRS-7.4-06'], async () => {
      const answer = await forwardTo(at(nodes.a), { tenant, selector });
      expect(answer.status, JSON.stringify(answer.body)).toBe(status);
      expect(answer.body.error).toMatchObject({ code, details });
    })();
  });

  it('a forwarded run is read and canceled where it runs; a local one here; that of another tenant is as none', verifies(['PRS-7.1-01'], async () => {
    const { a, b } = nodes;
    const other = await nodes.tenant();
    const here = (await call(a.urls['agent-orchestrator'], '/v1/agents/agt_local/runs', { tenant, body: { input: 'hello', run_options: { dry_run: true } } })).body.run.run_id;
    const there = made(await forwardTo(at(a), { tenant })).remote_run_id;
    for (const runId of [here, there]) {
      const read = await call(at(a), `/v1/federation/runs/${runId}`, { tenant });
      expect(read.status, JSON.stringify(read.body)).toBe(200);
      expect(validators.RunAnswer(read.body)).toBe(true);
      expect(read.body.run).toMatchObject({ run_id: runId, tenant_id: tenant, events_url: `/v1/federation/runs/${runId}/events` });
      expect((await call(at(a), `/v1/federation/runs/${runId}`, { tenant: other })).body.error.code).toBe('not_found');
      const ended = (answer: Answer): void => expect([answer.status, answer.body.run?.status ?? answer.body.error.code], JSON.stringify(answer.body)).toSatisfy((seen: unknown[]) => ['200,canceled', '409,invalid_state_transition'].includes(seen.join()));
      for (const verb of [':cancel', '/cancel']) {
        expect((await call(at(a), `/v1/federation/runs/${runId}${verb}`, { tenant: other, method: 'POST' })).status).toBe(404);
        ended(await call(at(a), `/v1/federation/runs/${runId}${verb}`, { tenant, method: 'POST' }));
      }
    }
    expect((await call(at(b), `/v1/federation/runs/${there}`, { tenant })).body.run.run_id).toBe(there);
    expect((await call(at(a), '/v1/federation/runs/run_absent', { tenant })).body.error.code).toBe('not_found');
    expect((await call(at(a), `/v1/federation/runs/${there}`, { tenant, headers: { 'x-scopes': 'runs:forward' } })).status).toBe(403);
  }));

  it('the body may repeat whose run it is, and give nobody more than they have', verifies(['PRS-7.4-08'], async () => {
    const mismatch = await forwardTo(at(nodes.a), { tenant, auth: { tenant_id: 'tnt_demo' } });
    expect([mismatch.status, mismatch.body.error.code]).toEqual([400, 'tenant_mismatch']);
    expect((await forwardTo(at(nodes.a), { tenant, headers: { 'x-scopes': 'runs:create' }, auth: { scopes: ['runs:forward', 'tenants:admin'] } })).status).toBe(403);
    const forwarded = made(await forwardTo(at(nodes.a), { tenant, headers: { 'x-scopes': 'runs:forward', 'x-principal-id': 'svc_ci' }, auth: { principal: { principal_id: 'usr_boss', principal_type: 'user' } } }));
    const [record] = await auditOf(nodes.b.urls['agent-orchestrator'], tenant, `resource_id=${forwarded.remote_run_id}&action=run.create`);
    expect(record.principal).toEqual({ principal_id: 'svc_ci', principal_type: 'service' });
  }));

  it('both nodes have it on record: who, which run, and the other node', verifies(['PRS-10.3-03', 'PRS-7.4-07'], async () => {
    const { a, b } = nodes;
    const forwarded = made(await forwardTo(at(a), { tenant, headers: { 'x-principal-id': 'usr_auditor', 'x-correlation-id': 'corr_of_a_forward' } }));
    const of = async (node: FederatedNode): Promise<Json[]> => (await auditOf(node.urls['agent-orchestrator'], tenant, `resource_id=${forwarded.remote_run_id}`)).map(({ action, outcome, peer, principal, correlation_id, service }) => ({ action, outcome, peer, principal: principal.principal_id, correlation_id, service }));
    const common = { outcome: 'allowed', principal: 'usr_auditor', correlation_id: 'corr_of_a_forward' };
    expect(await of(a)).toEqual([{ action: 'run.forward', peer: 'stk_node_b', service: 'federation', ...common }]);
    expect((await of(b)).sort((x, y) => x.action.localeCompare(y.action))).toEqual([
      { action: 'run.create', peer: 'stk_node_a', service: 'agent-orchestrator', ...common },
      { action: 'run.receive', peer: 'stk_node_a', service: 'federation', ...common },
    ]);
  }));

  it('one request is one run: a hundred at once over two instances, and again after the node was restarted', verifies(['PRS-7.4-11', 'PRS-7.4-10'], async () => {
    const { a, b } = nodes;
    const racer = await nodes.tenant();
    const second = await anotherFederation(a);
    const key = 'a hundred at once';
    try {
      const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => forwardTo(i % 2 === 0 ? at(a) : second.urls.federation, { tenant: racer, key })));
      const ids = answers.map((answer) => made(answer).remote_run_id);
      expect(new Set(ids).size).toBe(1);
      expect(answers.filter((answer) => answer.headers.get('idempotency-replayed') === null).length).toBe(1);
      expect((await runsOf(b, racer)).length).toBe(1);
      await a.stop();
      await a.start();
      const again = await forwardTo(at(a), { tenant: racer, key });
      expect([made(again).remote_run_id, again.headers.get('idempotency-replayed')]).toEqual([ids[0], 'true']);
      expect((await call(at(a), `/v1/federation/runs/${ids[0]}`, { tenant: racer })).body.run.run_id).toBe(ids[0]);
      expect((await runsOf(b, racer)).length).toBe(1);
      const other = await forwardTo(at(a), { tenant: racer, key, run: { input: 'something else' } });
      expect([other.status, other.body.error.details.reason]).toEqual([409, 'idempotency_key_reused']);
    } finally {
      await second.close();
    }
  }), 90_000);

  it('a node that is away is 503 in the end, and the same request finds it when it is back', verifies(['PRS-7.4-10'], async () => {
    const { a, b } = nodes;
    const patient = await nodes.tenant();
    expect(made(await forwardTo(at(a), { tenant: patient })).remote_stack_id).toBe('stk_node_b');
    await b.stop();
    try {
      const answer = await forwardTo(at(a), { tenant: patient, key: 'k' });
      expect([answer.status, answer.body.error.code, answer.body.error.details.peer]).toEqual([503, 'dependency_unavailable', 'stk_node_b']);
      expect((await forwardTo(at(a), { tenant: patient, selector: { stack_id: 'stk_node_a' } })).status, 'this node works on').toBe(200);
      expect((await call(at(a), '/readyz', { tenant: null })).status, 'and is ready').toBe(200);
    } finally {
      await b.start();
    }
    made(await forwardTo(at(a), { tenant: patient, key: 'k' }));
    expect((await runsOf(b, patient)).length).toBe(2);
  }), 90_000);

  it('continues the trace of the header, else that of the body', async () => {
    const [inHeader, inBody] = ['4bf92f3577b34da6a3ce929d0e0e4736', '0af7651916cd43dd8448eb211c80319c'];
    const body = { forward: { target_selector: { stack_id: 'stk_node_b' }, auth: { tenant_id: tenant }, run_request: { agent_id: 'agt_forwarded', input: 'hello' }, traceparent: `00-${inBody}-00f067aa0ba902b7-01` } };
    const traceOf = async (headers: Readonly<Record<string, string>>): Promise<string> => {
      const { remote_run_id: runId } = made(await call(at(nodes.a), '/v1/federation/runs:forward', { tenant, headers, body, signal: AbortSignal.timeout(60_000) }));
      const [first] = (await call(nodes.b.urls['agent-orchestrator'], `/v1/runs/${runId}/history`, { tenant })).body.events;
      return first.event.trace.traceparent.split('-')[1];
    };
    expect([await traceOf({ traceparent: `00-${inHeader}-00f067aa0ba902b7-01` }), await traceOf({})]).toEqual([inHeader, inBody]);
  });

  it('says that it forwards, with certificates', verifies(['PRS-7.2-02'], async () => {
    expect((await call(at(nodes.a), '/v1/peer/capabilities', { tenant })).body.capabilities).toMatchObject({ supports: { runs_forward: true }, features: expect.arrayContaining(['runs.forward']) });
  }));

  it('what it keeps of tenants is found when one is deleted', async () => {
    const tables = await nodes.a.database.asSuperuser(async (client) => (await tenantTables(client)).map(({ name }) => name));
    expect(tables).toEqual(expect.arrayContaining(['federation.forwards', 'federation.replica_events']));
  });

  it('counts what became of forwards', async () => {
    const metrics = (await call(at(nodes.a), '/metrics', { tenant: null })).body as string;
    for (const outcome of ['forwarded', 'replayed', 'failed']) expect(metrics).toMatch(new RegExp(`agentos_federation_forwards_total\\{[^}]*outcome="${outcome}"[^}]*\\} [1-9]`));
    expect((await call(at(nodes.b), '/metrics', { tenant: null })).body).toMatch(/agentos_federation_received_runs_total\{[^}]*outcome="accepted"[^}]*\} [1-9]/);
  });
});

/** A second Federation over the database of a node, as a second replica of it would be. */
async function anotherFederation({ stackId, region, folder, database }: FederatedNode): Promise<TestNode> {
  const file = (name: string): string => join(folder, name);
  return startNode({
    services: ['federation'], database,
    env: { ...certificates(folder), AGENTOS_STACK_ID: stackId, AGENTOS_REGION: region, AGENTOS_FED_CA_CERT: file('trusted.pem'), AGENTOS_PEERS_FILE: file('peers.json'), AGENTOS_FED_PEER_PORT: '0' },
  });
}

const certificates = (folder: string) => ({ AGENTOS_FED_SERVER_CERT: join(folder, 'node.crt'), AGENTOS_FED_SERVER_KEY: join(folder, 'node.key'), AGENTOS_FED_BASE_BACKOFF_MS: '10' });

describe('to a node that misbehaves', () => {
  let folder: string;
  let there: NodeUpstream;
  /** Its authority is known here, and ours is not known to it. */
  let stranger: NodeUpstream;
  let node: TestNode;
  let env: Readonly<Record<string, string>>;
  const forward = (more: Forward = {}): Promise<Answer> => forwardTo(node.urls.federation, { selector: { stack_id: 'stk_there' }, ...more });
  const endpoints = (url: string): object => ({ 'agent-orchestrator_base_url': url, 'model-policy_base_url': url, federation_base_url: url });
  const forwardsSeen = (): number => there.seen.filter(({ path }) => path === '/v1/federation/runs:forward').length;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'agentos-forwarding-'));
    const authority = await createAuthority('Forwarding');
    const [own, theirs] = await Promise.all([stackCertificate(authority, 'stk_here'), stackCertificate(authority, 'stk_there')]);
    there = await startNodeUpstream('stk_there', { ...theirs, ca: authority.cert, requestCert: true, rejectUnauthorized: true });
    const another = await createAuthority('Another');
    stranger = await startNodeUpstream('stk_stranger', { ...(await stackCertificate(another, 'stk_stranger')), ca: another.cert, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' });
    const peers = [{ stack_id: 'stk_there', url: there.url }, { stack_id: 'stk_stranger', url: stranger.url }, { stack_id: 'stk_impostor', url: there.url }].map(({ stack_id, url }) => ({ stack_id, endpoints: endpoints(url) }));
    for (const [name, text] of [['node.crt', own.cert], ['node.key', own.key], ['ca.pem', authority.cert + another.cert], ['peers.json', JSON.stringify({ peers: [...peers, { stack_id: 'stk_silent', endpoints: { 'agent-orchestrator_base_url': there.url, 'model-policy_base_url': there.url } }] })]] as const) writeFileSync(join(folder, name), text, { mode: 0o600 });
    env = { ...certificates(folder), AGENTOS_STACK_ID: 'stk_here', AGENTOS_FED_CA_CERT: join(folder, 'ca.pem'), AGENTOS_PEERS_FILE: join(folder, 'peers.json'), AGENTOS_FED_PEER_PORT: '0' };
    node = await startNode({ env });
  }, 180_000);
  afterEach(() => there?.set('answers'));
  afterAll(async () => {
    await node?.close();
    await there?.close();
    await stranger?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('a newer node is understood: what is not known of it is left aside', verifies(['PRS-3.2-02', 'PRS-7.4-06'], async () => {
    expect(made(await forward({ selector: { stack_id: 'stk_there', region: 'eu-9', required_capabilities: ['time.travel', 'events_stream'] } })).remote_stack_id).toBe('stk_there');
    const { body, headers } = there.seen.at(-1)!;
    expect(validators.FederationForwardRequest(body)).toBe(true);
    expect(headers['x-correlation-id']).toMatch(/^corr_/);
  }));

  it('its refusal is the answer, with its code and its name, and it is asked once', verifies(['PRS-7.4-10'], async () => {
    await forward();
    there.set('refuses');
    const before = forwardsSeen();
    const answer = await forward({ key: 'refused' });
    expect([answer.status, answer.body.error.code, answer.body.error.details]).toEqual([409, 'conflict', { reason: 'because', peer: 'stk_there' }]);
    expect(forwardsSeen() - before).toBe(1);
    const [record] = await auditOf(node.urls['agent-orchestrator'], 'tnt_demo', 'action=run.forward&outcome=denied');
    expect(record).toMatchObject({ peer: 'stk_there', details: { code: 'conflict' } });
    there.set('answers');
    made(await forward({ key: 'refused', run: { input: 'another request under the key of one that was refused' } }));
  }));

  it.each(['fails', 'breaks'] as const)('one that %s after it has made the run is asked again, and has made one', async (mode) => {
    await verifies(['PRS-7.4-10', 'PRS-7.4-11'], async () => {
      await forward();
      const [runs, before] = [there.runs(), forwardsSeen()];
      there.set(mode);
      const lost = await forward({ key: mode });
      expect([lost.status, lost.body.error.code, forwardsSeen() - before]).toEqual([503, 'dependency_unavailable', 3]);
      there.set('answers');
      made(await forward({ key: mode }));
      expect(there.runs() - runs).toBe(1);
    })();
  });

  it('one that does not accept this node is no fault of the caller’s', async () => {
    await forward();
    there.set('distrusts');
    const before = forwardsSeen();
    const answer = await forward();
    expect([answer.status, answer.body.error.retryable, answer.body.error.details.reason, forwardsSeen() - before]).toEqual([503, false, 'peer_untrusted', 1]);
  });

  it('one that closes the connection because it does not know this node is told of as such, and not tried again', verifies(['PRS-7.4-01'], async () => {
    const answer = await forwardTo(node.urls.federation, { selector: { stack_id: 'stk_stranger' } });
    expect([answer.status, answer.body.error.code, answer.body.error.retryable, answer.body.error.details]).toEqual([503, 'dependency_unavailable', false, { reason: 'peer_handshake_failed', peer: 'stk_stranger' }]);
    expect(answer.body.error.message).toMatch(/does not accept this node's certificate.+AGENTOS_FED_CA_CERT/);
    expect(stranger.seen).toEqual([]);
  }));

  it('one that is not who it was taken for is refused before it is told anything', verifies(['PRS-7.4-01'], async () => {
    const before = there.seen.length;
    const answer = await forwardTo(node.urls.federation, { selector: { stack_id: 'stk_impostor' } });
    expect([answer.status, answer.body.error.retryable, answer.body.error.details]).toEqual([503, false, { reason: 'peer_certificate_refused', peer: 'stk_impostor' }]);
    expect(answer.body.error.message).toMatch(/is that of stk_there, and stk_impostor was called/);
    expect(there.seen.length - before).toBe(0);
  }));

  it.each(['babbles', 'lies'] as const)('one that %s is not believed', async (mode) => {
    await verifies(['PRS-7.4-09'], async () => {
      await forward();
      there.set(mode);
      const answer = await forward();
      expect([answer.status, answer.body.error.details.reason]).toEqual([503, 'answer_unusable']);
      expect(JSON.stringify(answer.body)).not.toContain('tnt_somebody_else');
    })();
  });

  it('an events URL on a host that is no endpoint of the peer is not passed on; nor is a run sent where nobody listens for nodes', async () => {
    there.set('misdirects');
    const stranger = await forward();
    expect([stranger.status, stranger.body.error.details.reason]).toEqual([503, 'events_url_not_of_peer']);
    const silent = await forwardTo(node.urls.federation, { selector: { stack_id: 'stk_silent' } });
    expect([silent.status, silent.body.error.details.reason]).toEqual([409, 'peer_endpoint_missing']);
  });

  it('a process that is killed while the node has not answered leaves what finds the run', verifies(['PRS-7.4-11'], async () => {
    const processes = await planProcesses({ ...env, AGENTOS_FED_PEER_PORT: '0' });
    try {
      const url = processes.urls.federation;
      await processes.start('model-policy');
      await processes.start('federation');
      made(await forwardTo(url, { selector: { stack_id: 'stk_there' } }));
      there.set('hangs');
      const before = forwardsSeen();
      const runs = there.runs();
      const lost = forwardTo(url, { selector: { stack_id: 'stk_there' }, key: 'killed' }).catch(() => 'lost');
      await expect.poll(forwardsSeen, { timeout: 10_000 }).toBe(before + 1);
      await processes.kill('federation', 'SIGKILL');
      expect(await lost).toBe('lost');
      const sent = (body: Json): string => body.forward.run_request.idempotency_key;
      const first = sent(there.seen.at(-1)!.body);
      there.set('answers');
      await processes.start('federation');
      made(await forwardTo(url, { selector: { stack_id: 'stk_there' }, key: 'killed' }));
      const last = there.seen.filter(({ path }) => path === '/v1/federation/runs:forward').at(-1)!;
      expect([sent(last.body), there.runs() - runs], 'under the same key, which is one run whether the first was heard or not').toEqual([first, 1]);
    } finally {
      await processes.stop();
    }
  }), 90_000);
});

describe('the payloads of the Appendix', () => {
  let node: TestNode;
  const folder = mkdtempSync(join(tmpdir(), 'agentos-appendix-'));
  beforeAll(async () => {
    const peers = join(folder, 'peers.json');
    writeFileSync(peers, JSON.stringify({ peers: [{ stack_id: 'stk_other', endpoints: { 'agent-orchestrator_base_url': 'https://o.example', 'model-policy_base_url': 'https://o.example', federation_base_url: 'https://o.example:50084' } }] }));
    node = await startNode({ env: { AGENTOS_STACK_ID: 'stk_usw2_node_02', AGENTOS_REGION: 'us-west-2', AGENTOS_PEERS_FILE: peers } });
  }, 180_000);
  afterAll(async () => {
    await node?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('F.3 is taken as it is and answered as F.4, by a node without any certificate: the run is its own', verifies(['PRS-7.3-01', 'PRS-7.3-03'], async () => {
    const golden = (file: string): Json => JSON.parse(readFileSync(new URL(`../../examples/golden/${file}`, import.meta.url), 'utf8'));
    const request = golden('F.3-run-forward.request.json');
    const answer = await call(node.urls.federation, '/v1/federation/runs:forward', { tenant: request.forward.auth.tenant_id, body: request });
    const forwarded = made(answer);
    const { forwarded: expected } = golden('F.4-run-forward.response.json');
    expect(Object.keys(forwarded).sort()).toEqual(Object.keys(expected).sort());
    expect(forwarded).toMatchObject({ tenant_id: expected.tenant_id, remote_stack_id: expected.remote_stack_id, status: expected.status });
    expect(new URL(forwarded.remote_events_url).pathname).toBe(`/v1/runs/${forwarded.remote_run_id}/events`);
    expect((await call(node.urls['agent-orchestrator'], `/v1/runs/${forwarded.remote_run_id}`)).body.run.agent_id).toBe(request.forward.run_request.agent_id);
  }));

  it('another node than itself it cannot reach without certificates, and says which variables are missing', async () => {
    const answer = await forwardTo(node.urls.federation, { selector: { stack_id: 'stk_other' } });
    expect([answer.status, answer.body.error.code, answer.body.error.retryable]).toEqual([503, 'dependency_unavailable', false]);
    expect(answer.body.error.details).toMatchObject({ reason: 'peer_trust_not_configured', peer: 'stk_other', variables: expect.arrayContaining(['AGENTOS_FED_CA_CERT']) });
    expect((await call(node.urls.federation, '/v1/federation/peer/capabilities')).body.capabilities.supports.runs_forward).toBe(false);
  });
});
