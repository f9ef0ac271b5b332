/**
 * What a compact JWT says of itself, read before anything is verified, only to choose the key and to refuse what no
 * key could make acceptable: tokens that bring their own key, demand extensions, or were made for another purpose.
 */
import { AgentOsError } from '../errors.ts';

export interface TokenHead {
  readonly alg: string;
  /** undefined when the token names none. */
  readonly kid: string | undefined;
  /** The issuer that the token claims; the verification checks it again. */
  readonly issuer: string;
}

/** The largest header that the server reads has 16 KiB. */
export const MAX_TOKEN_CHARACTERS = 16_384;

/** A key id is looked up and logged: letters, digits and what base64, URLs and thumbprints are made of. */
const KID = /^[A-Za-z0-9._~:=+@-]{1,200}$/;
const COMPACT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/;
/** Members by which a token would tell us where its key is. */
const KEYS_OF_ITS_OWN = ['jwk', 'jku', 'x5u', 'x5c'] as const;
/** RFC 7519, RFC 9068; anything else (logout tokens, proofs, our own service tokens) was made for another purpose. */
const ACCESS_TYPES: ReadonlySet<unknown> = new Set([undefined, 'jwt', 'at+jwt', 'application/jwt', 'application/at+jwt']);

/** @throws AgentOsError unauthorized, reason invalid_token. */
export function readTokenHead(token: string): TokenHead {
  if (token.length > MAX_TOKEN_CHARACTERS) throw refusedToken('The token is too long.');
  if (!COMPACT.test(token)) throw refusedToken('The token is not a signed JWT (three parts).');
  const [first, second] = token.split('.');
  const header = decodePart(first!);
  const claims = decodePart(second!);
  if (header === null || claims === null) throw refusedToken('The token cannot be read.');
  if (header['crit'] !== undefined || header['b64'] !== undefined) throw refusedToken('The token demands an extension that is not supported here.');
  if (KEYS_OF_ITS_OWN.some((name) => header[name] !== undefined)) throw refusedToken('The token brings a key of its own; only the keys of its issuer count.');
  if (!ACCESS_TYPES.has(typeof header['typ'] === 'string' ? header['typ'].toLowerCase() : header['typ'])) throw refusedToken('The token was made for another purpose (typ).');
  const { alg, kid } = header;
  if (typeof alg !== 'string') throw refusedToken('The token names no algorithm.');
  if (kid !== undefined && (typeof kid !== 'string' || !KID.test(kid))) throw refusedToken('The token names no usable key id (kid).');
  if (typeof claims['iss'] !== 'string') throw refusedToken('The token names no issuer.');
  return { alg, kid, issuer: claims['iss'] };
}

/** The issuer that the text claims, or null where it is no JWT at all. */
export function claimedIssuer(token: string): string | null {
  if (token.length > MAX_TOKEN_CHARACTERS || !COMPACT.test(token)) return null;
  const issuer = decodePart(token.split('.')[1]!)?.['iss'];
  return typeof issuer === 'string' ? issuer : null;
}

export function refusedToken(message: string, cause?: unknown, reason = 'invalid_token'): AgentOsError {
  return new AgentOsError('unauthorized', { message, details: { reason }, cause });
}

function decodePart(part: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
