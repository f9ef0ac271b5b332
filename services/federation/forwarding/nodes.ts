/**
 * The nodes as forwarding sees them: this one and its peers, each behind the port, and what they say of themselves,
 * remembered for a few seconds so that a forward does not wait for it each time.
 */
import { setTimeout as sleep } from 'node:timers/promises';
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
  /** For an answer of one among several. */
  readonly patienceMs?: number;
  readonly rememberMs?: number;
}

const PATIENCE_MS = 3_000;
const REMEMBER_MS = 5_000;
/** For this long a node that did not answer is not waited for where others may be taken. */
const PASSED_OVER_MS = 2_000;
const MOST_REMEMBERED = 10_000;

export function createNodes({ node, local, remote, patienceMs = PATIENCE_MS, rememberMs = REMEMBER_MS }: NodesOptions): Nodes {
  const remembered = new Map<string, { readonly description: PeerDescription; readonly untilMs: number }>();
  const asked = new Map<string, Promise<PeerDescription>>();
  const silent = new Map<string, { readonly error: AgentOsError; readonly untilMs: number }>();

  /** @throws AgentOsError that says what is missing in the configuration. */
  const reach = (peer: Peer): Target => {
    if (peer.stack_id === node.local.stack_id) return { peer: node.local, port: local };
    if (remote === null) throw trustNotConfigured(peer.stack_id);
    peersListener(peer);
    return { peer, port: remote };
  };

  const ask = async (auth: AuthContext, { peer, port }: Target, call: PeerCall, key: string): Promise<PeerDescription> => {
    try {
      const description = await port.describe(auth, peer, call);
      if (remembered.size >= MOST_REMEMBERED) remembered.clear();
      remembered.set(key, { description, untilMs: performance.now() + rememberMs });
      return description;
    } finally {
      asked.delete(key);
    }
  };

  const describe = (auth: AuthContext, peer: Peer, call: PeerCall): Promise<PeerDescription> => {
    const target = reach(peer);
    if (target.port === local) return local.describe(auth, peer, call);
    // What a node can do may differ by tenant.
    const key = `${peer.stack_id}\n${auth.tenant_id}`;
    const known = remembered.get(key);
    if (known !== undefined && known.untilMs > performance.now()) return Promise.resolve(known.description);
    // Forwards that arrive together ask once.
    let answer = asked.get(key);
    if (answer === undefined) asked.set(key, (answer = ask(auth, target, call, key)));
    return answer;
  };

  const candidate = async (auth: AuthContext, peer: Peer, call: PeerCall, alone: boolean): Promise<Candidate> => {
    const before = silent.get(peer.stack_id);
    if (!alone && before !== undefined && before.untilMs > performance.now()) return { peer, described: before.error };
    try {
      // Where others may be taken, none is waited for as long as a request may take.
      const described = await (alone ? describe(auth, peer, call) : within(patienceMs, peer.stack_id, describe(auth, peer, call)));
      silent.delete(peer.stack_id);
      return { peer, described };
    } catch (error) {
      if (!(error instanceof AgentOsError)) throw error;
      if (error.code === 'dependency_unavailable') silent.set(peer.stack_id, { error, untilMs: performance.now() + PASSED_OVER_MS });
      return { peer, described: error };
    }
  };

  return {
    own: node.local,
    target(stackId) {
      const peer = [node.local, ...node.peers].find((each) => each.stack_id === stackId);
      if (peer === undefined) throw peerNotFound(stackId);
      return reach(peer);
    },
    candidates: (auth, peers, call) => Promise.all(peers.map((peer) => candidate(auth, peer, call, peers.length === 1))),
  };
}

async function within(patienceMs: number, stackId: string, answer: Promise<PeerDescription>): Promise<PeerDescription> {
  const stop = new AbortController();
  const silence = sleep(patienceMs, undefined, { signal: stop.signal }).then(() => {
    throw new AgentOsError('dependency_unavailable', { message: `${stackId} did not say within ${patienceMs} ms what it can do.`, details: { peer: stackId } });
  });
  try {
    return await Promise.race([answer, silence]);
  } finally {
    stop.abort();
    silence.catch(() => undefined);
    answer.catch(() => undefined);
  }
}

const trustNotConfigured = (stackId: string): AgentOsError =>
  new AgentOsError('dependency_unavailable', {
    message: `This node has no certificates for other nodes, so nothing is sent to ${stackId}. Set AGENTOS_FED_CA_CERT, AGENTOS_FED_SERVER_CERT and AGENTOS_FED_SERVER_KEY (and AGENTOS_FED_CLIENT_CERT and AGENTOS_FED_CLIENT_KEY, where they differ); \`agentos federation certs\` makes some.`,
    retryable: false,
    details: { reason: 'peer_trust_not_configured', peer: stackId, variables: ['AGENTOS_FED_CA_CERT', 'AGENTOS_FED_SERVER_CERT', 'AGENTOS_FED_SERVER_KEY'] },
  });
