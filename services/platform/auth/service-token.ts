/**
 * Tokens between the services of one node: HS256 JWTs of at most 60 seconds that carry the whole auth context, so that
 * the service behind sees exactly the caller whom the service in front has verified. Each names the one service that
 * it was made for, the service that made it, and itself (`jti`).
 *
 * Signing costs more than most of what a call does, so a token is reused for 30 seconds for an equal context and
 * audience, and a verified token is remembered until it expires. Both memories are bounded.
 */
import { createHash } from 'node:crypto';
import { SignJWT, decodeProtectedHeader, jwtVerify, errors as joseErrors, type JWTPayload } from 'jose';
import { AgentOsError } from '../errors.ts';
import { newId } from '../ids.ts';
import { isTenantId } from './claims.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';

const LIFETIME_SECONDS = 60;
const CLOCK_SKEW_SECONDS = 2;
const REUSE_MS = 30_000;
const MAX_REMEMBERED = 10_000;
const MAX_TOKEN_CHARACTERS = 16_384;
/** `typ` of the header: a token made for something else with the same key is not one of these. */
const TOKEN_TYPE = 'agentos-service+jwt';
/** Marks our tokens apart from those of configured issuers. */
export const SERVICE_ISSUER_PREFIX = 'agentos:';

/** The key that signs now, and every key whose tokens are accepted; both may change while the process runs. */
export interface SigningKeys {
  signing(): Uint8Array;
  /** The one that signs is among them. */
  accepted(): readonly Uint8Array[];
}

/** At least 32 bytes of key material, from `AGENTOS_SIGNING_KEY`. */
export function serviceTokenKey(secret: string): Uint8Array {
  const key = new TextEncoder().encode(secret);
  if (key.length < 32) throw new Error(`AGENTOS_SIGNING_KEY has ${key.length} bytes; it needs at least 32. Make one with: openssl rand -base64 48`);
  return key;
}

export interface ServiceTokenRequest {
  /** The service that calls, e.g. `agent-orchestrator`. */
  readonly issuer: string;
  /** The service that is called, e.g. `model-policy`. */
  readonly audience: string;
  readonly auth: AuthContext;
}

export interface ServiceTokenIssuer {
  /** The value for `Authorization: Bearer …`. */
  issue(request: Omit<ServiceTokenRequest, 'issuer'>): Promise<string>;
}

/** Signs one token, without any memory. */
export function issueServiceToken(key: Uint8Array, request: ServiceTokenRequest): Promise<string> {
  return new SignJWT({ auth: request.auth })
    .setProtectedHeader({ alg: 'HS256', typ: TOKEN_TYPE, kid: keyIdOf(key) })
    .setIssuer(`${SERVICE_ISSUER_PREFIX}${request.issuer}`)
    .setAudience(request.audience)
    .setSubject(request.auth.principal.principal_id)
    .setJti(newId('jti'))
    .setIssuedAt()
    .setExpirationTime(`${LIFETIME_SECONDS}s`)
    .sign(key);
}

/** An issuer that reuses a token for equal contexts. */
export function createServiceTokenIssuer(keys: Uint8Array | SigningKeys, issuer: string): ServiceTokenIssuer {
  const { signing } = signingKeys(keys);
  const recent = new Map<string, { readonly token: Promise<string>; readonly key: Uint8Array; readonly until: number }>();
  // The context of a run is the same object over its calls; its text is computed once.
  const texts = new WeakMap<AuthContext, string>();
  return {
    issue({ audience, auth }) {
      let text = texts.get(auth);
      if (text === undefined) texts.set(auth, (text = JSON.stringify(auth)));
      const cacheKey = `${audience}\n${text}`;
      const now = Date.now();
      const key = signing();
      const known = recent.get(cacheKey);
      if (known !== undefined && known.until > now && known.key === key) return known.token;
      if (recent.size >= MAX_REMEMBERED) forgetOldest(recent);
      const token = issueServiceToken(key, { issuer, audience, auth });
      recent.delete(cacheKey);
      recent.set(cacheKey, { token, key, until: now + REUSE_MS });
      token.catch(() => recent.delete(cacheKey));
      return token;
    },
  };
}

export interface ServiceTokenVerifier {
  /** What was verified before and has not expired; null says nothing about the token. */
  recall(token: string): AuthContext | null;
  /** The context in the token. @throws AgentOsError unauthorized. */
  verify(token: string): AuthContext | Promise<AuthContext>;
  /** True when the token says that it is one of ours, whether it verifies or not. */
  claims(token: string): boolean;
}

/** @param audience the service that verifies: tokens made for another are refused. */
export function createServiceTokenVerifier(keys: Uint8Array | SigningKeys, audience: string): ServiceTokenVerifier {
  const { accepted } = signingKeys(keys);
  const verified = new Map<string, { readonly auth: AuthContext; readonly key: Uint8Array; readonly expiresMs: number }>();
  const recall = (token: string): AuthContext | null => {
    const known = verified.get(token);
    if (known === undefined) return null;
    if (known.expiresMs > Date.now() && accepted().includes(known.key)) return known.auth;
    verified.delete(token);
    return null;
  };
  return { recall, claims: (token) => isServiceToken(token), verify: (token) => recall(token) ?? verifyAndRemember(token) };

  async function verifyAndRemember(token: string): Promise<AuthContext> {
    try {
      if (token.length > MAX_TOKEN_CHARACTERS) throw new Error('the token is too long');
      const { payload, key } = await verifyWithItsKey(token, accepted(), audience);
      const auth = payload['auth'] as AuthContext | undefined;
      if (!payload.iss!.startsWith(SERVICE_ISSUER_PREFIX) || !isAuthContext(auth)) throw new Error('the token carries no auth context');
      if (payload.exp! - payload.iat! > LIFETIME_SECONDS) throw new Error('the token lives longer than a service token may');
      if (verified.size >= MAX_REMEMBERED) forgetOldest(verified);
      verified.set(token, { auth, key, expiresMs: payload.exp! * 1000 });
      return auth;
    } catch (error) {
      const why = error instanceof joseErrors.JOSEError ? error.code : (error as Error).message;
      throw new AgentOsError('unauthorized', { message: 'The service token is not valid here.', details: { reason: 'invalid_token' }, cause: why });
    }
  }
}

/** The token's `kid` says which of the keys. */
async function verifyWithItsKey(token: string, keys: readonly Uint8Array[], audience: string): Promise<{ readonly payload: JWTPayload; readonly key: Uint8Array }> {
  const { kid, crit } = decodeProtectedHeader(token);
  if (crit !== undefined) throw new Error('the token demands an extension');
  const key = keys.find((candidate) => keyIdOf(candidate) === kid);
  if (key === undefined) throw new Error('the token names a key that is not accepted');
  const { payload } = await jwtVerify(token, key, {
    algorithms: ['HS256'], audience, typ: TOKEN_TYPE, requiredClaims: ['exp', 'iat', 'iss', 'jti', 'auth'], maxTokenAge: LIFETIME_SECONDS, clockTolerance: CLOCK_SKEW_SECONDS,
  });
  return { payload, key };
}

const keyIds = new WeakMap<Uint8Array, string>();

/** Says which key without saying anything of it. */
function keyIdOf(key: Uint8Array): string {
  let id = keyIds.get(key);
  if (id === undefined) keyIds.set(key, (id = createHash('sha256').update('agentos signing key id\n').update(key).digest('hex').slice(0, 16)));
  return id;
}

function signingKeys(keys: Uint8Array | SigningKeys): SigningKeys {
  if (!(keys instanceof Uint8Array)) return keys;
  const accepted = [keys];
  return { signing: () => keys, accepted: () => accepted };
}

function isServiceToken(token: string): boolean {
  const header = token.slice(0, token.indexOf('.'));
  if (header === '' || header.length > 512) return false;
  try {
    return (JSON.parse(Buffer.from(header, 'base64url').toString('utf8')) as { typ?: unknown }).typ === TOKEN_TYPE;
  } catch {
    return false;
  }
}

function isAuthContext(value: unknown): value is AuthContext {
  const auth = value as Partial<AuthContext> | null | undefined;
  return typeof auth === 'object' && auth !== null && isTenantId(auth.tenant_id) && Array.isArray(auth.scopes) && typeof auth.principal?.principal_id === 'string';
}

/** Maps keep insertion order, so the first tenth are the oldest. */
function forgetOldest(memory: Map<string, unknown>): void {
  let count = Math.ceil(memory.size / 10);
  for (const key of memory.keys()) {
    if (count-- === 0) break;
    memory.delete(key);
  }
}
