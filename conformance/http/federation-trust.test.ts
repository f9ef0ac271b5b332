/** What a node believes of its peers: over real sockets, with real certificates, in every mode (PRS 7.4, 15.6). */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SEED_AUTH } from '../../services/agent-orchestrator/seed.ts';
import { createDatabase } from '../../services/platform/db/pool.ts';
import { PostgresDirectory } from '../../services/platform/tenancy/directory-postgres.ts';
import { createAuthority, issueCertificate, stackCertificate, type CertificateAndKey } from '../harness/certificate.ts';
import { call } from '../harness/client.ts';
import { storeKeys } from '../harness/keys.ts';
import { askAsPeer, assertionFor, CALLER, type PeerAnswer, type PeerAsk, type PeerCaller, type PeerTarget } from '../harness/peer-caller.ts';
import { putAgent } from '../harness/seed.ts';
import { startTwoNodes, type FederatedNode, type TwoNodes } from '../harness/two-nodes.ts';
import { startNodeUpstream } from '../ports/node-upstream.ts';
import { FORWARD_PATH, forwardBody, peerVectors, type PeerVectorKit } from '../vectors/federation.ts';
import { verifies } from './verifies.ts';

const MODES = ['demo', 'dev', 'prod'] as const;
const answered = (answer: PeerAnswer): Extract<PeerAnswer, { status: number }> => {
  expect(answer, 'nothing was answered').toHaveProperty('status');
  return answer as Extract<PeerAnswer, { status: number }>;
};

/** Rows of everything that a call of a peer could make. What runs of before still write is none of it. */
async function made(node: FederatedNode): Promise<Readonly<Record<string, number>>> {
  const counts = ['orchestrator.runs', 'orchestrator.agents', 'orchestrator.memory_items', 'orchestrator.webhooks', 'federation.forwards', 'federation.replica_events'].map((table) => `(SELECT count(*)::int FROM ${table}) AS "${table}"`);
  return (await sql(node, `SELECT ${counts.join(', ')}`))[0] as Readonly<Record<string, number>>;
}

describe.each(MODES)('in %s, a node that is asked by a peer', (mode) => {
  let nodes: TwoNodes;
  let target: PeerTarget;
  let peer: PeerCaller;
  let kit: PeerVectorKit;
  let strangers: CertificateAndKey;
  beforeAll(async () => {
    nodes = await startTwoNodes({ mode });
    strangers = await createAuthority('of a stranger');
    target = { stackId: nodes.b.stackId, url: nodes.b.peerUrl, authority: nodes.b.authority.cert };
    peer = { stackId: nodes.a.stackId, certificate: nodes.a.certificate };
    kit = {
      target, peer,
      ask: (ask = {}) => askAsPeer(target, peer, { path: FORWARD_PATH, ...('body' in ask ? {} : { body: forwardBody(target.stackId) }), ...ask }),
      certificate: (stackId, names = ['localhost']) => issueCertificate(nodes.a.authority, { stackId, names }),
      secondCertificate: () => stackCertificate(nodes.a.authority, nodes.a.stackId),
      strangersCertificate: (stackId) => stackCertificate(strangers, stackId),
      foreignRun: '',
    };
    await storeTenant(nodes.b.database.url, 'tnt_foreign');
    const theirs = answered(await kit.ask({ auth: { ...CALLER, tenant_id: 'tnt_foreign' }, body: forwardBody(target.stackId, { auth: { tenant_id: 'tnt_foreign' } }) }));
    kit = { ...kit, foreignRun: theirs.body.forwarded.remote_run_id as string };
  }, 180_000);
  afterAll(() => closeAll(nodes));

  it('serves it: a run for its tenant, in the name of its caller', verifies(['PRS-7.4-01', 'PRS-7.4-02', 'PRS-7.4-07', 'PRS-15.6-01', 'RM-05'], async () => {
    const before = await made(nodes.b);
    const answer = answered(await kit.ask());
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    expect(answer.body).toMatchObject({ tenant_id: 'tnt_demo', forwarded: { remote_stack_id: target.stackId } });
    const after = await made(nodes.b);
    expect(after['orchestrator.runs']).toBe(before['orchestrator.runs']! + 1);
    const run = answered(await askAsPeer(target, peer, { path: `/v1/federation/runs/${answer.body.forwarded.remote_run_id}` }));
    expect(run.status, JSON.stringify(run.body)).toBe(200);
    const records = await recordsOf(nodes.b, answer.body.forwarded.remote_run_id as string);
    expect(records.length).toBeGreaterThan(0);
    for (const record of records) expect(record).toMatchObject({ tenant_id: 'tnt_demo', entry: { peer: peer.stackId, principal: { principal_id: 'usr_of_a' } } });
  }));

  it.each(peerVectors)('refuses $name', verifies(['PRS-7.4-01', 'PRS-7.4-02', 'PRS-7.4-07', 'PRS-15.6-01'], async ({ prepare, ask, expected }: (typeof peerVectors)[number]) => {
    const prepared = (await prepare?.(kit)) ?? '';
    const before = await made(nodes.b);
    const answer = await ask(kit, prepared);
    if (expected === 'the handshake fails') {
      expect(answer).toHaveProperty('failed');
    } else if ('item' in expected) {
      const { status, body } = answered(answer);
      expect({ status, accepted: body.accepted, rejected: body.rejected, results: body.results }, JSON.stringify(body)).toMatchObject({ status: 200, accepted: 0, rejected: 1, results: [{ status: 'rejected', reason: expected.item }] });
    } else {
      const { status, body } = answered(answer);
      expect({ status, code: body.error?.code, ...(expected.reason === undefined ? {} : { reason: body.error?.details?.reason }) }, JSON.stringify(body)).toEqual(expected);
      expect(body.correlation_id).toEqual(expect.any(String));
      expect(JSON.stringify(body), 'what was wrong is for the log').not.toMatch(/signature|digest|thumbprint|ERR_|urn:agentos|\bat .+\.ts/i);
    }
    expect(await made(nodes.b), 'something was made').toEqual(before);
  }));

  it('makes one run of a forward that is tried again, each time under an assertion of its own', verifies(['PRS-7.4-02'], async () => {
    const body = forwardBody(target.stackId);
    const before = await made(nodes.b);
    const answers = await Promise.all(Array.from({ length: 5 }, () => kit.ask({ body })));
    expect(new Set(answers.map((answer) => `${answered(answer).status} ${answered(answer).body.forwarded?.remote_run_id}`)).size).toBe(1);
    expect((await made(nodes.b))['orchestrator.runs']).toBe(before['orchestrator.runs']! + 1);
  }));

  it('answers for what another tenant has as for what there is not', verifies(['PRS-7.4-07'], async () => {
    for (const path of ['', '/events']) {
      const [theirs, absent] = await Promise.all([kit.foreignRun, 'run_absent'].map(async (runId) => answered(await kit.ask({ path: `/v1/federation/runs/${runId}${path}`, body: undefined, headers: { 'x-correlation-id': 'corr_same' } }))));
      expect(JSON.stringify(theirs!.body).replaceAll(kit.foreignRun, '<run>')).toBe(JSON.stringify(absent!.body).replaceAll('run_absent', '<run>'));
    }
  }));

  it('refuses to call an events URL of a host that is no peer: its caller is never told it', verifies(['PRS-7.4-01'], async () => {
    // A peer of A that A knows well and that answers with somewhere else.
    const certificate = await stackCertificate(nodes.b.authority, 'stk_misleading');
    const upstream = await startNodeUpstream('stk_misleading', { ...certificate, ca: nodes.a.authority.cert, requestCert: true, rejectUnauthorized: true });
    try {
      upstream.set('misdirects');
      addPeer(nodes.a, { stack_id: 'stk_misleading', endpoints: { 'agent-orchestrator_base_url': 'https://misleading.test', 'model-policy_base_url': 'https://misleading.test', federation_base_url: upstream.url } });
      const headers: Record<string, string> = mode === 'demo' ? {} : { 'x-api-key': (await storeKeys(nodes.a.database.url, [{ scopes: ['runs:forward'] }]))[0]! };
      const forward = () => call(nodes.a.urls.federation, FORWARD_PATH, { tenant: mode === 'demo' ? 'tnt_demo' : null, headers, body: forwardBody('stk_misleading') });
      const before = await made(nodes.a);
      await expect.poll(async () => (await forward()).body.error.code, { timeout: 10_000, interval: 200 }).toBe('dependency_unavailable');
      const { status, body } = await forward();
      expect({ status, reason: body.error.details.reason }, JSON.stringify(body)).toEqual({ status: 503, reason: 'events_url_not_of_peer' });
      expect(JSON.stringify(body)).not.toMatch(/\/v1\/runs\/|events_url"/);
      expect((await made(nodes.a))['orchestrator.runs']).toBe(before['orchestrator.runs']);
    } finally {
      await upstream.close();
    }
  }));

  it('lets exactly one of many through that present one assertion at once', verifies(['PRS-7.4-02'], async () => {
    const ask: PeerAsk = { path: '/v1/federation/peer' };
    const token = await assertionFor(target, peer, ask);
    const statuses = await Promise.all(Array.from({ length: 12 }, () => askAsPeer(target, peer, { ...ask, token }).then((answer) => answered(answer).status)));
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    expect(statuses.filter((status) => status === 401)).toHaveLength(11);
  }));

  it('believes no assertion where callers are served', verifies(['PRS-7.4-01', 'PRS-15.6-01'], async () => {
    const url = nodes.b.urls.federation;
    for (const path of ['/v1/federation/peer', FORWARD_PATH]) {
      const ask: PeerAsk = { path, ...(path === FORWARD_PATH ? { body: forwardBody(target.stackId) } : {}) };
      const token = await assertionFor({ ...target, url }, peer, ask);
      const before = await made(nodes.b);
      const { status, body } = await call(url, path, { tenant: mode === 'demo' ? 'tnt_demo' : null, headers: { authorization: `Bearer ${token}` }, ...(ask.body === undefined ? {} : { body: ask.body }) });
      expect({ status, code: body.error.code }).toEqual({ status: 401, code: 'unauthorized' });
      expect(await made(nodes.b)).toEqual(before);
    }
  }));

  it('records whom it turned away', async () => {
    await kit.ask({ claims: { aud: 'stk_nobody' } });
    await expect.poll(async () => (await refusalsOf(nodes.b)).map(({ entry }) => entry), { timeout: 5_000 }).toContainEqual(expect.objectContaining({
      outcome: 'denied', peer: peer.stackId, details: expect.objectContaining({ status: 401, reason: 'peer_untrusted' }) as object,
    }));
  });
});

describe('what the peers file says of a peer', () => {
  let nodes: TwoNodes;
  let target: PeerTarget;
  let peer: PeerCaller;
  let original: string;
  beforeAll(async () => {
    nodes = await startTwoNodes({ mode: 'dev' });
    target = { stackId: nodes.b.stackId, url: nodes.b.peerUrl, authority: nodes.b.authority.cert };
    peer = { stackId: nodes.a.stackId, certificate: nodes.a.certificate };
    original = readFileSync(join(nodes.b.folder, 'peers.json'), 'utf8');
  }, 180_000);
  afterAll(() => closeAll(nodes));

  const ask = async (change: Partial<PeerAsk> = {}) => answered(await askAsPeer(target, peer, { path: '/v1/federation/peer', ...change }));
  /** The file is followed: no restart in between. */
  const trust = (rules: Readonly<Record<string, unknown>> | null): void => {
    const file = JSON.parse(original) as { local: unknown; peers: Array<Record<string, unknown>> };
    writeFileSync(join(nodes.b.folder, 'peers.json'), JSON.stringify({ ...file, peers: rules === null ? [] : file.peers.map((each) => ({ ...each, trust: rules })) }));
  };

  it.each<[string, Readonly<Record<string, unknown>> | null, Readonly<Record<string, unknown>>]>([
    ['no tenant', {}, { status: 403, reason: 'tenant_not_federated' }],
    ['another tenant', { tenants: ['tnt_other'] }, { status: 403, reason: 'tenant_not_federated' }],
    ['this tenant', { tenants: ['tnt_demo'] }, { status: 200 }],
    ['nothing of the peer any more', null, { status: 401, reason: 'peer_untrusted' }],
    ['an authority that did not issue its certificate', { tenants: ['*'], authority: 'AB:'.repeat(31) + 'AB' }, { status: 401, reason: 'peer_untrusted' }],
  ])('counts without a restart: %s', verifies(['PRS-7.4-07', 'PRS-15.6-01'], async (_name, rules, expected) => {
    trust(rules);
    await expect.poll(async () => {
      const { status, body } = await ask();
      return { status, ...(status === 200 ? {} : { reason: body.error.details.reason }) };
    }, { timeout: 10_000 }).toEqual(expected);
  }));

  it('binds it to the authority of its owner: the authority of another peer cannot speak for it', verifies(['PRS-7.4-01'], async () => {
    trust({ tenants: ['*'], authority: new X509Certificate(nodes.a.authority.cert).fingerprint256 });
    await expect.poll(async () => (await ask()).status, { timeout: 10_000 }).toBe(200);
    // B's own authority is in the bundle as well, and could issue such a certificate.
    const forged = await stackCertificate(nodes.b.authority, nodes.a.stackId);
    const { status, body } = answered(await askAsPeer(target, { stackId: peer.stackId, certificate: forged }, { path: '/v1/federation/peer' }));
    expect({ status, reason: body.error.details.reason }).toEqual({ status: 401, reason: 'peer_untrusted' });
    expect(createPrivateKey(forged.key).asymmetricKeyType).toBe('ec');
  }));

  it('bounds the scopes that it can have', verifies(['PRS-7.4-07'], async () => {
    trust({ tenants: ['*'], scopes: ['runs:read'] });
    await expect.poll(async () => (await ask({ path: FORWARD_PATH, body: forwardBody(target.stackId) })).body.error?.code, { timeout: 10_000 }).toBe('forbidden');
    const { body } = await ask({ path: FORWARD_PATH, body: forwardBody(target.stackId) });
    expect(body.error.details.missing_scopes).toEqual(['runs:forward']);
  }));

  it('is told to nobody', async () => {
    trust({ tenants: ['tnt_demo', 'tnt_canary'] });
    const [key] = await storeKeys(nodes.b.database.url, [{ scopes: ['peers:read', 'runs:read', 'runs:forward'] }]);
    const answer = await call(nodes.b.urls.federation, '/v1/federation/peers', { tenant: null, headers: { 'x-api-key': key! } });
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    expect(JSON.stringify(answer.body)).not.toMatch(/trust|tnt_canary/);
    expect(answer.body.peers[0].stack_id).toBe(nodes.a.stackId);
  });

  it('goes with the authorities: one that is trusted no more takes the connections along that it opened', verifies(['PRS-7.4-01'], async () => {
    trust({ tenants: ['*'] });
    const bundle = join(nodes.b.folder, 'trusted.pem');
    const both = readFileSync(bundle, 'utf8');
    const { port, hostname } = new URL(target.url);
    const idle = connect({ port: Number(port), host: hostname, ca: target.authority, ...peer.certificate });
    idle.on('error', () => undefined);
    await once(idle, 'secureConnect');
    const gone = once(idle, 'close');
    writeFileSync(bundle, nodes.b.authority.cert);
    await gone;
    expect(await askAsPeer(target, peer, { path: '/v1/federation/peer' })).toHaveProperty('failed');
    writeFileSync(bundle, both);
    await expect.poll(async () => 'status' in (await askAsPeer(target, peer, { path: '/v1/federation/peer' })), { timeout: 10_000 }).toBe(true);
  }));

  it('leaves a tenant that is suspended here suspended', verifies(['PRS-7.4-07'], async () => {
    trust({ tenants: ['*'] });
    await expect.poll(async () => (await ask()).status, { timeout: 10_000 }).toBe(200);
    await sql(nodes.b, "UPDATE directory.tenants SET status = 'suspended' WHERE tenant_id = 'tnt_demo'");
    await expect.poll(async () => (await ask()).status, { timeout: 10_000 }).toBe(403);
    expect(CALLER.tenant_id).toBe('tnt_demo');
    await sql(nodes.b, "UPDATE directory.tenants SET status = 'active' WHERE tenant_id = 'tnt_demo'");
  }));
});

/** What the audit of a node says of a resource. */
const recordsOf = (node: FederatedNode, resourceId: string) => sql(node, "SELECT tenant_id, service, entry FROM audit.records WHERE entry->'resource'->>'id' = $1", [resourceId]);
const refusalsOf = (node: FederatedNode) => sql(node, "SELECT tenant_id, entry FROM audit.records WHERE entry->>'action' = 'auth.refused'");

const clients = new Map<string, Promise<pg.Client>>();

/** Databases are dropped only when nobody is connected any more. */
async function closeAll(nodes: TwoNodes | undefined): Promise<void> {
  for (const client of clients.values()) await (await client).end();
  clients.clear();
  await nodes?.close();
}

async function sql(node: FederatedNode, text: string, values: readonly unknown[] = []): Promise<ReadonlyArray<Record<string, unknown>>> {
  const { url } = node.database;
  let client = clients.get(url);
  if (client === undefined) clients.set(url, (client = connected(url)));
  return (await (await client).query(text, [...values])).rows as Array<Record<string, unknown>>;
}

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}

/** The file is followed: no restart in between. */
function addPeer(node: FederatedNode, peer: Readonly<Record<string, unknown>>): void {
  const path = join(node.folder, 'peers.json');
  const file = JSON.parse(readFileSync(path, 'utf8')) as { readonly peers: readonly unknown[] };
  writeFileSync(path, JSON.stringify({ ...file, peers: [...file.peers, peer] }));
}

/** With the agent that every tenant of a test has; in prod nobody is there yet who could make one. */
async function storeTenant(databaseUrl: string, tenantId: string): Promise<void> {
  const database = await createDatabase({ url: databaseUrl, applicationName: 'suite', max: 1 });
  try {
    await new PostgresDirectory(database.pool).createTenant(SEED_AUTH, { tenant_id: tenantId });
  } finally {
    await database.close();
  }
  await putAgent(databaseUrl, tenantId, { agentId: 'agt_demo' });
}
