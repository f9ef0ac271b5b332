/**
 * The first tenant of a node in prod, its administrator, and a key of theirs in a file that its owner alone reads. What
 * is there already is left as it is, so that repeating it changes nothing.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { SEED_PLATFORM_ADMIN } from '../../../services/agent-orchestrator/seed.ts';
import { expectStatus, send, type ApiAnswer, type ApiRequest } from '../api.ts';
import { apiKeyFile, operatorHeaders, tenantKeyFile } from '../identity.ts';
import { writeSeeded } from '../seeded.ts';
import type { Settings } from '../settings.ts';
import { asKey } from '../validation/isolation/tenants.ts';
import type { Answers } from './answers.ts';

const AO = 'agent-orchestrator';

/** Answers what was made, for people. @throws CliError with the node's own words. */
export async function ensureFirstTenant(settings: Settings, answers: Answers, signal: AbortSignal): Promise<string> {
  const { tenantId, tenantName, adminId } = answers;
  const headers = await platformHeaders(settings);
  const call = (path: string, request: ApiRequest = {}): Promise<ApiAnswer> => send(settings, AO, path, { signal, ...request, headers });
  const tenantPath = `/v1/admin/tenants/${encodeURIComponent(tenantId)}`;
  const made: string[] = [];
  if (expectStatus(await call(tenantPath), [200, 404], `${tenantId} could not be looked up`).status === 404) {
    expectStatus(await call('/v1/admin/tenants', { method: 'POST', body: { tenant_create: { tenant_id: tenantId, name: tenantName, plan_tier: 'standard' } } }), [201], `${tenantId} could not be created`);
    made.push(`tenant ${tenantId}`);
  }
  const principalPath = `${tenantPath}/principals/${encodeURIComponent(adminId)}`;
  if (expectStatus(await call(principalPath), [200, 404], `${adminId} could not be looked up`).status === 404) {
    expectStatus(await call(principalPath, { method: 'PUT', body: { principal_type: 'user', roles: ['tenant_admin'] } }), [200, 201], `${adminId} could not be created`);
    made.push(`administrator ${adminId}`);
  }
  const file = tenantKeyFile(settings.home, tenantId);
  if (!(await opens(settings, file, signal))) {
    const answer = expectStatus(await call(`${tenantPath}/keys`, { method: 'POST', body: { principal_id: adminId, name: 'agentos bootstrap', roles: ['tenant_admin'] } }), [201], `a key for ${adminId} could not be made`);
    writeFileSync(file, `${String(answer.body?.['secret'])}\n`, { mode: 0o600 });
    made.push(`a key in ${file}`);
  }
  writeSeeded(settings.home, { default_tenant_id: tenantId, platform_admin_principal_id: SEED_PLATFORM_ADMIN, tenant_admin_principal_id: adminId, sample_agent_ids: [], sample_tool_ids: [] });
  return made.length === 0 ? `${tenantId}, ${adminId} and a key were there` : `made ${made.join(', ')}`;
}

/** As the operator whose key `up` made; where people come by tokens alone, as who holds the node's signing key. */
async function platformHeaders(settings: Settings): Promise<Readonly<Record<string, string>>> {
  const file = apiKeyFile(settings.home, 'platform');
  if (existsSync(file)) return asKey(readFileSync(file, 'utf8').trim());
  return operatorHeaders(settings, 'platform', settings.defaultTenant, AO);
}

/** Whether the file holds a key that the node takes. */
async function opens(settings: Settings, file: string, signal: AbortSignal): Promise<boolean> {
  if (!existsSync(file)) return false;
  return (await send(settings, AO, '/v1/runs?limit=1', { signal, headers: asKey(readFileSync(file, 'utf8').trim()) })).status === 200;
}
