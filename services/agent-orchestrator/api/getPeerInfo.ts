/** GET /v1/peer/info: this node's identity, as the federation service tells it (C-05, C-06). */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { PeerInformation } from '../adapters/peer-information.ts';

export const getPeerInfo = (peers: PeerInformation): AgentOrchestratorHandlers['getPeerInfo'] =>
  async ({ auth, context }) => ({ status: 200, body: { ...(await peers.info(auth, context)), correlation_id: context.correlationId } });
