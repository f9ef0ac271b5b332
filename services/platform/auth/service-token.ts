/**
 * Tokens between the services of one node: HS256 JWTs of at most 60 seconds that carry the whole auth context, so that
 * the service behind sees exactly the caller whom the service in front has verified.
 *
 * Signing costs more than most of what a call does, so a token is reused for 30 seconds for an equal context and
 * audience, and a verified token is remembered until it expires. Both memories are bounded.
 */
import { SignJWT, jwtVerify, errors as joseErrors } from 'jose';
import { AgentOsError } from '../errors.ts';
import { isTenantId } from './claims.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';

const LIFETIME_SECONDS = 60;
const REUSE_MS = 30_000;
const MAX_REMEMBERED = 10_000;
/** `typ` of the header: a token made for something else with the same key is not one of these. */
const TOKEN_TYPE = 'agentos-service+jwt';
/** Marks our tokens apart from those of configured issuers. */
export const SERVICE_ISSUER_PREFIX = 'agentos:';

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
    .setProtectedHeader({ alg: 'HS256', typ: TOKEN_TYPE })
    .setIssuer(`${SERVICE_ISSUER_PREFIX}${request.issuer}`)
    .setAudience(request.audience)
    .setSubject(request.auth.principal.principal_id)
    .setIssuedAt()
    .setExpirationTime(`${LIFETIME_SECONDS}s`)
    .sign(key);
}

/** An issuer that reuses a token for equal contexts. */
export function createServiceTokenIssuer(key: Uint8Array, issuer: string): ServiceTokenIssuer {
  const recent = new Map<string, { readonly token: Promise<string>; readonly until: number }>();
  // The context of a run is the same object over its calls; its text is computed once.
  const texts = new WeakMap<AuthContext, string>();
  return {
    issue({ audience, auth }) {
      let text = texts.get(auth);
      if (text === undefined) texts.set(auth, (text = JSON.stringify(auth)));
      const cacheKey = `${audience}\n${text}`;
      const now = Date.now();
      const known = recent.get(cacheKey);
      if (known !== undefined && known.until > now) return known.token;
      if (recent.size >= MAX_REMEMBERED) forgetOldest(recent);
      const token = issueServiceToken(key, { issuer, audience, auth });
      recent.delete(cacheKey);
      recent.set(cacheKey, { token, until: now + REUSE_MS });
      token.catch(() => recent.delete(cacheKey));
      return token;
    },
  };
}

export interface ServiceTokenVerifier {
  /** The context in the token. @throws AgentOsError unauthorized. */
  verify(token: string): AuthContext | Promise<AuthContext>;
  /** True when the token says that it is one of ours, whether it verifies or not. */
  claims(token: string): boolean;
}

export function createServiceTokenVerifier(key: Uint8Array, audience: string): ServiceTokenVerifier {
  const verified = new Map<string, { readonly auth: AuthContext; readonly expiresMs: number }>();
  return {
    claims: (token) => isServiceToken(token),
    verify(token) {
      const known = verified.get(token);
      if (known !== undefined) {
        if (known.expiresMs > Date.now()) return known.auth;
        verified.delete(token);
      }
      return verifyAndRemember(token);
    },
  };

  async function verifyAndRemember(token: string): Promise<AuthContext> {
    try {
      const { payload } = await jwtVerify(token, key, {
        algorithms: ['HS256'], audience, typ: TOKEN_TYPE, requiredClaims: ['exp', 'iat', 'iss', 'auth'], maxTokenAge: LIFETIME_SECONDS, clockTolerance: 2,
      });
      const auth = payload.auth as AuthContext | undefined;
      if (!payload.iss!.startsWith(SERVICE_ISSUER_PREFIX) || !isAuthContext(auth)) throw new Error('the token carries no auth context');
      if (verified.size >= MAX_REMEMBERED) forgetOldest(verified);
      verified.set(token, { auth, expiresMs: payload.exp! * 1000 });
      return auth;
    } catch (error) {
      const why = error instanceof joseErrors.JOSEError ? error.code : (error as Error).message;
      throw new AgentOsError('unauthorized', { message: 'The service token is not valid here.', details: { reason: 'invalid_token' }, cause: why });
    }
  }
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
