/**
 * Whether an assertion may be believed: it was signed by the certificate of the connection it came over, for this node,
 * for this request, now. Tenants and scopes are another question (`peer-identity.ts`), and so is the body, which has not
 * been read yet.
 *
 * Whoever fails is told one thing, `peer_untrusted`: what exactly was wrong is for this node's log.
 */
import type { X509Certificate } from 'node:crypto';
import { decodeProtectedHeader, errors as joseErrors, jwtVerify, type JWTPayload } from 'jose';
import { isPrincipalId, isTenantId } from '../../platform/auth/claims.ts';
import { PEER_ASSERTION_TYPE } from '../../platform/auth/peer-assertion.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { AuthContext, PolicyContext } from '../../platform/tenancy/auth-context.ts';
import { algorithmsOf, MAX_LIFETIME_SECONDS, thumbprintOf } from './assertions.ts';
import { leadsTo } from './authority.ts';
import { isStackId, stackIdOf } from './stack-uri.ts';

/** What one connection says of its other end; computed once a connection. */
export interface PeerCertificate {
  readonly certificate: X509Certificate;
  /** null: it names no stack, or several. */
  readonly stackId: string | null;
  readonly thumbprint: string;
  /** Certificates that were sent with it. */
  readonly chain: readonly X509Certificate[];
}

export interface PresentedAssertion {
  readonly token: string;
  readonly peer: PeerCertificate;
  readonly method: string;
  /** Path and query as they came. */
  readonly target: string;
  /** Of the Host header. */
  readonly host: string | undefined;
}

export interface VerifierRules {
  readonly ownStackId: string;
  /** Hosts, with ports, that this node's listener for peers is reached by. */
  readonly ownHosts: ReadonlySet<string>;
  isPeer(stackId: string): boolean;
  /** Fingerprint of the authority that the peer is bound to; null: any of `authorities`. */
  authorityOf(stackId: string): string | null;
  authorities(): readonly X509Certificate[];
}

export interface VerifiedAssertion {
  readonly issuer: string;
  readonly jti: string;
  readonly expiresAtMs: number;
  /** SHA-256 that the body must have; null: there must be none. */
  readonly digest: string | null;
  readonly via: readonly string[];
  /** As the peer says: nothing of it has been held against this node's rules. */
  readonly auth: AuthContext;
}

const CLOCK_SKEW_SECONDS = 2;
const MAX_ASSERTION_CHARACTERS = 16_384;
const JTI = /^[A-Za-z0-9._~:-]{8,128}$/;
const DIGEST = /^[A-Za-z0-9_-]{43}$/;
/** Whatever else stands in a header would choose keys or change what is signed (jwk, jku, x5u, x5c, kid, crit, b64, zip). */
const HEADER_MEMBERS: ReadonlySet<string> = new Set(['alg', 'typ', 'x5t#S256']);
const MAX_VIA = 16;

/** @param peer the stack that the certificate names, if it names one: it is told, and audited */
export function untrusted(evidence: string, peer: string | null = null): AgentOsError {
  return new AgentOsError('unauthorized', {
    message: 'This call is not that of a peer which this node trusts. The log of this node says why, under the correlation id.',
    details: { reason: 'peer_untrusted', ...(peer === null ? {} : { peer }) },
    cause: evidence,
  });
}

export function peerCertificate(certificate: X509Certificate, chain: readonly X509Certificate[] = []): PeerCertificate {
  return { certificate, stackId: stackIdOf(certificate), thumbprint: thumbprintOf(certificate), chain };
}

/** That whoever the certificate names is a peer here, by the authority that it is bound to. @throws AgentOsError unauthorized. */
export function requirePeer({ certificate, stackId, chain }: PeerCertificate, rules: VerifierRules): void {
  if (stackId === null || !rules.isPeer(stackId)) throw untrusted(`${String(stackId)} is not in the peers file`);
  const authority = rules.authorityOf(stackId);
  if (authority !== null && !leadsTo(authority, certificate, [...rules.authorities(), ...chain])) throw untrusted(`the certificate of ${stackId} is not of the authority that the peers file binds it to`);
}

/** A connection outlives the moment it was made in; its certificate may not. @throws AgentOsError unauthorized. */
export function requireCurrent({ certificate }: PeerCertificate, nowMs = Date.now()): void {
  if (nowMs < Date.parse(certificate.validFrom) || nowMs > Date.parse(certificate.validTo)) throw untrusted(`the certificate is valid from ${certificate.validFrom} to ${certificate.validTo}`);
}

/** @throws AgentOsError unauthorized with reason peer_untrusted; conflict with reason forward_loop. */
export async function verifyAssertion(presented: PresentedAssertion, rules: VerifierRules): Promise<VerifiedAssertion> {
  const { peer } = presented;
  requireCurrent(peer);
  if (peer.stackId === null) throw untrusted('the certificate names no stack, or several');
  const claims = await verifySignature(presented.token, peer, rules.ownStackId);
  const { iat, exp, sub, jti, aud, htm, digest, via } = claims;
  // jose takes a list that has us in it; an assertion for several would be one that another of them could use.
  if (typeof aud !== 'string') throw untrusted('aud is not one stack id');
  if (exp! - iat! > MAX_LIFETIME_SECONDS || exp! <= iat!) throw untrusted(`it lives for ${exp! - iat!} s`);
  if (typeof jti !== 'string' || !JTI.test(jti)) throw untrusted('jti is no id');
  if (htm !== presented.method) throw untrusted(`it was made for ${String(htm)}, and this is ${presented.method}`);
  requireTarget(claims['htu'], presented, rules.ownHosts);
  if (digest !== undefined && !(typeof digest === 'string' && DIGEST.test(digest))) throw untrusted('digest is no SHA-256 in base64url');
  if (!Array.isArray(via) || via.length === 0 || via.length > MAX_VIA || !via.every(isStackId) || via.at(-1) !== peer.stackId) throw untrusted('via does not end with the issuer');
  const auth = readAuth(claims['auth']);
  if (sub !== auth.principal.principal_id) throw untrusted('sub is another principal than the one in auth');
  // Only now, since whoever answers a loop says that the caller is known.
  if (peer.stackId === rules.ownStackId || via.includes(rules.ownStackId)) throw loop(rules.ownStackId, via);
  requirePeer(peer, rules);
  return { issuer: peer.stackId, jti, expiresAtMs: exp! * 1000, digest: digest ?? null, via, auth };
}

async function verifySignature(token: string, peer: PeerCertificate, ownStackId: string): Promise<JWTPayload> {
  if (token.length > MAX_ASSERTION_CHARACTERS) throw untrusted('it is too long');
  try {
    const header = decodeProtectedHeader(token);
    const unknown = Object.keys(header).find((member) => !HEADER_MEMBERS.has(member));
    if (unknown !== undefined) throw untrusted(`its header has ${unknown}`);
    if (header['x5t#S256'] !== peer.thumbprint) throw untrusted('it was signed for another certificate than the one presented');
    const { publicKey } = peer.certificate;
    // The key decides which algorithms there are, and the token chooses among those at the most.
    const { payload } = await jwtVerify(token, publicKey, {
      algorithms: [...algorithmsOf(publicKey)],
      typ: PEER_ASSERTION_TYPE,
      issuer: peer.stackId!,
      audience: ownStackId,
      requiredClaims: ['iss', 'aud', 'sub', 'iat', 'exp', 'jti', 'htm', 'htu', 'auth', 'via'],
      clockTolerance: CLOCK_SKEW_SECONDS,
      maxTokenAge: MAX_LIFETIME_SECONDS,
    });
    return payload;
  } catch (error) {
    if (error instanceof AgentOsError) throw error;
    throw untrusted(error instanceof joseErrors.JOSEError ? `${error.code}: ${error.message}` : `it cannot be read: ${(error as Error).message}`);
  }
}

/** Peers reach this node by the address it is registered with or by another name of it; what counts is where the request has come to. */
function requireTarget(htu: unknown, { target, host }: PresentedAssertion, ownHosts: ReadonlySet<string>): void {
  if (typeof htu !== 'string' || !URL.canParse(htu)) throw untrusted('htu is no URL');
  const url = new URL(htu);
  if (url.protocol !== 'https:' || url.username !== '' || url.password !== '') throw untrusted(`htu is ${url.protocol} or has credentials in it`);
  if (`${url.pathname}${url.search}` !== target) throw untrusted('it was made for another path or query');
  if (!ownHosts.has(url.host) && url.host !== hostNamed(host)) throw untrusted(`it was made for ${url.host}`);
}

/** As URLs have it: in lower case, without the port that goes without saying. */
function hostNamed(header: string | undefined): string | null {
  return header !== undefined && URL.canParse(`https://${header}`) ? new URL(`https://${header}`).host : null;
}

function loop(ownStackId: string, via: readonly string[]): AgentOsError {
  return new AgentOsError('conflict', {
    message: `This call has come back to ${ownStackId}, over ${via.join(', ')}. A run is forwarded once, to the node that executes it.`,
    details: { reason: 'forward_loop', stack_id: ownStackId, via },
  });
}

/** What an assertion says of its caller, member by member: what this version does not know is not carried on. */
function readAuth(value: unknown): AuthContext {
  const auth = (isObject(value) ? value : {}) as { readonly [Member in keyof AuthContext]?: unknown };
  const { tenant_id, scopes, roles, policy_context, on_behalf_of } = auth;
  // A tenant that is a list would equal its only member wherever texts are compared loosely.
  if (!isTenantId(tenant_id)) throw untrusted('auth names no tenant');
  const principal = readPrincipal(auth.principal);
  if (principal === null || (on_behalf_of !== undefined && readPrincipal(on_behalf_of) === null)) throw untrusted('auth names no principal');
  if (!isTexts(scopes, 256) || (roles !== undefined && !isTexts(roles, 64))) throw untrusted('scopes or roles are not lists of names');
  const policy = policy_context === undefined ? undefined : readPolicyContext(policy_context);
  return {
    tenant_id, principal, scopes: [...scopes], roles: roles === undefined ? [] : [...roles],
    ...(policy === undefined ? {} : { policy_context: policy }),
    ...(on_behalf_of === undefined ? {} : { on_behalf_of: readPrincipal(on_behalf_of)! }),
  };
}

function readPrincipal(value: unknown): AuthContext['principal'] | null {
  if (!isObject(value)) return null;
  const { principal_id, principal_type } = value;
  return isPrincipalId(principal_id) && (principal_type === 'user' || principal_type === 'service') ? { principal_id, principal_type } : null;
}

function readPolicyContext(value: unknown): PolicyContext {
  if (!isObject(value)) throw untrusted('policy_context is no object');
  const { data_classification, region, purpose, consent_tags } = value;
  const texts = Object.entries({ data_classification, region, purpose }).filter(([, text]) => text !== undefined);
  if (!texts.every(([, text]) => typeof text === 'string' && text.length <= 128) || (consent_tags !== undefined && !isTexts(consent_tags, 64))) throw untrusted('policy_context is not as the contract has it');
  return { ...Object.fromEntries(texts), ...(consent_tags === undefined ? {} : { consent_tags: [...consent_tags] }) };
}

function isTexts(value: unknown, most: number): value is readonly string[] {
  return Array.isArray(value) && value.length <= most && value.every((text) => typeof text === 'string' && text.length >= 1 && text.length <= 128);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
