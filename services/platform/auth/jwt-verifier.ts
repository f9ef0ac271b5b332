/**
 * Tokens of configured issuers: fixed algorithms, issuer, audience and expiry always checked, and with a key set the
 * `kid` must be there and name one of its keys. Keys inside the token (`jwk`, `jku`, `x5c`) are never looked at.
 */
import { createLocalJWKSet, createRemoteJWKSet, importSPKI, jwtVerify, errors as joseErrors, type JSONWebKeySet, type CryptoKey, type JWTPayload, type JWTVerifyGetKey } from 'jose';
import { AgentOsError } from '../errors.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';
import { authFromClaims } from './claims.ts';

export type JwtAlgorithm = 'RS256' | 'RS384' | 'RS512' | 'PS256' | 'ES256' | 'ES384' | 'ES512' | 'EdDSA';

export interface JwtIssuer {
  readonly issuer: string;
  readonly audience: string;
  readonly algorithms: readonly JwtAlgorithm[];
  /** Where the keys are: a JWKS document, the address of one, or one public key as PEM (SPKI). */
  readonly keys: { readonly jwks: JSONWebKeySet } | { readonly jwksUri: string } | { readonly publicKeyPem: string };
}

export interface JwtVerifier {
  /** @throws AgentOsError unauthorized; dependency_unavailable when the issuer's keys cannot be fetched. */
  verify(token: string): Promise<AuthContext>;
}

const MAX_TOKEN_LENGTH = 16_384;
const KID = /^[A-Za-z0-9._~:=+-]{1,200}$/;

/** Accepts the tokens of these issuers; the issuer a token claims decides which key may have signed it. */
export function createJwtVerifier(issuers: readonly JwtIssuer[]): JwtVerifier {
  const byIssuer = new Map(issuers.map((issuer) => [issuer.issuer, { issuer, key: keySource(issuer) }]));
  if (byIssuer.size !== issuers.length) throw new Error('Two JWT issuers have the same name.');
  return {
    async verify(token) {
      if (token.length > MAX_TOKEN_LENGTH) throw refused('The token is too long.');
      const entry = byIssuer.get(claimedIssuer(token) ?? '');
      if (entry === undefined) throw refused('The token comes from an issuer that is not configured here.');
      return authFromClaims(await verifyWith(token, entry.issuer, entry.key));
    },
  };
}

async function verifyWith(token: string, issuer: JwtIssuer, key: JWTVerifyGetKey): Promise<JWTPayload> {
  try {
    const { payload, protectedHeader } = await jwtVerify(token, key, {
      issuer: issuer.issuer, audience: issuer.audience, algorithms: [...issuer.algorithms], requiredClaims: ['exp'], clockTolerance: 5,
    });
    // No extension is needed here, so a token that insists on one was made for somebody else.
    if (protectedHeader.crit !== undefined) throw refused('The token demands an extension that is not supported here.');
    return payload;
  } catch (error) {
    if (error instanceof AgentOsError) throw error;
    if ('jwksUri' in issuer.keys && (error instanceof joseErrors.JWKSTimeout || isFetchFailure(error))) {
      throw new AgentOsError('dependency_unavailable', { message: 'The keys of the token issuer cannot be fetched now.', details: { service: 'jwks' }, retryAfterSeconds: 5, cause: error });
    }
    throw refused(error instanceof joseErrors.JWTExpired ? 'The token has expired.' : 'The token is not valid here.', error);
  }
}

function keySource(issuer: JwtIssuer): JWTVerifyGetKey {
  if ('publicKeyPem' in issuer.keys) {
    const pem = issuer.keys.publicKeyPem;
    const imported = new Map<string, Promise<CryptoKey>>();
    return (header) => {
      let key = imported.get(header.alg!);
      if (key === undefined) imported.set(header.alg!, (key = importSPKI(pem, header.alg!)));
      return key;
    };
  }
  // A rotated key is accepted within the cooldown; a flood of unknown kids causes one fetch a cooldown.
  const set = 'jwks' in issuer.keys
    ? createLocalJWKSet(issuer.keys.jwks)
    : createRemoteJWKSet(new URL(issuer.keys.jwksUri), { cooldownDuration: 30_000, cacheMaxAge: 300_000, timeoutDuration: 5_000 });
  return (header, token) => {
    if (typeof header.kid !== 'string' || !KID.test(header.kid)) throw refused('The token names no usable key id (kid).');
    return set(header, token);
  };
}

/** Read before verification only to choose the key; the verification checks it again. */
function claimedIssuer(token: string): string | null {
  const parts = token.split('.');
  if (parts.length !== 3) return null;
  try {
    const claims: unknown = JSON.parse(Buffer.from(parts[1]!, 'base64url').toString('utf8'));
    const issuer = (claims as { iss?: unknown } | null)?.iss;
    return typeof issuer === 'string' ? issuer : null;
  } catch {
    return null;
  }
}

function isFetchFailure(error: unknown): boolean {
  return error instanceof TypeError || (error instanceof joseErrors.JOSEError && error.code === 'ERR_JOSE_GENERIC');
}

function refused(message: string, cause?: unknown): AgentOsError {
  return new AgentOsError('unauthorized', { message, details: { reason: 'invalid_token' }, cause });
}
