import { existsSync } from 'node:fs';
import type { CliToken } from '../../generated/types/index.ts';
import type { Command, OptionValues } from '../lib/command.ts';
import { parseDurationMs } from '../lib/duration.ts';
import { CliError, EXIT } from '../lib/errors.ts';
import { localIssuerFiles } from '../lib/local-issuer.ts';
import { NODE_OPTION, settingsOfNode } from '../lib/one-node.ts';
import type { Settings } from '../lib/settings.ts';

const DEFAULT_LIFETIME = '1h';
const MAX_LIFETIME_MS = 30 * 86_400_000;
const DEFAULT_PRINCIPALS = { user: 'usr_local', service: 'svc_local' } as const;
const DEFAULT_ROLES = { user: 'tenant_user', service: 'tenant_service' } as const;

export const command: Command = {
  name: 'token',
  summary: 'Print a token of the node\'s own issuer, for trying things out; demo and dev only',
  options: [
    { flags: '--tenant <id>', summary: 'the tenant it is for (default: the node\'s default tenant)' },
    { flags: '--principal <id>', summary: 'who it is for (default: usr_local, or svc_local)' },
    { flags: '--type <type>', summary: 'user or service', default: 'user' },
    { flags: '--scope <scopes>', summary: 'what it may do, separated by commas or spaces (default: what its roles hold)' },
    { flags: '--role <roles>', summary: 'its roles, separated by commas (default, without --scope: tenant_user, or tenant_service)' },
    { flags: '--expires <duration>', summary: 'how long it lasts, e.g. 15m, 8h; 30 days at most', default: DEFAULT_LIFETIME },
    NODE_OPTION,
  ],
  examples: [
    'agentos token',
    'agentos token --role tenant_admin --expires 15m',
    'agentos token --tenant tnt_acme --principal svc_orders --type service --scope "runs:create runs:read"',
    'curl -H "Authorization: Bearer $(agentos token)" http://127.0.0.1:50081/v1/runs',
  ],
  async run(context, _args, options) {
    const { output } = context;
    const settings = settingsOfNode(context, options);
    const { keyFile } = localIssuerFiles(settings.home);
    refuseWhereUseless(settings, keyFile);
    const request = await requestOf(options, settings);
    const { issueLocalToken, LOCAL_ISSUER } = await import('../../services/platform/auth/local-issuer.ts');
    const { effectiveScopes } = await import('../../services/platform/auth/effective-scopes.ts');
    const { token, expiresAt } = await issueLocalToken(keyFile, request);
    const document: CliToken = {
      command: 'token', token, issuer: LOCAL_ISSUER, audience: request.audience, tenant_id: request.tenantId, principal_id: request.principalId,
      principal_type: request.principalType, scopes: [...effectiveScopes(request.scopes, request.roles)], roles: [...request.roles], expires_at: expiresAt,
    };
    output.result(document, token);
    return EXIT.ok;
  },
};

function refuseWhereUseless(settings: Settings, keyFile: string): void {
  if (settings.mode === 'prod') {
    throw new CliError('prod trusts no issuer of its own', { exitCode: EXIT.configuration, evidence: ['tokens come from the issuers of AGENTOS_OIDC_ISSUERS_FILE'], next: 'agentos keys create   (an API key)' });
  }
  if (!existsSync(keyFile)) throw new CliError('this node has no issuer yet', { exitCode: EXIT.configuration, evidence: [`${keyFile} does not exist`], next: 'agentos up' });
}

async function requestOf(options: OptionValues, settings: Settings) {
  const principalType = textOf(options['type']) ?? 'user';
  if (principalType !== 'user' && principalType !== 'service') throw usage('--type', principalType, 'known: user, service', '--type service');
  const lifetimeMs = parseDurationMs(textOf(options['expires']) ?? DEFAULT_LIFETIME);
  if (lifetimeMs === null || lifetimeMs < 1_000 || lifetimeMs > MAX_LIFETIME_MS) throw usage('--expires', String(options['expires']), 'a duration from 1s to 30d', '--expires 1h');
  const [{ isTenantId, isPrincipalId }, { parseScopes }] = await Promise.all([import('../../services/platform/auth/claims.ts'), import('../../services/platform/tenancy/scopes.ts')]);
  const scopes = parseScopes(textOf(options['scope']) ?? '');
  const named = parseScopes(textOf(options['role']) ?? '');
  await refuseUnknown(scopes, named);
  const tenantId = textOf(options['tenant']) ?? settings.defaultTenant;
  if (!isTenantId(tenantId)) throw usage('--tenant', tenantId, 'letters, digits, dots, dashes, underscores, colons and @', '--tenant tnt_demo');
  const principalId = textOf(options['principal']) ?? DEFAULT_PRINCIPALS[principalType];
  if (!isPrincipalId(principalId)) throw usage('--principal', principalId, '1 to 256 printable characters', '--principal usr_ann');
  return {
    audience: settings.config.values.AGENTOS_JWT_AUDIENCE, tenantId, principalId, principalType, scopes,
    roles: named.length > 0 || scopes.length > 0 ? named : [DEFAULT_ROLES[principalType]], lifetimeSeconds: Math.floor(lifetimeMs / 1_000),
  } as const;
}

/** A misspelt scope would give a token that may do nothing, which is found out late. */
async function refuseUnknown(scopes: readonly string[], roles: readonly string[]): Promise<void> {
  const { ROLES, SCOPES, SCOPE_ALIASES } = await import('../../generated/handlers/access.ts');
  const { isRole } = await import('../../services/platform/auth/effective-scopes.ts');
  const known = [...SCOPES, ...Object.keys(SCOPE_ALIASES)];
  const scope = scopes.find((name) => !known.includes(name));
  if (scope !== undefined) throw usage('--scope', scope, `known: ${known.join(', ')}`, '--scope runs:read');
  const role = roles.find((name) => !isRole(name));
  if (role !== undefined) throw usage('--role', role, `known: ${Object.keys(ROLES).join(', ')}`, '--role tenant_user');
}

const textOf = (value: string | boolean | undefined): string | undefined => (typeof value === 'string' ? value : undefined);

const usage = (flag: string, value: string, known: string, next: string): CliError => new CliError(`${flag} cannot be "${value}"`, { exitCode: EXIT.usage, evidence: [known], next });
