/** What this node says of itself to a tenant: to peers, and to its own choice of where a run goes. */
import type { PeerDescription } from '../ports/peer.ts';
import { nodeCapabilities, type NodeLimits, type NodeModels } from './capabilities.ts';
import type { NodeIdentity } from './identity.ts';

export interface OwnDescription {
  describe(tenantId: string): Promise<PeerDescription>;
}

export interface OwnDescriptionParts {
  readonly node: NodeIdentity;
  readonly limits: NodeLimits;
  readonly models: { models(tenantId: string): Promise<NodeModels> };
  /** Certificates for peers are configured. */
  readonly trusted: boolean;
}

export function createOwnDescription({ node, limits, models, trusted }: OwnDescriptionParts): OwnDescription {
  return { describe: async (tenantId) => ({ peer: node.local, capabilities: nodeCapabilities(limits, await models.models(tenantId), trusted) }) };
}
