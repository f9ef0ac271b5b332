/** Where a node hears other nodes. */
import type { Peer } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';

/** Its base URL, without a slash at the end. @throws AgentOsError conflict, when the peers file does not say. */
export function peersListener({ stack_id: stackId, endpoints }: Peer): string {
  const base = endpoints.federation_base_url;
  if (base?.startsWith('https://')) return base.replace(/\/+$/, '');
  throw new AgentOsError('conflict', {
    message: `The peers file does not say where ${stackId} listens for other nodes. Set endpoints.federation_base_url of that peer to the https address of its peers' listener.`,
    details: { reason: 'peer_endpoint_missing', peer: stackId },
  });
}
