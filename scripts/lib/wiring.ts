/** Whether the services find each other: each one's readiness names its dependencies, and each of them is asked. */
import type { Readiness } from '../../generated/types/index.ts';
import { errorOf, expectStatus, send } from './api.ts';
import { operatorHeaders } from './identity.ts';
import { SERVICES } from './services/catalog.ts';
import type { Settings } from './settings.ts';

export async function wireNode(settings: Settings, signal: AbortSignal): Promise<string> {
  const links = await Promise.all(SERVICES.map(async (service) => {
    const answer = expectStatus(await send(settings, service.name, '/readyz', { signal }), [200], `readiness of ${service.name}`);
    const checks = (answer.body as Readiness | null)?.checks ?? [];
    return `${service.name} → ${checks.map((check) => check.name).join(', ') || 'nothing'}`;
  }));
  const headers = await operatorHeaders(settings, 'tenant', settings.defaultTenant, 'federation');
  const peer = await send(settings, 'federation', '/v1/federation/peer', { signal, headers });
  // A node in prod may have no tenant yet: that one is unknown is said to verified callers alone.
  if (settings.mode !== 'prod' || errorOf(peer)?.code !== 'tenant_unknown') expectStatus(peer, [200], 'peer information of this node');
  return links.join('; ');
}
