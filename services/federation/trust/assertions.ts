/**
 * What a node says of a caller when it calls another node: a JWS of at most a minute, made for one request, signed with
 * the key of the certificate that the node presents on the same connection. See docs/adr/0012-peer-trust.md.
 */
import { createHash, createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { SignJWT } from 'jose';
import { PEER_ASSERTION_TYPE } from '../../platform/auth/peer-assertion.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { newId } from '../../platform/ids.ts';
import type { TlsMaterial } from '../../platform/secrets/tls-files.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import { viaOf } from './via.ts';

export interface AssertionRequest {
  /** Stack id of the node that is called. */
  readonly audience: string;
  readonly auth: AuthContext;
  readonly method: string;
  /** Absolute URL with its query, as requested. */
  readonly url: string;
  /** The bytes of the body; null where there is none. */
  readonly body: Uint8Array | null;
}

/** Signs with the key of this node's client certificate; each assertion is used once. */
export interface PeerAssertions {
  issue(request: AssertionRequest): Promise<string>;
}

export const MAX_LIFETIME_SECONDS = 60;
/** What fits into the headers that a peer reads, with room for the others. */
const MAX_ASSERTION_CHARACTERS = 14_336;

/** Claims beside the registered ones. */
export interface AssertionClaims {
  /** Method and URL of the request (names as in RFC 9449). */
  readonly htm: string;
  readonly htu: string;
  /** SHA-256 of the body's bytes, base64url; absent where there is no body. */
  readonly digest?: string;
  readonly auth: AuthContext;
  /** The nodes that the call came through, the issuer last. */
  readonly via: readonly string[];
}

/** The algorithms that a certificate's key may sign with, the first one being ours; none for a key that is not taken. */
export function algorithmsOf(key: KeyObject): readonly string[] {
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === 'ed25519') return ['EdDSA'];
  if (key.asymmetricKeyType === 'ec') return namedCurve === 'prime256v1' ? ['ES256'] : [];
  return key.asymmetricKeyType === 'rsa' && (modulusLength ?? 0) >= 2048 ? ['PS256', 'RS256'] : [];
}

/** `x5t#S256` (RFC 7515). */
export function thumbprintOf(certificate: Pick<X509Certificate, 'raw'>): string {
  return createHash('sha256').update(certificate.raw).digest('base64url');
}

export function digestOf(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('base64url');
}

/** @param material the client certificate and its key */
export function createPeerAssertions(ownStackId: string, material: Pick<TlsMaterial, 'cert' | 'key'>): PeerAssertions {
  const signer = signerOf(material);
  return {
    async issue({ audience, auth, method, url, body }) {
      const claims: AssertionClaims = {
        htm: method,
        htu: new URL(url).href,
        ...(body === null ? {} : { digest: digestOf(body) }),
        auth: contextToSend(auth),
        via: [...viaOf(auth).filter((stackId) => stackId !== ownStackId), ownStackId],
      };
      const assertion = await new SignJWT({ ...claims })
        .setProtectedHeader({ alg: signer.algorithm, typ: PEER_ASSERTION_TYPE, 'x5t#S256': signer.thumbprint })
        .setIssuer(ownStackId)
        .setAudience(audience)
        .setSubject(auth.principal.principal_id)
        .setJti(newId('jti'))
        .setIssuedAt()
        .setExpirationTime(`${MAX_LIFETIME_SECONDS}s`)
        .sign(signer.key);
      if (assertion.length > MAX_ASSERTION_CHARACTERS) {
        throw new AgentOsError('invalid_request', {
          message: `What is known of the caller takes ${assertion.length} characters, and ${MAX_ASSERTION_CHARACTERS} can be sent to another node. Use a credential with fewer scopes and roles.`,
          details: { reason: 'auth_context_too_large', limit: MAX_ASSERTION_CHARACTERS },
        });
      }
      return assertion;
    },
  };
}

interface Signer {
  readonly key: KeyObject;
  readonly algorithm: string;
  readonly thumbprint: string;
}

function signerOf({ cert, key }: Pick<TlsMaterial, 'cert' | 'key'>): Signer {
  const certificate = new X509Certificate(cert);
  const [algorithm] = algorithmsOf(certificate.publicKey);
  if (algorithm === undefined) throw new Error(`${unusableKey(certificate.publicKey)}.`);
  return { key: createPrivateKey(key), algorithm, thumbprint: thumbprintOf(certificate) };
}

export function unusableKey(key: KeyObject): string {
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {};
  return `has a key that peers do not take (${[key.asymmetricKeyType, namedCurve, modulusLength].filter((part) => part !== undefined).join(' ')}); make it EC P-256, Ed25519, or RSA of at least 2048 bits`;
}

/** What the other node has to know. Where the caller's session is, and who acts for whom on this node, it has not. */
function contextToSend({ tenant_id, principal, scopes, roles, policy_context, on_behalf_of }: AuthContext): AuthContext {
  return {
    tenant_id,
    principal: { principal_id: principal.principal_id, principal_type: principal.principal_type },
    scopes: [...scopes],
    ...(roles === undefined || roles.length === 0 ? {} : { roles: [...roles] }),
    ...(policy_context === undefined ? {} : { policy_context }),
    ...(on_behalf_of === undefined ? {} : { on_behalf_of }),
  };
}
