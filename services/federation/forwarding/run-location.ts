/** Where a run lives: on the node that it was forwarded to, else here (C-29). */
import type { Run } from '../../../generated/types/index.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { ForwardIndexPort } from '../ports/forward-index.ts';
import type { PeerCall } from '../ports/peer.ts';
import { withAttempts, type AttemptPolicy } from './attempts.ts';
import type { Nodes, Target } from './nodes.ts';

export interface RunLocation {
  /** @throws AgentOsError dependency_unavailable; not_found for a node that is no peer any more. */
  locate(auth: AuthContext, runId: string): Promise<Target>;
  getRun(auth: AuthContext, runId: string, call: PeerCall): Promise<Run>;
  cancelRun(auth: AuthContext, runId: string, call: PeerCall): Promise<Run>;
}

export function createRunLocation({ nodes, index, attempts }: { readonly nodes: Nodes; readonly index: ForwardIndexPort; readonly attempts: AttemptPolicy }): RunLocation {
  const locate = async (auth: AuthContext, runId: string): Promise<Target> => {
    // Nodes do not relay: a peer is shown what runs here and nothing else.
    const forward = auth.peer === undefined ? await index.findByRun(auth, runId) : null;
    return nodes.target(forward?.targetStackId ?? nodes.own.stack_id);
  };
  return {
    locate,
    async getRun(auth, runId, call) {
      const { peer, port } = await locate(auth, runId);
      return withAttempts(attempts, () => port.getRun(auth, peer, runId, call));
    },
    async cancelRun(auth, runId, call) {
      const { peer, port } = await locate(auth, runId);
      // Not repeated: a cancel that was heard answers the second one with a conflict.
      return port.cancelRun(auth, peer, runId, call);
    },
  };
}
