/** Where the events of a run come from: its node and what is kept of it here, or this node (C-29). */
import type { EventEnvelope, Run } from '../../../generated/types/index.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { Nodes, Target } from '../forwarding/nodes.ts';
import type { ForwardIndexPort } from '../ports/forward-index.ts';
import type { PeerCall } from '../ports/peer.ts';
import type { ReplicaPort } from '../ports/replica.ts';
import type { FederatedRun, ReplicaOfRun } from './federated-stream.ts';
import type { NodeOfRun } from './node-connection.ts';

export interface RunSources {
  readonly nodes: Pick<Nodes, 'own' | 'target'>;
  readonly index: Pick<ForwardIndexPort, 'findByRun'>;
  readonly replica: ReplicaPort;
}

const ENDED: ReadonlySet<Run['status']> = new Set(['completed', 'failed', 'canceled']);

/** For a run of which this node knows nothing it is this node, whose Agent Orchestrator says so. @throws AgentOsError dependency_unavailable. */
export async function sourceOfRun({ nodes, index, replica }: RunSources, auth: AuthContext, runId: string, call: PeerCall): Promise<FederatedRun> {
  const name = { tenantId: auth.tenant_id, runId };
  const here = (): FederatedRun => ({ ...name, node: nodeOfRun(nodes, nodes.own.stack_id, auth, runId, call), replica: null });
  // Nodes do not relay: a peer is shown what runs here and nothing else.
  if (auth.peer !== undefined) return here();
  const [forward, extent] = await Promise.all([index.findByRun(auth, runId), replica.extent(auth, runId)]);
  if (forward !== null && forward.targetStackId !== nodes.own.stack_id) {
    const kept = replicaOfRun(replica, auth, runId);
    try {
      targetOf(nodes, forward.targetStackId);
      return { ...name, node: nodeOfRun(nodes, forward.targetStackId, auth, runId, call), replica: kept };
    } catch (error) {
      if (!(error instanceof AgentOsError)) throw error;
      return { ...name, node: null, replica: kept, unreachable: error };
    }
  }
  return extent === null ? here() : { ...name, node: null, replica: replicaOfRun(replica, auth, runId) };
}

/**
 * Which node that is, and where, is looked up each time and at each event: a stream may outlive the peer that it comes
 * from, and what is no peer any more is asked nothing and believed nothing.
 */
export function nodeOfRun(nodes: Pick<Nodes, 'target'>, stackId: string, auth: AuthContext, runId: string, call: Omit<PeerCall, 'signal'>): NodeOfRun {
  const { correlationId, traceparent } = call;
  return {
    async open(afterSequence, signal): Promise<AsyncIterable<EventEnvelope>> {
      const { peer, port } = targetOf(nodes, stackId);
      const events = await port.openEvents(auth, peer, { runId, afterSequence }, { correlationId, traceparent, signal }).catch((error: unknown) => {
        throw readable(stackId, error);
      });
      return whileItIsATarget(nodes, stackId, events);
    },
    async hasEnded(signal) {
      const { peer, port } = targetOf(nodes, stackId);
      return ENDED.has((await port.getRun(auth, peer, runId, { correlationId, traceparent, signal })).status);
    },
  };
}

async function* whileItIsATarget(nodes: Pick<Nodes, 'target'>, stackId: string, events: AsyncIterable<EventEnvelope>): AsyncGenerator<EventEnvelope, void> {
  for await (const event of events) {
    targetOf(nodes, stackId);
    yield event;
  }
}

/** @throws AgentOsError dependency_unavailable, for what is configured wrongly as it says. */
function targetOf(nodes: Pick<Nodes, 'target'>, stackId: string): Target {
  try {
    return nodes.target(stackId);
  } catch (error) {
    throw error instanceof AgentOsError ? cannotBeAsked(stackId, error) : error;
  }
}

/** What the reader of a stream can be told as it is. */
const TOLD: ReadonlySet<AgentOsError['code']> = new Set(['not_found', 'forbidden', 'tenant_unknown', 'invalid_request', 'rate_limited', 'quota_exceeded', 'dependency_unavailable', 'internal_error']);

/** Anything else that a node refuses with is between the nodes: to the reader it is a node that does not work. */
function readable(stackId: string, error: unknown): unknown {
  if (!(error instanceof AgentOsError) || TOLD.has(error.code)) return error;
  return new AgentOsError('dependency_unavailable', { message: error.message, retryable: error.retryable, details: { ...error.details, peer: stackId, answered: error.code }, cause: error });
}

const replicaOfRun = (replica: ReplicaPort, auth: AuthContext, runId: string): ReplicaOfRun => ({
  read: (after) => replica.read(auth, runId, after),
  extent: () => replica.extent(auth, runId),
  waitForMore: (signal) => replica.waitForMore(auth, runId, signal),
});

/** The run was sent there, so "no such node" would not be the answer to what was asked. */
const cannotBeAsked = (stackId: string, cause: AgentOsError): unknown =>
  cause.code !== 'not_found'
    ? readable(stackId, cause)
    : new AgentOsError('dependency_unavailable', {
        message: `The run was forwarded to ${stackId}, which the peers file does not name any more. Name it again to follow the run.`,
        retryable: false, details: { reason: 'peer_unknown', peer: stackId }, cause,
      });
