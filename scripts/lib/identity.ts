/**
 * As whom the command line speaks to the node. In demo mode naming a tenant is enough; in dev and prod a credential is
 * needed: AGENTOS_API_KEY, or the key that `agentos up` made and left under .agentos/secrets/.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { CliError, EXIT } from './errors.ts';
import { SEED_PLATFORM_ADMIN, SEED_TENANT_ADMIN } from '../../services/agent-orchestrator/seed.ts';
import { OPERATOR_SCOPES, TENANT_SCOPES } from '../../services/platform/tenancy/scopes.ts';
import type { ServiceName } from './services/catalog.ts';
import type { Settings } from './settings.ts';

/** `tenant` does a tenant's work, `platform` administers tenants. */
export type Role = 'tenant' | 'platform';

export function apiKeyFile(home: string, role: Role): string {
  return role === 'tenant' ? tenantKeyFile(home, 'tnt_demo') : path.join(home, 'secrets', 'platform-admin.api-key');
}

/** The key that was made for the administrator of a tenant. */
export function tenantKeyFile(home: string, tenantId: string): string {
  return path.join(home, 'secrets', `${tenantId}-admin.api-key`);
}

export function signingKeyFile(home: string): string {
  return path.join(home, 'secrets', 'signing-key');
}

/** The headers that are an identity in demo mode. */
export function demoHeaders(role: Role, tenantId: string): Readonly<Record<string, string>> {
  return {
    'x-tenant-id': tenantId,
    'x-principal-id': role === 'tenant' ? SEED_TENANT_ADMIN : SEED_PLATFORM_ADMIN,
    'x-scopes': scopesOf(role).join(' '),
  };
}

/**
 * Headers that make a request one of any tenant of this node, as the operator who holds its signing key. For checks
 * that must look from two tenants' sides; people's own commands use their own keys.
 */
export async function operatorHeaders(settings: Settings, role: Role, tenantId: string, audience: ServiceName): Promise<Readonly<Record<string, string>>> {
  if (settings.mode === 'demo') return demoHeaders(role, tenantId);
  const { issueServiceToken, serviceTokenKey } = await import('../../services/platform/auth/service-token.ts');
  const auth = { tenant_id: tenantId, principal: { principal_id: role === 'tenant' ? SEED_TENANT_ADMIN : SEED_PLATFORM_ADMIN, principal_type: 'user' as const }, scopes: [...scopesOf(role)], roles: [] };
  const token = await issueServiceToken(serviceTokenKey(signingKey(settings)), { issuer: 'agentos-cli', audience, auth });
  return { authorization: `Bearer ${token}` };
}

/** What each may do, by key or by header. */
export function scopesOf(role: Role): readonly string[] {
  return role === 'tenant' ? TENANT_SCOPES : OPERATOR_SCOPES;
}

function signingKey(settings: Settings): string {
  const configured = settings.config.values.AGENTOS_SIGNING_KEY;
  if (configured !== undefined) return configured;
  const file = signingKeyFile(settings.home);
  if (existsSync(file)) return readFileSync(file, 'utf8').trim();
  throw new CliError('the signing key of this node is not at hand', { exitCode: EXIT.configuration, evidence: [`${file} does not exist`], next: 'agentos up' });
}

/** The credential, for the SDK as well; null in demo mode, where none is needed. */
export function credential(settings: Settings, role: Role): string | null {
  return settings.mode === 'demo' ? null : apiKey(settings, role);
}

function apiKey(settings: Settings, role: Role): string {
  if (settings.apiKey !== null) return settings.apiKey;
  const file = apiKeyFile(settings.home, role);
  if (existsSync(file)) return readFileSync(file, 'utf8').trim();
  throw new CliError(`mode ${settings.mode} needs a credential, and none is at hand`, {
    exitCode: EXIT.configuration,
    evidence: ['AGENTOS_API_KEY is not set', `${file} does not exist`],
    next: settings.mode === 'dev' ? 'agentos up --mode dev   (makes one)' : 'AGENTOS_API_KEY_FILE=/path/of/the/key agentos ...',
  });
}
