/** GET /v1/peer/capabilities: what this node can do, as the federation service tells it (C-05, C-07). */
import type { AgentOrchestratorHandlers } from '../../../generated/handlers/agent-orchestrator.ts';
import type { PeerInformation } from '../adapters/peer-information.ts';

export const getPeerCapabilities = (peers: PeerInformation): AgentOrchestratorHandlers['getPeerCapabilities'] =>
  async ({ auth, context }) => ({ status: 200, body: { ...(await peers.capabilities(auth, context)), correlation_id: context.correlationId } });
