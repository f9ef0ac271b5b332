/**
 * The nodes as forwarding sees them: this one and its peers, each behind the port, and what they say of themselves,
 * remembered for a few seconds so that a forward does not wait for it each time.
 */
import type { Peer } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { NodeIdentity } from '../peers/identity.ts';
import { peersListener } from '../peers/peers-listener.ts';
import type { PeerCall, PeerDescription, PeerPort } from '../ports/peer.ts';
import { peerNotFound, type Candidate } from './selection.ts';

export interface Nodes {
  readonly own: Peer;
  /** @throws AgentOsError not_found where the configuration does not name it; else what `reach` refuses with. */
  target(stackId: string): Target;
  /** Each of them asked, all at once. */
  candidates(auth: AuthContext, peers: readonly Peer[], call: PeerCall): Promise<readonly Candidate[]>;
}

export interface Target {
  readonly peer: Peer;
  readonly port: PeerPort;
}

export interface NodesOptions {
  /** Its peers may change while the process runs. */
  readonly node: NodeIdentity;
  readonly local: PeerPort;
  /** null: no certificates are configured, so nothing goes to other nodes. */
  readonly remote: PeerPort | null;
  readonly describeTimeoutMs?: number;
  readonly rememberMs?: number;
}

const DESCRIBE_TIMEOUT_MS = 3_000;
const REMEMBER_MS = 5_000;
const MOST_REMEMBERED = 10_000;

export function createNodes({ node, local, remote, describeTimeoutMs = DESCRIBE_TIMEOUT_MS, rememberMs = REMEMBER_MS }: NodesOptions): Nodes {
  const remembered = new Map<string, { readonly description: PeerDescription; readonly untilMs: number }>();

  /** @throws AgentOsError that says what is missing in the configuration. */
  const reach = (peer: Peer): Target => {
    if (peer.stack_id === node.local.stack_id) return { peer: node.local, port: local };
    if (remote === null) throw trustNotConfigured(peer.stack_id);
    peersListener(peer);
    return { peer, port: remote };
  };

  const describe = async (auth: AuthContext, peer: Peer, call: PeerCall): Promise<PeerDescription> => {
    const { port } = reach(peer);
    if (port === local) return local.describe(auth, peer, call);
    // What a node can do may differ by tenant.
    const key = `${peer.stack_id}\n${auth.tenant_id}`;
    const known = remembered.get(key);
    if (known !== undefined && known.untilMs > performance.now()) return known.description;
    const description = await port.describe(auth, peer, { ...call, signal: AbortSignal.any([call.signal, AbortSignal.timeout(describeTimeoutMs)]) });
    if (remembered.size >= MOST_REMEMBERED) remembered.clear();
    remembered.set(key, { description, untilMs: performance.now() + rememberMs });
    return description;
  };

  return {
    own: node.local,
    target(stackId) {
      const peer = [node.local, ...node.peers].find((each) => each.stack_id === stackId);
      if (peer === undefined) throw peerNotFound(stackId);
      return reach(peer);
    },
    candidates: (auth, peers, call) =>
      Promise.all(
        peers.map(async (peer): Promise<Candidate> => {
          try {
            return { peer, described: await describe(auth, peer, call) };
          } catch (error) {
            if (error instanceof AgentOsError) return { peer, described: error };
            throw error;
          }
        }),
      ),
  };
}

const trustNotConfigured = (stackId: string): AgentOsError =>
  new AgentOsError('dependency_unavailable', {
    message: `This node has no certificates for other nodes, so nothing is sent to ${stackId}. Set AGENTOS_FED_CA_CERT, AGENTOS_FED_SERVER_CERT and AGENTOS_FED_SERVER_KEY (and AGENTOS_FED_CLIENT_CERT and AGENTOS_FED_CLIENT_KEY, where they differ); \`agentos federation certs\` makes some.`,
    retryable: false,
    details: { reason: 'peer_trust_not_configured', peer: stackId, variables: ['AGENTOS_FED_CA_CERT', 'AGENTOS_FED_SERVER_CERT', 'AGENTOS_FED_SERVER_KEY'] },
  });
