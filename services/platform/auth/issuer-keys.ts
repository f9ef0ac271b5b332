/**
 * The public keys of one issuer, as verified tokens remember them: when a key leaves the set, or another takes its id,
 * every token that it signed is refused from then on, however it was verified before.
 */
import { createHash } from 'node:crypto';
import { importJWK, importSPKI, type CryptoKey, type JSONWebKeySet, type JWK } from 'jose';

export type JwtAlgorithm = 'RS256' | 'RS384' | 'RS512' | 'PS256' | 'PS384' | 'PS512' | 'ES256' | 'ES384' | 'ES512' | 'EdDSA';

export const JWT_ALGORITHMS: readonly JwtAlgorithm[] = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];

/** One key; `retired` once its issuer does not publish it any more. */
export interface IssuerKey {
  readonly retired: boolean;
  /** @throws when the key cannot serve this algorithm. */
  cryptoKey(alg: JwtAlgorithm): Promise<CryptoKey>;
}

/** Where an issuer's keys come from. */
export interface KeySource {
  /** null when the issuer has no such key. @throws AgentOsError dependency_unavailable when that cannot be known now. */
  find(kid: string | undefined, alg: JwtAlgorithm): Promise<IssuerKey | null>;
  /** Whether what is known is recent enough to go by. Asked for each request with a remembered token. */
  isFresh(): boolean;
  /** null where nothing can be away. */
  state(): KeySourceState | null;
  /** Has the keys looked at again where that is due; never rejects. */
  refresh(): Promise<void>;
  close(): Promise<void>;
}

export interface KeySourceState {
  readonly keys: number;
  /** Seconds since the keys were last read from their issuer; null when they never were. */
  readonly ageSeconds: number | null;
  /** The last attempt to read them failed. */
  readonly failing: boolean;
  readonly fetches: Readonly<Record<'succeeded' | 'failed', number>>;
}

class PublishedKey implements IssuerKey {
  readonly jwk: JWK;
  readonly fingerprint: string;
  retired = false;
  readonly #imported = new Map<string, Promise<CryptoKey>>();

  constructor(jwk: JWK, fingerprint: string) {
    this.jwk = jwk;
    this.fingerprint = fingerprint;
  }

  cryptoKey(alg: JwtAlgorithm): Promise<CryptoKey> {
    let key = this.#imported.get(alg);
    if (key === undefined) this.#imported.set(alg, (key = importJWK(this.jwk, alg) as Promise<CryptoKey>));
    return key;
  }
}

/** The keys of a JWKS by their ids. */
export class KeyRing {
  #keys = new Map<string, readonly PublishedKey[]>();

  get size(): number {
    return this.#keys.size;
  }

  find(kid: string, alg: JwtAlgorithm): IssuerKey | null {
    return this.#keys.get(kid)?.find((key) => fits(key.jwk, alg)) ?? null;
  }

  /** Keys that stay keep their identity; those that are gone retire. */
  use(jwks: JSONWebKeySet): void {
    const before = new Map([...this.#keys.values()].flat().map((key) => [key.fingerprint, key]));
    const next = new Map<string, PublishedKey[]>();
    const kept = new Set<PublishedKey>();
    for (const jwk of jwks.keys) {
      if (!isPublicSigningKey(jwk)) continue;
      const fingerprint = fingerprintOf(jwk);
      const key = before.get(fingerprint) ?? new PublishedKey(jwk, fingerprint);
      kept.add(key);
      next.set(jwk.kid, [...(next.get(jwk.kid) ?? []), key]);
    }
    for (const key of before.values()) if (!kept.has(key)) key.retired = true;
    this.#keys = next;
  }

  clear(): void {
    this.use({ keys: [] });
  }
}

/** @throws Error for what is no JWKS, or one without a key that could be used. */
export function parseJwks(text: string): JSONWebKeySet {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error('it is not JSON');
  }
  const keys = (value as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(keys)) throw new Error('it has no list of keys');
  const jwks = { keys: keys.filter((key): key is JWK => typeof key === 'object' && key !== null) };
  // An empty answer is far more often a fault of the issuer than its last word; going by it would refuse everybody.
  if (!jwks.keys.some(isPublicSigningKey)) throw new Error('it has no public signing key with a kid');
  return jwks as JSONWebKeySet;
}

/** Keys that are part of the configuration. */
export function fixedKeys(jwks: JSONWebKeySet): KeySource {
  const ring = new KeyRing();
  ring.use(jwks);
  return { ...ALWAYS_THERE, find: async (kid, alg) => (kid === undefined ? null : ring.find(kid, alg)) };
}

/** One public key (SPKI). It needs no `kid`, there being no other. */
export function pemKey(pem: string): KeySource {
  const imported = new Map<string, Promise<CryptoKey>>();
  const key: IssuerKey = {
    retired: false,
    cryptoKey(alg) {
      let made = imported.get(alg);
      if (made === undefined) imported.set(alg, (made = importSPKI(pem, alg)));
      return made;
    },
  };
  return { ...ALWAYS_THERE, find: async () => key };
}

const ALWAYS_THERE: Omit<KeySource, 'find'> = { isFresh: () => true, state: () => null, refresh: async () => undefined, close: async () => undefined };

const CURVES: Readonly<Record<string, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521', EdDSA: 'Ed25519' };

/** A key serves one family of algorithms, whatever a token asks it to. */
function fits(jwk: JWK, alg: JwtAlgorithm): boolean {
  if (jwk.alg !== undefined && jwk.alg !== alg && !(alg === 'EdDSA' && jwk.alg === 'Ed25519')) return false;
  if (alg.startsWith('RS') || alg.startsWith('PS')) return jwk.kty === 'RSA';
  return jwk.kty === (alg === 'EdDSA' ? 'OKP' : 'EC') && jwk.crv === CURVES[alg];
}

function isPublicSigningKey(jwk: JWK): jwk is JWK & { kid: string } {
  const isPublic = jwk.kty === 'RSA' || jwk.kty === 'EC' || jwk.kty === 'OKP';
  const verifies = jwk.key_ops === undefined || (Array.isArray(jwk.key_ops) && jwk.key_ops.includes('verify'));
  return typeof jwk.kid === 'string' && isPublic && jwk.d === undefined && (jwk.use === undefined || jwk.use === 'sig') && verifies;
}

function fingerprintOf(jwk: JWK): string {
  return createHash('sha256').update(JSON.stringify([jwk.kid, jwk.kty, jwk.alg, jwk.crv, jwk.x, jwk.y, jwk.n, jwk.e])).digest('base64');
}
