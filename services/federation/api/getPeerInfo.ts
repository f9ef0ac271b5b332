/** GET /v1/federation/peer (Appendix F.1): this node's identity, with or without a peers file (C-08). */
import type { FederationHandlers } from '../../../generated/handlers/federation.ts';
import type { NodeIdentity } from '../peers/identity.ts';

export function getPeerInfo(node: NodeIdentity): FederationHandlers['getPeerInfo'] {
  return ({ context }) => ({ status: 200, body: { peer: node.local, correlation_id: context.correlationId } });
}
