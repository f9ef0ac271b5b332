/**
 * Another node, at its peers' listener: mutual TLS, and with each request an assertion that names the caller and is
 * signed with the key of this node's certificate. Without certificates there is no such adapter, so nothing goes out.
 */
import type { Dispatcher } from 'undici';
import type { EventEnvelope, FederationForwardResponse, Peer, PeerCapabilities, PeerInfoResponse, Run } from '../../../generated/types/index.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { Tracing } from '../../platform/telemetry/tracing.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { ForwardedRun, ForwardedRunRequest, PeerCall, PeerDescription, PeerPort } from '../ports/peer.ts';
import { peersListener } from '../peers/peers-listener.ts';
import type { PeerAssertions } from '../trust/assertions.ts';
import { conforming, eventsIn, runIn } from './node-answers.ts';
import { askNode, impossible, openNodeStream, type NodeRequest, type NodeService } from './node-requests.ts';

/** What one request to a node takes: an assertion is believed on a connection with the certificate that signed it. */
export interface PeerConnection {
  readonly dispatcher: Dispatcher;
  /** For streams, which hold a connection each. */
  readonly streams: Dispatcher;
  /** Whether the node answers a new connection at all; null: it cannot be said. */
  readonly accepts: (origin: string) => Promise<boolean | null>;
  readonly assertions: PeerAssertions;
}

export interface HttpsPeerOptions {
  /** To the node of this stack id, and to none that cannot prove to be it; asked for at each request, and closed by its owner. */
  readonly connection: (targetStackId: string) => PeerConnection;
  readonly timeoutMs?: number;
  readonly tracing?: Tracing | null;
}

const DEFAULT_TIMEOUT_MS = 10_000;

export class HttpsPeer implements PeerPort {
  readonly #options: HttpsPeerOptions;

  constructor(options: HttpsPeerOptions) {
    this.#options = options;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'https', contractVersion: '1.0', durable: false, features: [] };
  }

  async describe(auth: AuthContext, target: Peer, call: PeerCall): Promise<PeerDescription> {
    const ask = (path: string) => askNode(this.#service(target), auth, at(target, 'describe', 'GET', path), call);
    const [info, abilities] = await Promise.all([ask('/v1/federation/peer'), ask('/v1/federation/peer/capabilities')]);
    const { peer } = conforming<PeerInfoResponse>(target.stack_id, 'PeerInfoResponse', info);
    const { capabilities } = conforming<{ readonly capabilities: PeerCapabilities }>(target.stack_id, 'PeerCapabilitiesResponse', abilities);
    if (peer.stack_id !== target.stack_id) throw impossible(target.stack_id, `it says that it is ${peer.stack_id}`);
    return { peer, capabilities };
  }

  async createRun(auth: AuthContext, target: Peer, { idempotencyKey, run }: ForwardedRunRequest, call: PeerCall): Promise<ForwardedRun> {
    const forward = { target_selector: { stack_id: target.stack_id }, auth: { ...auth }, run_request: { ...run, idempotency_key: idempotencyKey }, traceparent: call.traceparent };
    const answer = await askNode(this.#service(target), auth, at(target, 'createRun', 'POST', '/v1/federation/runs:forward', { forward }), call);
    const { forwarded } = conforming<FederationForwardResponse>(target.stack_id, 'FederationForwardResponse', answer);
    if (forwarded.tenant_id !== auth.tenant_id || forwarded.remote_stack_id !== target.stack_id) throw impossible(target.stack_id, 'it is about another tenant or node than was asked for');
    return { runId: forwarded.remote_run_id, status: forwarded.status, eventsUrl: forwarded.remote_events_url };
  }

  async getRun(auth: AuthContext, target: Peer, runId: string, call: PeerCall): Promise<Run> {
    const answer = await askNode(this.#service(target), auth, at(target, 'getRun', 'GET', `/v1/federation/runs/${encodeURIComponent(runId)}`), call);
    return runIn(target.stack_id, auth, runId, answer);
  }

  async cancelRun(auth: AuthContext, target: Peer, runId: string, call: PeerCall): Promise<Run> {
    const answer = await askNode(this.#service(target), auth, at(target, 'cancelRun', 'POST', `/v1/federation/runs/${encodeURIComponent(runId)}:cancel`), call);
    return runIn(target.stack_id, auth, runId, answer);
  }

  async openEvents(auth: AuthContext, target: Peer, { runId, afterSequence }: { readonly runId: string; readonly afterSequence: number }, call: PeerCall): Promise<AsyncIterable<EventEnvelope>> {
    const path = `/v1/federation/runs/${encodeURIComponent(runId)}/events?after_sequence=${afterSequence}`;
    return eventsIn(target.stack_id, auth, runId, await openNodeStream(this.#service(target), auth, at(target, 'openEvents', 'GET', path), call));
  }

  #service({ stack_id: stackId }: Peer): NodeService {
    const { dispatcher, streams, accepts, assertions } = this.#options.connection(stackId);
    return {
      stackId, dispatcher, streams, accepts, timeoutMs: this.#options.timeoutMs ?? DEFAULT_TIMEOUT_MS, tracing: this.#options.tracing ?? null,
      credentials: async (auth, { method, url }, body) => ({ authorization: `Bearer ${await assertions.issue({ audience: stackId, auth, method, url, body })}` }),
    };
  }
}

function at(target: Peer, operation: keyof PeerPort, method: NodeRequest['method'], path: string, body?: unknown): NodeRequest {
  return { operation, method, url: new URL(`${peersListener(target)}${path}`).href, ...(body === undefined ? {} : { body }) };
}
