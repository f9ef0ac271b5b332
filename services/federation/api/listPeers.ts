/** GET /v1/federation/peers: the peers that the configuration names, without this node. */
import type { FederationHandlers } from '../../../generated/handlers/federation.ts';
import type { NodeIdentity } from '../peers/identity.ts';

export function listPeers(node: NodeIdentity): FederationHandlers['listPeers'] {
  return ({ context }) => ({ status: 200, body: { peers: [...node.peers], correlation_id: context.correlationId } });
}
