/**
 * The key that Prometheus reads metrics with. It holds `metrics:read` and nothing else: not with the key of an operator
 * should a program go about that is asked for a page four times a minute. Its principal is the platform's.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expectStatus, send, type ApiAnswer } from '../api.ts';
import { operatorHeaders } from '../identity.ts';
import type { Settings } from '../settings.ts';

const TENANT = 'tnt_platform';
const PRINCIPAL = 'svc_prometheus';

function metricsKeyFile(home: string): string {
  return path.join(home, 'secrets', 'metrics.api-key');
}

/** The key, made by the running node when there is none that it knows. @throws CliError. */
export async function ensureMetricsKey(settings: Settings, signal: AbortSignal): Promise<string> {
  const file = metricsKeyFile(settings.home);
  const known = existsSync(file) ? readFileSync(file, 'utf8').trim() : null;
  if (known !== null && (await showsTenants(settings, known, signal))) return known;
  const headers = await operatorHeaders(settings, 'platform', TENANT, 'agent-orchestrator');
  const admin = (method: 'POST' | 'PUT' | 'GET', place: string, body?: unknown): Promise<ApiAnswer> => send(settings, 'agent-orchestrator', `/v1/admin/tenants${place}`, { method, headers, signal, ...(body === undefined ? {} : { body }) });
  // 409: it is there.
  expectStatus(await admin('POST', '', { tenant_id: TENANT, name: 'The operators of this platform' }), [201, 200, 409], 'making the tenant of the platform');
  expectStatus(await admin('PUT', `/${TENANT}/principals/${PRINCIPAL}`, { principal_type: 'service', display_name: 'Prometheus', roles: ['platform_operator'] }), [200, 201], 'making the principal of Prometheus');
  const made = expectStatus(await admin('POST', `/${TENANT}/keys`, { principal_id: PRINCIPAL, name: 'Prometheus', scopes: ['metrics:read'] }), [201], 'making the key of Prometheus');
  const secret = made.body!['secret'] as string;
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(file, `${secret}\n`, { mode: 0o600 });
  return secret;
}

/** False for a key left over from a database that is gone, or revoked since. */
async function showsTenants(settings: Settings, key: string, signal: AbortSignal): Promise<boolean> {
  const { status, text } = await send(settings, 'agent-orchestrator', '/metrics', { headers: { authorization: `Bearer ${key}` }, signal });
  return status === 200 && text.includes('agentos_tenant_');
}
