/** The SDK, set up for this node, and its errors as the command line's. */
import type { AgentOS } from '../../sdk/src/index.ts';
import { baseUrl } from './api.ts';
import { CliError, EXIT } from './errors.ts';
import { credential, demoHeaders, type Role } from './identity.ts';
import type { Settings } from './settings.ts';

/** The tenant a command acts for; undefined where the caller's own key names it. */
export function tenantOf(settings: Settings, option: string | boolean | undefined): string | undefined {
  if (typeof option === 'string') return option;
  return settings.apiKey === null || settings.mode === 'demo' ? settings.defaultTenant : settings.config.values.AGENTOS_TENANT_ID;
}

/** A client that acts as `role` for `tenantId`, or for the tenant of the caller's own key. */
export async function createClient(settings: Settings, role: Role, tenantId: string | undefined): Promise<AgentOS> {
  const { AgentOS } = await import('../../sdk/src/index.ts');
  const apiKey = credential(settings, role);
  return new AgentOS({
    endpoints: {
      agentOrchestrator: baseUrl(settings, 'agent-orchestrator'),
      modelPolicy: baseUrl(settings, 'model-policy'),
      federation: baseUrl(settings, 'federation'),
    },
    ...(apiKey === null ? { headers: demoHeaders(role, tenantId ?? settings.defaultTenant) } : { apiKey, ...(tenantId === undefined ? {} : { tenantId }) }),
  });
}

/** What the SDK threw, with the next thing to type. */
export async function explainClientError(error: unknown, what: string): Promise<unknown> {
  const { ApiError, ConnectionError } = await import('../../sdk/src/index.ts');
  if (error instanceof ApiError) {
    return new CliError(`${what}: ${error.message}`, { exitCode: EXIT.gate, evidence: Object.keys(error.details).length === 0 ? [] : [JSON.stringify(error.details)], next: nextFor(error.code, error.details['reason']), cause: error });
  }
  if (error instanceof ConnectionError) {
    return new CliError(`${what}: the node does not answer`, { exitCode: EXIT.dependency, evidence: [error.message.replace(/ Is the node up\?.*$/, '')], next: 'agentos up', cause: error });
  }
  return error;
}

function nextFor(code: string, reason: unknown): string {
  if (reason === 'tenant_suspended') return "the node's operator lets it work again: agentos tenants resume <tenant>";
  if (code === 'not_found') return 'check the id and the tenant (--tenant)';
  if (['unauthorized', 'forbidden', 'tenant_unknown', 'tenant_mismatch'].includes(code)) return 'check the credential and the tenant (AGENTOS_API_KEY, --tenant)';
  if (code === 'rate_limited' || code === 'quota_exceeded') return 'wait a little, then try again';
  return 'agentos logs agent-orchestrator --since 1m';
}
