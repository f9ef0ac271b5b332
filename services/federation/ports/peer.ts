/**
 * PeerPort: a node that can run work for a tenant of this one. Two adapters: `peer-https.ts` speaks to another node's
 * peer listener, over mutual TLS and with a signed assertion per request; `peer-local.ts` is this node's own Agent
 * Orchestrator, so that a selector which names this node, and a run that a peer has sent here, take the same way.
 *
 * Every method acts for `auth.tenant_id` and its principal; the other node judges both by its own rules. No method
 * retries by itself: what may be repeated is decided by `forwarding/`, which knows what was written down before.
 */
import type { EventEnvelope, FederationForwardRequest, Peer, PeerCapabilities, Run } from '../../../generated/types/index.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';

/** What travels with a call beside its content. */
export interface PeerCall {
  readonly correlationId: string;
  /** W3C, of the span that makes the call. The other node is told of the call's own span where traces are kept. */
  readonly traceparent: string;
  readonly signal: AbortSignal;
}

export interface PeerDescription {
  readonly peer: Peer;
  readonly capabilities: PeerCapabilities;
}

/** A run to be made there. */
export interface ForwardedRunRequest {
  /** Names the run over all nodes, `fed:<stack that sends it>:<forward>`: repeated, it is the same run. A key in `run` is not the node's to see. */
  readonly idempotencyKey: string;
  readonly run: FederationForwardRequest['forward']['run_request'];
}

export interface ForwardedRun {
  readonly runId: string;
  readonly status: Run['status'];
  /** Absolute, as the node tells it; whoever asks judges it. */
  readonly eventsUrl: string;
}

export interface PeerPort {
  capabilities(): PortCapabilities;
  /** Who the node says it is and what it can do for this tenant. @throws AgentOsError dependency_unavailable, and what the node refused with. */
  describe(auth: AuthContext, target: Peer, call: PeerCall): Promise<PeerDescription>;
  /**
   * @throws AgentOsError with the node's own code where it refused (4xx); dependency_unavailable where it could not be
   * reached, answered 5xx, or answered what cannot be: then the run may exist, and the same request finds out.
   */
  createRun(auth: AuthContext, target: Peer, request: ForwardedRunRequest, call: PeerCall): Promise<ForwardedRun>;
  /** @throws AgentOsError not_found, dependency_unavailable. */
  getRun(auth: AuthContext, target: Peer, runId: string, call: PeerCall): Promise<Run>;
  /** @throws AgentOsError not_found, invalid_state_transition, dependency_unavailable. */
  cancelRun(auth: AuthContext, target: Peer, runId: string, call: PeerCall): Promise<Run>;
  /**
   * One connection to the run's stream: events after `afterSequence` in order, as they happen, until the run's last one
   * or until the connection ends, which is not an error. Envelopes of another tenant or run than asked for end it with one.
   * Resolves once the node has accepted the stream. @throws AgentOsError not_found, dependency_unavailable.
   */
  openEvents(auth: AuthContext, target: Peer, from: { readonly runId: string; readonly afterSequence: number }, call: PeerCall): Promise<AsyncIterable<EventEnvelope>>;
}
