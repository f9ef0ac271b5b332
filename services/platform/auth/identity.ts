/**
 * Who is calling, and for which tenant (PRS 4.3, 10.1; C-32, C-56, C-61, C-62).
 *
 * demo: naming a tenant in `X-Tenant-Id` is identity enough, because demo binds the loopback interface only;
 * `X-Principal-Id` and `X-Scopes` are honoured and a bearer that says nothing to us is ignored. dev and prod: a
 * verified credential names the tenant, and the header may only repeat it — unless a service holds the delegation
 * scope, which lets it name the tenant it acts for; who it is stands in `acting` from then on. A credential that claims
 * to be one of ours and is not valid is refused in every mode.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Logger } from 'pino';
import { AgentOsError } from '../errors.ts';
import type { AuthContext } from '../tenancy/auth-context.ts';
import type { ApiKeyRecord, DirectoryPort } from '../tenancy/directory.ts';
import type { BodyCheck } from '../http/body.ts';
import type { OperationRow } from '../http/operation-types.ts';
import { DELEGATION_SCOPE, TENANT_SCOPES, expandScopes, parseScopes } from '../tenancy/scopes.ts';
import { requireActiveTenant } from '../tenancy/tenant-gate.ts';
import type { Mode } from '../config/mode.ts';
import { isValidApiKey, looksLikeApiKey, parseApiKey } from './api-key.ts';
import { isPrincipalId, isTenantId } from './claims.ts';
import { effectiveScopes } from './effective-scopes.ts';
import type { JwtVerifier } from './jwt-verifier.ts';
import { isPeerAssertion } from './peer-assertion.ts';
import type { ServiceTokenVerifier } from './service-token.ts';

export interface IdentityOptions {
  readonly mode: Mode;
  readonly directory: DirectoryPort;
  /** Which credentials are understood beside API keys. */
  readonly verifiers?: { readonly jwt?: JwtVerifier; readonly service?: ServiceTokenVerifier };
  /** Used when a request names no tenant; demo and dev only, refused in prod. */
  readonly defaultTenant?: string | null;
  /** Identity by headers alone; demo only. Defaults to what the mode says. */
  readonly allowHeaderIdentity?: boolean;
}

export interface Identity {
  /**
   * The caller's context, its tenant decided. Synchronous where nothing has to be looked up.
   * @param presented for credentials that belong to one connection and one request; what serves a listener passes it
   * @throws AgentOsError unauthorized, tenant_mismatch, invalid_request.
   */
  authenticate(headers: IncomingHttpHeaders, row: Pick<OperationRow, 'tenancy'>, presented?: PresentedRequest): AuthContext | Promise<AuthContext>;
  /**
   * Whether the caller of an open stream would still be let in; where it is absent, `authenticate` is asked anew. For
   * credentials that are good for one request. @throws as `authenticate`.
   */
  recheck?(presented: PresentedRequest): AuthContext | Promise<AuthContext>;
}

/** What a credential can be bound to beside the headers. */
export interface PresentedRequest {
  readonly request: IncomingMessage;
  /** Path and query as they came. */
  readonly target: string;
  readonly log: Logger;
  /** Set by an identity that vouches for the body: called with its bytes, as sent, before anything is made of them. */
  bodyCheck: BodyCheck | null;
}

/** The context of operations that are open to anyone. It holds no scope and names no tenant. */
export const ANONYMOUS: AuthContext = Object.freeze({
  tenant_id: '',
  principal: Object.freeze({ principal_id: 'anonymous', principal_type: 'user' as const }),
  scopes: Object.freeze([]) as unknown as string[],
}) as AuthContext;

const DEFAULT_PRINCIPAL = 'usr_demo';

export function createIdentity(options: IdentityOptions): Identity {
  const headerIdentity = options.allowHeaderIdentity ?? options.mode === 'demo';
  if (headerIdentity && options.mode === 'prod') throw new Error('Identity by headers is refused in prod: set AGENTOS_MODE=demo, or use keys or tokens.');
  const defaultTenant = options.defaultTenant || null;
  if (defaultTenant !== null && options.mode === 'prod') throw new Error('A default tenant is refused in prod: unset AGENTOS_DEFAULT_TENANT.');

  const fromHeaders = (headers: IncomingHttpHeaders): AuthContext => {
    const tenantId = tenantHeader(headers) ?? defaultTenant;
    if (tenantId === null) throw unauthorized('No tenant is named. Send X-Tenant-Id, or a credential.');
    const principal = singleHeader(headers, 'x-principal-id') ?? DEFAULT_PRINCIPAL;
    if (!isPrincipalId(principal)) throw badHeader('X-Principal-Id');
    const scopes = headers['x-scopes'] === undefined ? [...TENANT_SCOPES] : [...expandScopes(parseScopes(singleHeader(headers, 'x-scopes')))];
    return { tenant_id: tenantId, principal: { principal_id: principal, principal_type: principal.startsWith('svc_') ? 'service' : 'user' }, scopes, roles: [] };
  };

  // The directory answers the same record for up to a second; its caller is the same context, which what signs for it knows again.
  const contexts = new WeakMap<ApiKeyRecord, AuthContext>();
  const fromApiKey = async (presented: string): Promise<AuthContext> => {
    const parsed = parseApiKey(presented);
    const record = parsed === null ? null : await options.directory.getApiKey(parsed.keyId);
    if (parsed === null || record === null || !isValidApiKey(record, parsed.secret, Date.now())) {
      throw unauthorized('The API key is unknown, expired or revoked.', 'invalid_api_key');
    }
    options.directory.noteApiKeyUse(record);
    let auth = contexts.get(record);
    if (auth === undefined) contexts.set(record, (auth = contextOf(record)));
    return auth;
  };

  const fromBearer = (token: string): AuthContext | Promise<AuthContext> | null => {
    if (looksLikeApiKey(token)) return fromApiKey(token);
    const { service, jwt } = options.verifiers ?? {};
    const known = jwt?.recall(token) ?? service?.recall(token) ?? null;
    if (known !== null) return known;
    // Also where a bearer that says nothing to us is ignored: a peer that has come to the wrong door must not become a caller by its headers.
    if (isPeerAssertion(token)) throw unauthorized('Nodes are served by the listener for peers alone (AGENTOS_FED_PEER_PORT). Here, send an API key or a token.', 'wrong_listener');
    if (service?.claims(token)) return service.verify(token);
    if (headerIdentity && jwt?.claims(token) !== true) return null;
    if (jwt === undefined) throw unauthorized('No token issuer is configured here: send an API key.', 'invalid_token');
    return jwt.verify(token);
  };

  const present = (headers: IncomingHttpHeaders): AuthContext | Promise<AuthContext> | null => {
    const bearer = bearerToken(headers.authorization, headerIdentity);
    const key = singleHeader(headers, 'x-api-key');
    if (key === null) return bearer === null ? null : fromBearer(bearer);
    // Where headers are an identity, a bearer or key that says nothing to us is no second credential.
    if (bearer !== null && (!headerIdentity || (looksLikeApiKey(key) && isOurs(bearer)))) throw unauthorized('Two credentials were sent; send one.', 'two_credentials');
    if (looksLikeApiKey(key) || !headerIdentity) return fromApiKey(key);
    return bearer === null ? null : fromBearer(bearer);
  };

  const isOurs = (bearer: string): boolean => looksLikeApiKey(bearer) || options.verifiers?.service?.claims(bearer) === true || options.verifiers?.jwt?.claims(bearer) === true || isPeerAssertion(bearer);

  return {
    authenticate(headers) {
      const credential = present(headers);
      if (credential === null) {
        if (headerIdentity) return fromHeaders(headers);
        throw unauthorized('No credential was sent. Send Authorization: Bearer <token or API key>, or X-API-Key.');
      }
      return credential instanceof Promise ? credential.then((auth) => reconcileTenant(options.directory, auth, headers)) : reconcileTenant(options.directory, credential, headers);
    },
  };
}

function contextOf(record: ApiKeyRecord): AuthContext {
  return {
    tenant_id: record.tenantId,
    principal: { principal_id: record.principalId, principal_type: record.principalType },
    scopes: [...effectiveScopes(record.scopes, record.roles)],
    roles: [...record.roles],
  };
}

/** The header may repeat the credential's tenant; a service with the delegation scope may name another. */
function reconcileTenant(directory: DirectoryPort, auth: AuthContext, headers: IncomingHttpHeaders): AuthContext | Promise<AuthContext> {
  const named = tenantHeader(headers);
  if (named === null || named === auth.tenant_id) return auth;
  if (auth.acting === undefined && auth.principal.principal_type === 'service' && auth.scopes.includes(DELEGATION_SCOPE)) return actFor(directory, auth, named);
  throw new AgentOsError('tenant_mismatch', {
    message: `The credential belongs to tenant ${auth.tenant_id}, X-Tenant-Id names ${named}. Leave the header out or send the same tenant.`,
    details: { credential_tenant_id: auth.tenant_id, header_tenant_id: named },
  });
}

/**
 * The tenant that is acted for is judged as everybody's is. The one whose service acts must be active too: a tenant
 * that may do nothing for itself may do nothing for others. @throws AgentOsError tenant_unknown, forbidden.
 */
async function actFor(directory: DirectoryPort, auth: AuthContext, tenantId: string): Promise<AuthContext> {
  await requireActiveTenant(directory, auth);
  const { principal_id, principal_type } = auth.principal;
  return { ...auth, tenant_id: tenantId, acting: { tenant_id: auth.tenant_id, principal_id, principal_type } };
}

/** @param lenient ignore other schemes (demo), in place of refusing them. */
function bearerToken(header: string | undefined, lenient: boolean): string | null {
  if (header === undefined) return null;
  const match = /^Bearer +([^\s,]+)$/i.exec(header);
  if (match !== null) return match[1]!;
  if (lenient) return null;
  throw unauthorized('The Authorization header must be: Bearer <token or API key>.', 'invalid_token');
}

function tenantHeader(headers: IncomingHttpHeaders): string | null {
  const value = singleHeader(headers, 'x-tenant-id');
  if (value === null) return null;
  if (!isTenantId(value)) throw badHeader('X-Tenant-Id');
  return value;
}

function singleHeader(headers: IncomingHttpHeaders, name: string): string | null {
  const value = headers[name];
  if (value === undefined || value === '') return null;
  return Array.isArray(value) ? value.join(',') : value;
}

function badHeader(name: string): AgentOsError {
  return new AgentOsError('invalid_request', {
    message: `The header ${name} does not hold an identifier.`,
    details: { errors: [{ path: `/headers/${name}`, message: 'must be an identifier' }] },
  });
}

function unauthorized(message: string, reason?: string): AgentOsError {
  return new AgentOsError('unauthorized', { message, details: reason === undefined ? {} : { reason } });
}
