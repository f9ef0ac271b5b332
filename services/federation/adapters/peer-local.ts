/**
 * This node itself: its own Agent Orchestrator, asked as the caller, with whatever the caller's context holds — the node
 * that the call came from included, so that the records there name it.
 */
import { Agent } from 'undici';
import type { EventEnvelope, Peer, Run } from '../../../generated/types/index.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { Tracing } from '../../platform/telemetry/tracing.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { ForwardedRun, ForwardedRunRequest, PeerCall, PeerDescription, PeerPort } from '../ports/peer.ts';
import { eventsIn, runIn } from './node-answers.ts';
import { askNode, openNodeStream, type NodeRequest, type NodeService } from './node-requests.ts';

export interface LocalPeerOptions {
  /** Where this process finds Agent Orchestrator. */
  readonly baseUrl: string;
  /** Headers that say who calls. */
  readonly credentials: (auth: AuthContext) => Promise<Readonly<Record<string, string>>>;
  /** What this node says of itself to a tenant. */
  readonly describe: (auth: AuthContext) => Promise<PeerDescription>;
  readonly timeoutMs?: number;
  readonly tracing?: Tracing | null;
}

const DEFAULT_TIMEOUT_MS = 10_000;

export class LocalPeer implements PeerPort {
  readonly #options: LocalPeerOptions;
  readonly #agent = new Agent();

  constructor(options: LocalPeerOptions) {
    this.#options = options;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'local', contractVersion: '1.0', durable: false, features: [] };
  }

  describe(auth: AuthContext): Promise<PeerDescription> {
    return this.#options.describe(auth);
  }

  async createRun(auth: AuthContext, target: Peer, { idempotencyKey, run }: ForwardedRunRequest, call: PeerCall): Promise<ForwardedRun> {
    const { agent_id: agentId, ...body } = run;
    const answer = await askNode(this.#service(target), auth, this.#at('createRun', 'POST', `/v1/agents/${encodeURIComponent(agentId)}/runs`, { ...body, idempotency_key: idempotencyKey }), call);
    const { run_id: runId, status } = runIn(target.stack_id, auth, null, answer);
    // Peers are told the address that the node is known by, which is not always the one that its own services use.
    return { runId, status, eventsUrl: `${target.endpoints['agent-orchestrator_base_url'].replace(/\/+$/, '')}/v1/runs/${runId}/events` };
  }

  async getRun(auth: AuthContext, target: Peer, runId: string, call: PeerCall): Promise<Run> {
    return runIn(target.stack_id, auth, runId, await askNode(this.#service(target), auth, this.#at('getRun', 'GET', `/v1/runs/${encodeURIComponent(runId)}`), call));
  }

  async cancelRun(auth: AuthContext, target: Peer, runId: string, call: PeerCall): Promise<Run> {
    return runIn(target.stack_id, auth, runId, await askNode(this.#service(target), auth, this.#at('cancelRun', 'POST', `/v1/runs/${encodeURIComponent(runId)}:cancel`), call));
  }

  async openEvents(auth: AuthContext, target: Peer, { runId, afterSequence }: { readonly runId: string; readonly afterSequence: number }, call: PeerCall): Promise<AsyncIterable<EventEnvelope>> {
    const asked = this.#at('openEvents', 'GET', `/v1/runs/${encodeURIComponent(runId)}/events?after_sequence=${afterSequence}`);
    return eventsIn(target.stack_id, auth, runId, await openNodeStream(this.#service(target), auth, asked, call));
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }

  #at(operation: keyof PeerPort, method: NodeRequest['method'], path: string, body?: unknown): NodeRequest {
    return { operation, method, url: new URL(`${this.#options.baseUrl.replace(/\/+$/, '')}${path}`).href, ...(body === undefined ? {} : { body }) };
  }

  #service({ stack_id: stackId }: Peer): NodeService {
    const { credentials, timeoutMs = DEFAULT_TIMEOUT_MS, tracing = null } = this.#options;
    return { stackId, dispatcher: this.#agent, timeoutMs, tracing, credentials: (auth) => credentials(auth) };
  }
}
