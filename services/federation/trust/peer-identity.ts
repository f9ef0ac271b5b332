/**
 * Who is calling on the listener for peers: a node, known by the certificate of its connection, that speaks for one of
 * the tenants it may speak for. Nothing else counts there: no keys, no tokens of issuers, no headers of demo mode.
 *
 * What a peer says of its caller is held against this node's own rules: the tenants that the peers file lets it speak
 * for, and the scopes that a peer can have at all. Whether the tenant exists here and is active, the pipeline asks, as of
 * everybody (PRS 7.4, 15.6).
 */
import type { IncomingHttpHeaders } from 'node:http';
import { TLSSocket } from 'node:tls';
import type { Identity, PresentedRequest } from '../../platform/auth/identity.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { declaresBody } from '../../platform/http/body.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { isPlatformRole } from '../../platform/tenancy/roles.ts';
import { expandScopes, TENANT_SCOPES } from '../../platform/tenancy/scopes.ts';
import type { NodeIdentity } from '../peers/identity.ts';
import type { PeerTrustRules } from '../peers/peers-file.ts';
import type { AssertionUsesPort } from '../ports/assertion-uses.ts';
import { digestOf } from './assertions.ts';
import { sentWith } from './authority.ts';
import type { PeerTrust } from './open-trust.ts';
import { peerCertificate, requireCurrent, requirePeer, untrusted, verifyAssertion, type PeerCertificate, type VerifiedAssertion, type VerifierRules } from './verify.ts';
import { withVia } from './via.ts';

export interface PeerIdentityOptions {
  readonly verifier: VerifierRules;
  /** What a peer may do here; null: it speaks for nobody. */
  rulesOf(stackId: string): PeerTrustRules | null;
  readonly uses: AssertionUsesPort;
}

const KNOWN_SCOPES: ReadonlySet<string> = new Set(TENANT_SCOPES);
/** Characters: a part of it is what the peer has written. */
const MOST_EVIDENCE = 300;
/** A use is kept beyond the expiry by what clocks may differ, since so long the assertion is taken. */
const KEPT_AFTER_EXPIRY_MS = 10_000;

/** The certificates and the peers file, as they are now. */
export function verifierRules(trust: Pick<PeerTrust, 'ownStackId' | 'authorities'>, node: NodeIdentity, rulesOf: PeerIdentityOptions['rulesOf']): VerifierRules {
  const { federation_base_url: ownUrl } = node.local.endpoints;
  return {
    ownStackId: trust.ownStackId,
    ownHosts: new Set(ownUrl === undefined ? [] : [new URL(ownUrl).host]),
    isPeer: (stackId) => node.peers.some((peer) => peer.stack_id === stackId),
    authorityOf: (stackId) => rulesOf(stackId)?.authority ?? null,
    authorities: trust.authorities,
  };
}

export function createPeerIdentity(options: PeerIdentityOptions): Identity {
  const certificates = new WeakMap<TLSSocket, PeerCertificate>();
  const accepted = new WeakMap<PresentedRequest, VerifiedAssertion>();

  const certificateOf = ({ request: { socket } }: PresentedRequest): PeerCertificate => {
    // The handshake fails without a certificate of the authority; this holds should a listener ever be set up without.
    const presented = socket instanceof TLSSocket && socket.authorized ? socket.getPeerX509Certificate() : undefined;
    if (presented === undefined) throw untrusted('the connection has no certificate of the authority');
    let known = certificates.get(socket as TLSSocket);
    if (known === undefined) certificates.set(socket as TLSSocket, (known = peerCertificate(presented, sentWith((socket as TLSSocket).getPeerCertificate(true)))));
    return known;
  };

  const authenticate = async (headers: IncomingHttpHeaders, presented: PresentedRequest): Promise<AuthContext> => {
    const peer = certificateOf(presented);
    const assertion = await verifyAssertion({ token: bearerOf(headers), peer, method: presented.request.method ?? '', target: presented.target, host: headers.host }, options.verifier);
    const { digest } = assertion;
    if ((digest !== null) !== declaresBody(presented.request)) throw untrusted(digest === null ? 'there is a body, which it says nothing of' : 'there is no body, and it tells of one');
    // Noted last, when nothing but the body can be wrong any more: what is refused for something else costs no write.
    const first = await options.uses.use({ issuer: assertion.issuer, jti: assertion.jti, expiresAtMs: assertion.expiresAtMs + KEPT_AFTER_EXPIRY_MS });
    if (!first) throw untrusted('it was used before');
    if (digest !== null) {
      presented.bodyCheck = (raw) => {
        if (digestOf(raw) !== digest) throw told(presented, peer.stackId, untrusted('it was made for another body'));
      };
    }
    const auth = contextOf(options, assertion);
    requireSameTenant(headers, auth);
    accepted.set(presented, assertion);
    return auth;
  };

  return {
    async authenticate(headers, _row, presented) {
      if (presented === undefined) throw new Error('A peer is known by its connection: the request has to be passed.');
      try {
        return await authenticate(headers, presented);
      } catch (error) {
        throw told(presented, stackIdOn(certificates, presented), error);
      }
    },
    /**
     * A stream that stays open lives longer than its assertion, which let in one request and is used up: neither its
     * expiry nor its second look is a reason to end it. What may have changed is asked: the certificate, and whom the
     * peer may speak for here.
     */
    async recheck(presented) {
      const assertion = accepted.get(presented);
      if (assertion === undefined) throw untrusted('the stream was not opened by a peer');
      const peer = certificateOf(presented);
      requireCurrent(peer);
      requirePeer(peer, options.verifier);
      return contextOf(options, assertion);
    },
  };
}

function stackIdOn(certificates: WeakMap<TLSSocket, PeerCertificate>, { request: { socket } }: PresentedRequest): string | null {
  return certificates.get(socket as TLSSocket)?.stackId ?? null;
}

/** The peer is named to itself and to the audit; why it was refused, to the log alone. */
function told(presented: PresentedRequest, peer: string | null, error: unknown): unknown {
  if (!(error instanceof AgentOsError) || error.code === 'dependency_unavailable') return error;
  presented.log.warn({ peer, reason: error.details['reason'], evidence: String(error.cause ?? error.message).slice(0, MOST_EVIDENCE) }, 'A call of a peer was refused.');
  return peer === null || error.details['peer'] !== undefined ? error : new AgentOsError(error.code, { message: error.message, details: { ...error.details, peer }, cause: error.cause });
}

function bearerOf(headers: IncomingHttpHeaders): string {
  if (headers['x-api-key'] !== undefined) throw untrusted('an API key was sent');
  const token = /^Bearer +([^\s,]+)$/i.exec(headers.authorization ?? '')?.[1];
  if (token === undefined) throw untrusted(headers.authorization === undefined ? 'no assertion was sent' : 'Authorization is not one bearer');
  return token;
}

/** The header may repeat the tenant, as for every credential. */
function requireSameTenant(headers: IncomingHttpHeaders, auth: AuthContext): void {
  const named = headers['x-tenant-id'];
  if (named === undefined || named === '' || named === auth.tenant_id) return;
  throw new AgentOsError('tenant_mismatch', {
    message: `The peer speaks for tenant ${auth.tenant_id}, X-Tenant-Id names ${String(named)}. Leave the header out or send the same tenant.`,
    details: { credential_tenant_id: auth.tenant_id, header_tenant_id: String(named) },
  });
}

/** @throws AgentOsError forbidden. */
function contextOf({ rulesOf }: PeerIdentityOptions, { issuer, auth, via }: VerifiedAssertion): AuthContext {
  const rules = rulesOf(issuer);
  if (rules === null || !(rules.tenants === 'all' || rules.tenants.has(auth.tenant_id))) {
    throw new AgentOsError('forbidden', {
      message: `${issuer} may not speak for tenant ${auth.tenant_id} here. Whoever runs this node lets it by naming the tenant in trust.tenants of that peer in AGENTOS_PEERS_FILE.`,
      details: { reason: 'tenant_not_federated', tenant_id: auth.tenant_id, peer: issuer },
    });
  }
  const scopes = expandScopes(auth.scopes).filter((scope) => KNOWN_SCOPES.has(scope) && (rules.scopes === null || rules.scopes.has(scope)));
  return withVia({ ...auth, scopes: [...new Set(scopes)], roles: (auth.roles ?? []).filter((role) => !isPlatformRole(role)), peer: issuer }, via);
}
