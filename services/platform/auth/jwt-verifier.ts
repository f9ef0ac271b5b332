/**
 * Tokens of configured issuers: fixed algorithms, issuer, audience and expiry always checked, and with a key set the
 * `kid` must be there and name one of its keys. Keys inside the token are never looked at.
 */
import { jwtVerify, errors as joseErrors, type JSONWebKeySet, type JWTPayload } from 'jose';
import { AgentOsError } from '../errors.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';
import { authFromClaims, OWN_CLAIMS, type ClaimRules } from './claims.ts';
import { fixedKeys, pemKey, type IssuerKey, type JwtAlgorithm, type KeySource } from './issuer-keys.ts';
import { claimedIssuer, readTokenHead, refusedToken, type TokenHead } from './token-head.ts';
import { VerifiedTokens } from './verified-tokens.ts';

export type { JwtAlgorithm } from './issuer-keys.ts';

export interface JwtIssuer {
  readonly issuer: string;
  /** A token that names one of them is good. */
  readonly audience: string | readonly string[];
  readonly algorithms: readonly JwtAlgorithm[];
  /** A JWKS document, one public key as PEM (SPKI), or a source that looks them up. */
  readonly keys: { readonly jwks: JSONWebKeySet } | { readonly publicKeyPem: string } | { readonly source: KeySource };
  readonly claims?: ClaimRules;
  /** The issuer of the node itself: where headers are an identity, other JWTs beside its own say nothing. */
  readonly local?: boolean;
}

export interface JwtVerifier {
  /** What was verified before and still holds; null says nothing about the token. */
  recall(token: string): AuthContext | null;
  /** @throws AgentOsError unauthorized; dependency_unavailable when the issuer's keys cannot be read. */
  verify(token: string): Promise<AuthContext>;
  /** Whether the token is ours to judge where a bearer that says nothing is ignored. */
  claims(token: string): boolean;
}

export interface JwtVerifierOptions {
  /** Seconds by which the clocks of issuers may differ from ours; 30 when absent. */
  readonly clockSkewSeconds?: number;
  /** Unix time in milliseconds; `Date.now` when absent. */
  readonly now?: () => number;
}

interface KnownIssuer {
  readonly issuer: JwtIssuer;
  readonly source: KeySource;
}

/** Accepts the tokens of these issuers; the issuer a token claims decides which key may have signed it. */
export class IssuerSet implements JwtVerifier {
  #byName: ReadonlyMap<string, KnownIssuer> = new Map();
  #onlyLocal = true;
  readonly #verified = new VerifiedTokens();
  readonly #skewSeconds: number;
  readonly #now: () => number;

  constructor(issuers: readonly JwtIssuer[], options: JwtVerifierOptions = {}) {
    this.#skewSeconds = options.clockSkewSeconds ?? 30;
    this.#now = options.now ?? Date.now;
    this.use(issuers);
  }

  /** From now on these and no others. @throws Error when two have the same name. */
  use(issuers: readonly JwtIssuer[]): void {
    const byName = new Map(issuers.map((issuer) => [issuer.issuer, { issuer, source: sourceOf(issuer) }]));
    if (byName.size !== issuers.length) throw new Error('Two token issuers have the same name.');
    this.#byName = byName;
    this.#onlyLocal = issuers.every((issuer) => issuer.local === true);
    // What was accepted under the former rules is judged anew.
    this.#verified.clear();
  }

  recall(token: string): AuthContext | null {
    return this.#verified.recall(token, this.#now());
  }

  claims(token: string): boolean {
    if (!this.#onlyLocal) return token.split('.').length === 3;
    const issuer = claimedIssuer(token);
    return issuer !== null && this.#byName.has(issuer);
  }

  async verify(token: string): Promise<AuthContext> {
    const known = this.recall(token);
    if (known !== null) return known;
    const head = readTokenHead(token);
    const issuers = this.#byName;
    const entry = issuers.get(head.issuer);
    if (entry === undefined) throw refusedToken('The token comes from an issuer that is not configured here.');
    const key = await findKey(head, entry);
    const claims = await this.#check(token, head, entry.issuer, key);
    const auth = authFromClaims(claims, entry.issuer.claims ?? OWN_CLAIMS);
    // The rules may have changed while the key was fetched.
    if (issuers === this.#byName && !key.retired) this.#verified.remember(token, { auth, expiresMs: claims.exp! * 1_000, key, source: entry.source });
    return auth;
  }

  async #check(token: string, head: TokenHead, issuer: JwtIssuer, key: IssuerKey): Promise<JWTPayload> {
    try {
      const { payload } = await jwtVerify(token, await key.cryptoKey(head.alg as JwtAlgorithm), {
        issuer: issuer.issuer, audience: typeof issuer.audience === 'string' ? issuer.audience : [...issuer.audience], algorithms: [head.alg],
        requiredClaims: ['exp'], clockTolerance: this.#skewSeconds, currentDate: new Date(this.#now()),
      });
      return payload;
    } catch (error) {
      if (error instanceof AgentOsError) throw error;
      throw refusedToken(misfit(error), error);
    }
  }
}

export function createJwtVerifier(issuers: readonly JwtIssuer[], options: JwtVerifierOptions = {}): JwtVerifier {
  return new IssuerSet(issuers, options);
}

/** The signature was checked before any claim: whoever reads this holds a token of the issuer. */
function misfit(error: unknown): string {
  if (error instanceof joseErrors.JWTExpired) return 'The token has expired.';
  if (!(error instanceof joseErrors.JWTClaimValidationFailed)) return 'The token is not valid here.';
  return `The token is not valid here: its claim ${error.claim} ${error.reason === 'missing' ? 'is missing' : 'is not what is accepted'}.`;
}

async function findKey(head: TokenHead, { issuer, source }: KnownIssuer): Promise<IssuerKey> {
  if (!(issuer.algorithms as readonly string[]).includes(head.alg)) throw refusedToken('The token is signed by an algorithm that is not accepted here.');
  if (head.kid === undefined && !('publicKeyPem' in issuer.keys)) throw refusedToken('The token names no key id (kid).');
  const key = await source.find(head.kid, head.alg as JwtAlgorithm);
  if (key === null) throw refusedToken('The token names a key that its issuer does not have.');
  return key;
}

function sourceOf({ keys }: JwtIssuer): KeySource {
  if ('source' in keys) return keys.source;
  return 'jwks' in keys ? fixedKeys(keys.jwks) : pemKey(keys.publicKeyPem);
}
