/** Whether the services find each other: each one's readiness names its dependencies, and each of them is asked. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Readiness } from '../../generated/types/index.ts';
import { errorOf, expectStatus, send, type ApiAnswer } from './api.ts';
import { operatorHeaders } from './identity.ts';
import { SERVICES, type ServiceName } from './services/catalog.ts';
import type { Settings } from './settings.ts';

/** Runs that were waiting for a service begin the moment it is there, and may keep it too busy to answer for a while. */
const PATIENCE_MS = 15_000;

export async function wireNode(settings: Settings, signal: AbortSignal): Promise<string> {
  const links = await Promise.all(SERVICES.map(async (service) => {
    const answer = expectStatus(await readinessOf(settings, service.name, signal), [200], `readiness of ${service.name}`);
    const checks = (answer.body as Readiness | null)?.checks ?? [];
    return `${service.name} → ${checks.map((check) => check.name).join(', ') || 'nothing'}`;
  }));
  const headers = await operatorHeaders(settings, 'tenant', settings.defaultTenant, 'federation');
  const peer = await send(settings, 'federation', '/v1/federation/peer', { signal, headers });
  // A node in prod may have no tenant yet: that one is unknown is said to verified callers alone.
  if (settings.mode !== 'prod' || errorOf(peer)?.code !== 'tenant_unknown') expectStatus(peer, [200], 'peer information of this node');
  return links.join('; ');
}

/** The answer once it is 200, or the last one. */
async function readinessOf(settings: Settings, service: ServiceName, signal: AbortSignal): Promise<ApiAnswer> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const answer = await send(settings, service, '/readyz', { signal });
    if (answer.status !== 503 || Date.now() > deadline) return answer;
    await sleep(500, undefined, { signal });
  }
}
