/**
 * What a node must refuse of its peers (reliability catalogue, Federation): each as the question that is asked over real
 * mutual TLS, and the answer that is due. `conformance/http/federation-trust.test.ts` asks them in every mode and counts
 * that nothing came of it.
 */
import { generateKeyPairSync } from 'node:crypto';
import { ulid } from 'ulid';
import type { CertificateAndKey } from '../harness/certificate.ts';
import { askAsPeer, CALLER, type PeerAnswer, type PeerAsk, type PeerCaller, type PeerTarget } from '../harness/peer-caller.ts';

export interface PeerVectorKit {
  /** The node that is asked. */
  readonly target: PeerTarget;
  /** A peer of it. */
  readonly peer: PeerCaller;
  /** Asks as that peer, a run to be made unless told otherwise. */
  ask(ask?: Partial<PeerAsk>): Promise<PeerAnswer>;
  /** A certificate of the peer's own authority, for another stack or none. */
  certificate(stackId: string | null, names?: readonly string[]): Promise<CertificateAndKey>;
  /** Another certificate of the peer that is as good as its own. */
  secondCertificate(): Promise<CertificateAndKey>;
  /** One of an authority that the node does not know. */
  strangersCertificate(stackId: string): Promise<CertificateAndKey>;
  /** A run on the node that another tenant has. */
  readonly foreignRun: string;
}

export interface PeerVector {
  readonly name: string;
  /** `item`: the batch is answered, and this is what is said of its one item. */
  readonly expected: 'the handshake fails' | { readonly status: number; readonly code: string; readonly reason?: string } | { readonly item: string };
  /** What has to be there first; its answer is given to `ask`. */
  prepare?(kit: PeerVectorKit): Promise<string>;
  ask(kit: PeerVectorKit, prepared: string): Promise<PeerAnswer>;
}

export const FORWARD_PATH = '/v1/federation/runs:forward';

/** A run for the node of that id. */
export function forwardBody(stackId: string, change: Readonly<Record<string, unknown>> = {}, key = `idem_${ulid()}`): Readonly<Record<string, unknown>> {
  return { forward: { target_selector: { stack_id: stackId }, auth: CALLER, run_request: { agent_id: 'agt_demo', input: { type: 'text', text: 'hello from a peer' }, idempotency_key: key }, ...change } };
}

const UNTRUSTED = { status: 401, code: 'unauthorized', reason: 'peer_untrusted' } as const;
const now = (): number => Math.floor(Date.now() / 1000);
const asked = (name: string, ask: (kit: PeerVectorKit) => Partial<PeerAsk>, expected: PeerVector['expected'] = UNTRUSTED): PeerVector => ({ name, expected, ask: (kit) => kit.ask(ask(kit)) });

function accepted(answer: PeerAnswer): void {
  if (!('status' in answer) || answer.status !== 200) throw new Error(`What has to be there first was refused: ${JSON.stringify(answer)}`);
}

const OF_THE_CONNECTION: readonly PeerVector[] = [
  { name: 'no client certificate', expected: 'the handshake fails', ask: (kit) => kit.ask({ presents: null }) },
  { name: 'a certificate of an authority that nobody knows', expected: 'the handshake fails', ask: async (kit) => kit.ask({ presents: await kit.strangersCertificate(kit.peer.stackId) }) },
  {
    name: 'a certificate of the right authority with the wrong name', expected: UNTRUSTED,
    async ask(kit) {
      const certificate = await kit.certificate('stk_nobody');
      return askAsPeer(kit.target, { stackId: kit.peer.stackId, certificate }, { path: FORWARD_PATH, body: forwardBody(kit.target.stackId) });
    },
  },
  {
    name: 'a certificate of the right authority that names the peer as a host', expected: UNTRUSTED,
    async ask(kit) {
      const certificate = await kit.certificate(null, [kit.peer.stackId.replaceAll('_', '-'), `urn-agentos-stack-${kit.peer.stackId.replaceAll('_', '-')}`]);
      return askAsPeer(kit.target, { stackId: kit.peer.stackId, certificate }, { path: FORWARD_PATH, body: forwardBody(kit.target.stackId) });
    },
  },
  {
    name: 'a node that nobody has registered, with a good certificate', expected: UNTRUSTED,
    async ask(kit) {
      const certificate = await kit.certificate('stk_nobody');
      return askAsPeer(kit.target, { stackId: 'stk_nobody', certificate }, { path: FORWARD_PATH, body: forwardBody(kit.target.stackId) });
    },
  },
  {
    name: 'an assertion that was taken to another connection', expected: UNTRUSTED,
    ask: async (kit) => kit.ask({ presents: await kit.secondCertificate() }),
  },
];

const OF_THE_ASSERTION: readonly PeerVector[] = [
  asked('no assertion', () => ({ token: null })),
  asked('an API key', () => ({ token: null, headers: { 'x-api-key': 'aos_live_x' } })),
  asked('headers of demo mode', () => ({ token: null, headers: { 'x-tenant-id': 'tnt_demo', 'x-principal-id': 'usr_demo', 'x-scopes': 'runs:forward runs:create' } })),
  asked('an issuer other than the name in the certificate', () => ({ claims: { iss: 'stk_nobody', via: ['stk_nobody'] } })),
  asked('a key other than that of the certificate', () => ({ signedBy: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey })),
  asked('another type of token', () => ({ header: { typ: 'JWT' } })),
  asked('another audience', () => ({ claims: { aud: 'stk_nobody' } })),
  asked('a list of audiences', ({ target }) => ({ claims: { aud: ['stk_nobody', target.stackId] } })),
  asked('a lifetime of more than 60 s', () => ({ claims: { exp: now() + 62 } })),
  asked('an expired assertion', () => ({ claims: { iat: now() - 70, exp: now() - 10 } })),
  asked('another path', ({ target }) => ({ claims: { htu: `${target.url}/v1/federation/peer` } })),
  asked('another method', () => ({ claims: { htm: 'GET' } })),
  asked('a digest of another body', ({ target }) => ({ sends: JSON.stringify(forwardBody(target.stackId)) })),
  asked('a body that no digest tells of', () => ({ claims: { digest: undefined } })),
  asked('a tenant that is a list', () => ({ auth: { ...CALLER, tenant_id: ['tnt_demo'] } })),
  {
    name: 'one jti twice', expected: UNTRUSTED,
    async prepare(kit) {
      const jti = `jti_${ulid()}`;
      accepted(await kit.ask({ claims: { jti } }));
      return jti;
    },
    ask: (kit, jti) => kit.ask({ claims: { jti } }),
  },
];

const OF_THE_CALLER: readonly PeerVector[] = [
  asked('a tenant in the body other than the one in the claims', ({ target }) => ({ body: forwardBody(target.stackId, { auth: { ...CALLER, tenant_id: 'tnt_nobody' } }) }), { status: 400, code: 'tenant_mismatch' }),
  asked('a tenant in the header other than the one in the claims', () => ({ headers: { 'x-tenant-id': 'tnt_nobody' } }), { status: 400, code: 'tenant_mismatch' }),
  asked('a tenant that there is not', () => ({ auth: { ...CALLER, tenant_id: 'tnt_nobody' } }), { status: 403, code: 'tenant_unknown' }),
  asked('scopes of the platform alone', () => ({ auth: { ...CALLER, scopes: ['tenants:admin', 'tenants:act-as'] } }), { status: 403, code: 'forbidden' }),
  asked('a forward loop', ({ target, peer }) => ({ claims: { via: [target.stackId, peer.stackId] } }), { status: 409, code: 'conflict', reason: 'forward_loop' }),
  asked('a run for a third node', () => ({ body: forwardBody('stk_nobody') }), { status: 409, code: 'conflict', reason: 'not_the_target' }),
  asked('an operation that is for callers alone', () => ({ path: '/v1/federation/peers', body: undefined }), { status: 404, code: 'not_found' }),
  asked('metrics', () => ({ path: '/metrics', body: undefined }), { status: 404, code: 'not_found' }),
];

const INGEST_PATH = '/v1/federation/events:ingest';

function ingestBody(source: string, event: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const whole = { event_id: `evt_${ulid()}`, sequence: 1, time: new Date().toISOString(), type: 'agentos.run.started', tenant_id: 'tnt_demo', agent_id: 'agt_demo', run_id: `run_${ulid()}`, step_id: null, trace: { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', span_id: '00f067aa0ba902b7' }, payload: {}, ...event };
  return { events: [whole], ingest: { source_stack_id: source, dedupe: { mode: 'event_id' } } };
}

const ABSENT = { status: 404, code: 'not_found' } as const;
const OF_RUNS_AND_EVENTS: readonly PeerVector[] = [
  { name: "another tenant's events", expected: ABSENT, ask: (kit) => kit.ask({ path: `/v1/federation/runs/${kit.foreignRun}/events`, body: undefined }) },
  { name: "another tenant's run", expected: ABSENT, ask: (kit) => kit.ask({ path: `/v1/federation/runs/${kit.foreignRun}`, body: undefined }) },
  { name: "to cancel another tenant's run", expected: ABSENT, ask: (kit) => kit.ask({ path: `/v1/federation/runs/${kit.foreignRun}:cancel`, method: 'POST', body: undefined }) },
  asked('events that another tenant is named in', ({ peer }) => ({ path: INGEST_PATH, body: ingestBody(peer.stackId, { tenant_id: 'tnt_nobody' }) }), { item: 'tenant_mismatch' }),
  asked('events of another node than the one that sends them', () => ({ path: INGEST_PATH, body: ingestBody('stk_nobody', {}) }), { status: 403, code: 'forbidden', reason: 'source_not_sender' }),
  {
    name: 'a conflicting event at a sequence that is taken', expected: { item: 'conflict' },
    async prepare(kit) {
      const runId = `run_${ulid()}`;
      accepted(await kit.ask({ path: INGEST_PATH, body: ingestBody(kit.peer.stackId, { run_id: runId, payload: { said: 'first' } }) }));
      return runId;
    },
    ask: (kit, runId) => kit.ask({ path: INGEST_PATH, body: ingestBody(kit.peer.stackId, { run_id: runId, payload: { said: 'otherwise' } }) }),
  },
];

/** In the order of what is looked at. */
export const peerVectors: readonly PeerVector[] = [...OF_THE_CONNECTION, ...OF_THE_ASSERTION, ...OF_THE_CALLER, ...OF_RUNS_AND_EVENTS];
