/** GET /v1/federation/peer/capabilities (Appendix F.2), with the members that older peers read beside it (C-07). */
import type { FederationHandlers } from '../../../generated/handlers/federation.ts';
import { EVENT_BACKHAUL, PROTOCOL } from '../peers/capabilities.ts';
import type { OwnDescription } from '../peers/own-description.ts';

export function getPeerCapabilities(own: OwnDescription): FederationHandlers['getPeerCapabilities'] {
  return async ({ auth, context }) => {
    const { peer, capabilities } = await own.describe(auth.tenant_id);
    return { status: 200, body: { capabilities, peer_id: peer.stack_id, protocol: PROTOCOL, event_backhaul: { ...EVENT_BACKHAUL }, correlation_id: context.correlationId } };
  };
}
