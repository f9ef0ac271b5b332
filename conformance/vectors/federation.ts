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
}

export interface PeerVector {
  readonly name: string;
  readonly expected: 'the handshake fails' | { readonly status: number; readonly code: string; readonly reason?: string };
  ask(kit: PeerVectorKit): Promise<PeerAnswer>;
}

export const FORWARD_PATH = '/v1/federation/runs:forward';

/** A run for the node of that id. */
export function forwardBody(stackId: string, change: Readonly<Record<string, unknown>> = {}, key = `idem_${ulid()}`): Readonly<Record<string, unknown>> {
  return { forward: { target_selector: { stack_id: stackId }, auth: CALLER, run_request: { agent_id: 'agt_demo', input: { type: 'text', text: 'hello from a peer' }, idempotency_key: key }, ...change } };
}

const UNTRUSTED = { status: 401, code: 'unauthorized', reason: 'peer_untrusted' } as const;
const now = (): number => Math.floor(Date.now() / 1000);
const asked = (name: string, ask: (kit: PeerVectorKit) => Partial<PeerAsk>, expected: PeerVector['expected'] = UNTRUSTED): PeerVector => ({ name, expected, ask: (kit) => kit.ask(ask(kit)) });

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
    async ask(kit) {
      const jti = `jti_${ulid()}`;
      // Of a question that makes nothing, so that what is counted is the second one alone.
      const first = await kit.ask({ path: '/v1/federation/peer', body: undefined, claims: { jti } });
      if (!('status' in first) || first.status !== 200) throw new Error(`The first use was refused: ${JSON.stringify(first)}`);
      return kit.ask({ claims: { jti } });
    },
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

/** In the order of what is looked at. */
export const peerVectors: readonly PeerVector[] = [...OF_THE_CONNECTION, ...OF_THE_ASSERTION, ...OF_THE_CALLER];
