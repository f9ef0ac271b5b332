/** GET /v1/federation/peer/capabilities (Appendix F.2), with the members that older peers read beside it (C-07). */
import type { FederationHandlers } from '../../../generated/handlers/federation.ts';
import type { NodeModelsSource } from '../adapters/model-policy-models.ts';
import { EVENT_BACKHAUL, nodeCapabilities, PROTOCOL, type NodeLimits } from '../peers/capabilities.ts';
import type { NodeIdentity } from '../peers/identity.ts';

export function getPeerCapabilities(node: NodeIdentity, limits: NodeLimits, models: NodeModelsSource): FederationHandlers['getPeerCapabilities'] {
  return async ({ auth, context }) => ({
    status: 200,
    body: {
      capabilities: nodeCapabilities(limits, await models.models(auth.tenant_id)),
      peer_id: node.local.stack_id,
      protocol: PROTOCOL,
      event_backhaul: { ...EVENT_BACKHAUL },
      correlation_id: context.correlationId,
    },
  });
}
