/**
 * What a suite needs of an adapter: instances, fresh tenants, and an end. See README.md for the rules.
 */
import type { AssertionUsesPort } from '../../services/federation/ports/assertion-uses.ts';
import type { ForwardIndexPort } from '../../services/federation/ports/forward-index.ts';
import type { PeerPort } from '../../services/federation/ports/peer.ts';
import type { ReplicaPort } from '../../services/federation/ports/replica.ts';
import type { RunStatePort } from '../../services/agent-orchestrator/ports/run-state.ts';
import type { QueuePort } from '../../services/agent-orchestrator/ports/queue.ts';
import type { EventPort } from '../../services/agent-orchestrator/ports/events.ts';
import type { AgentPort } from '../../services/agent-orchestrator/ports/agents.ts';
import type { ModelPort } from '../../services/agent-orchestrator/ports/model.ts';
import type { ToolPort } from '../../services/agent-orchestrator/ports/tool.ts';
import type { ToolRegistryPort } from '../../services/agent-orchestrator/ports/tool-registry.ts';
import type { MemoryPort } from '../../services/agent-orchestrator/ports/memory.ts';
import type { WebhookPort } from '../../services/agent-orchestrator/ports/webhooks.ts';
import type { ProviderPort } from '../../services/model-policy/ports/provider.ts';
import type { PolicyRulesPort } from '../../services/model-policy/ports/policy-rules.ts';
import type { CanaryStatePort } from '../../services/model-policy/ports/canary-state.ts';
import type { DecisionsPort } from '../../services/model-policy/ports/decisions.ts';
import type { UsagePort } from '../../services/model-policy/ports/usage.ts';
import type { AuditPort } from '../../services/platform/audit/audit.ts';
import type { SecretsPort } from '../../services/platform/secrets/secrets.ts';
import type { DirectoryPort } from '../../services/platform/tenancy/directory.ts';
import type { AuthContext } from '../../services/platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../services/platform/port.ts';
import type { Peer } from '../../generated/types/index.ts';
import type { NodeUpstream } from './node-upstream.ts';

export interface StoreOutage {
  /** From now on the store refuses connections, and those that are open are cut. */
  begin(): Promise<void>;
  end(): Promise<void>;
  /** The longest that a call may take to say so. */
  readonly limitMs: number;
}

/** What every harness has. */
export interface Harness {
  /** The store that the adapter keeps things in can be taken away and given back; for adapters that have one outside the process. */
  readonly outage?: StoreOutage;
  /** An auth context of a tenant nobody used before, known to the adapter's store. */
  newTenant(): Promise<AuthContext>;
  /** Closes pools, servers and timers; afterwards nothing of the harness keeps the process alive. */
  dispose(): Promise<void>;
}

/** The three ports of one run store; they share it, so they come together. */
export interface RunStores {
  readonly runState: RunStatePort;
  readonly queue: QueuePort;
  readonly events: EventPort;
}

export interface RunStoreHarness extends Harness, RunStores {
  /** New instances over the same store, as another process would have them; only where the adapter is durable. */
  restart?(): Promise<RunStores & { close(): Promise<void> }>;
}

export interface AgentsHarness extends Harness {
  readonly agents: AgentPort;
}

/** Deliveries come into being where events are stored, so the run store belongs to it. */
export interface WebhooksHarness extends RunStoreHarness {
  readonly webhooks: WebhookPort;
}

export interface MemoryHarness extends Harness {
  readonly memory: MemoryPort;
}

export interface ToolHarness extends Harness {
  readonly tools: ToolPort;
  /**
   * Ids of tools that every tenant of the harness has; all take `{text}`. `echo` answers it, `slow` never answers,
   * `failing` says that it failed with the words "no such city", `misfit` breaks its own output schema. Absent where
   * the adapter has no such tool.
   */
  readonly ids: { readonly echo: string; readonly slow?: string; readonly failing?: string; readonly misfit?: string };
}

export interface ToolRegistryHarness extends Harness {
  readonly registry: ToolRegistryPort;
}

/**
 * How the backend that the adapter talks to is to behave for the next calls: `forbids` says no to this caller, `fails`
 * is its own trouble (500), `babbles` answers 200 with something that is no answer.
 */
export type UpstreamMode = 'answers' | 'unavailable' | 'hangs' | 'rate-limited' | 'forbids' | 'fails' | 'babbles';

export interface ModelHarness extends Harness {
  readonly model: ModelPort;
  /** Steers the Model Policy that stands behind the adapter. */
  setUpstream(mode: UpstreamMode): Promise<void>;
}

/** The last four are about streams: the connection breaks, the answer ends without its end, an error comes in the middle, or nothing more. */
export type ProviderUpstreamMode = 'answers' | 'unavailable' | 'hangs' | 'rate-limited' | 'overloaded' | 'truncates' | 'ends-early' | 'fails-midway' | 'stalls';

export interface ProviderHarness extends Harness {
  readonly provider: ProviderPort;
  /** Absent for a backend that runs in this process and cannot fail so. */
  readonly upstream?: {
    set(mode: ProviderUpstreamMode): void;
    /** Calls that arrived so far. */
    calls(): number;
    /** Of these, the ones that have neither been answered to the end nor given up. */
    open(): number;
    /** Connections that are there now, idle ones included. */
    connections(): number;
    /** The key that the adapter was given: it must show nowhere. */
    readonly key: string;
  };
}

export interface PolicyRulesHarness extends Harness {
  readonly rules: PolicyRulesPort;
  /** Longest time the adapter may go on answering from a cache. */
  readonly staleMs: number;
}

export interface UsageHarness extends Harness {
  readonly usage: UsagePort;
  /** Another process over the same store; only where the adapter is durable. */
  another?(): Promise<{ readonly usage: UsagePort; close(): Promise<void> }>;
  /** Moves the clock that windows are made by. */
  turnClock(ms: number): void;
}

export interface DecisionsHarness extends Harness {
  readonly decisions: DecisionsPort;
}

/** It belongs to the node, so a harness starts without any roll-back. */
export interface CanaryStateHarness extends Harness {
  readonly canaryState: CanaryStatePort;
}

/** It belongs to the node. */
export interface AssertionUsesHarness extends Harness {
  readonly uses: AssertionUsesPort;
  /** Another process over the same store; only where the adapter is durable. */
  another?(): Promise<{ readonly uses: AssertionUsesPort; close(): Promise<void> }>;
}

export interface ReplicaHarness extends Harness {
  readonly replica: ReplicaPort;
  /** Another process over the same store; only where the adapter is durable. */
  another?(): Promise<{ readonly replica: ReplicaPort; close(): Promise<void> }>;
}

export interface DirectoryHarness extends Harness {
  readonly directory: DirectoryPort;
  /** Longest time the adapter may go on answering from a cache. */
  readonly staleMs: number;
}

export interface AuditHarness extends Harness {
  readonly audit: AuditPort;
}

/** How the keeper of the secrets is to behave for the next reads; `silent` takes the question and never answers. */
export type KeeperMode = 'answers' | 'forbids' | 'away' | 'rate-limited' | 'babbles' | 'silent';

export interface SecretsHarness extends Harness {
  readonly secrets: SecretsPort;
  /** Stores a secret, or a new version of it, and answers the name that the port finds it by. */
  put(id: string, value: string): Promise<string>;
  remove(id: string): Promise<void>;
  /** Absent where the keeper is this process or its disk. */
  setKeeper?(mode: KeeperMode): Promise<void>;
}

export interface ForwardIndexHarness extends Harness {
  readonly index: ForwardIndexPort;
  /** New instances over the same store, as another process would have them; only where the adapter is durable. */
  restart?(): Promise<{ readonly index: ForwardIndexPort; close(): Promise<void> }>;
  /** All that is stored is that much older afterwards. */
  letHoursPass(hours: number): Promise<void>;
  /** Milliseconds, by the clock that counts. */
  now(): number;
}

export interface PeerHarness extends Harness {
  readonly peer: PeerPort;
  /** The node behind the adapter. */
  readonly target: Peer;
  readonly node: NodeUpstream;
}

/** One row a port. Adding a port without a row (and a suite) does not pass `adapters.test.ts`. */
export interface PortHarnesses {
  'run-state': RunStoreHarness;
  queue: RunStoreHarness;
  events: RunStoreHarness;
  agents: AgentsHarness;
  model: ModelHarness;
  tool: ToolHarness;
  'tool-registry': ToolRegistryHarness;
  memory: MemoryHarness;
  provider: ProviderHarness;
  'policy-rules': PolicyRulesHarness;
  usage: UsageHarness;
  decisions: DecisionsHarness;
  'canary-state': CanaryStateHarness;
  directory: DirectoryHarness;
  audit: AuditHarness;
  webhooks: WebhooksHarness;
  secrets: SecretsHarness;
  replica: ReplicaHarness;
  'forward-index': ForwardIndexHarness;
  peer: PeerHarness;
  'assertion-uses': AssertionUsesHarness;
}

export type PortName = keyof PortHarnesses;

export interface PortFactory<Name extends PortName = PortName> {
  readonly port: Name;
  /** Equal to `capabilities().adapter` and to the file's name after the port. */
  readonly adapter: string;
  create(): Promise<PortHarnesses[Name]>;
  /** Why this adapter cannot be tested on this machine, which skips its suite; null when it can. Throws in CI. */
  unavailable?(): Promise<string | null>;
}

/** The major that the suites in this repository speak. */
export const CONTRACT_MAJOR = '1';

/** Names that `capabilities().features` may hold, by port. A name that is declared is exercised; one that is not is refused. */
export const KNOWN_FEATURES: Readonly<Record<PortName, readonly string[]>> = {
  'run-state': ['fencing', 'idempotency', 'group_commit', 'handover', 'retention'],
  queue: ['fair', 'parking', 'cross_process_wake', 'hint_replay'],
  events: ['cross_process_wake', 'hint_replay'],
  agents: ['versions'],
  model: [],
  tool: [],
  'tool-registry': [],
  memory: ['keyword_search', 'vector_search', 'pgvector'],
  provider: ['chat', 'stream', 'embed', 'tools', 'stop', 'seed', 'json_schema', 'dimensions', 'deterministic'],
  'policy-rules': ['put'],
  directory: [],
  audit: [],
  usage: [],
  decisions: [],
  'canary-state': [],
  webhooks: [],
  secrets: ['fields'],
  replica: [],
  'forward-index': [],
  peer: [],
  'assertion-uses': [],
};

/** What stands in a harness: the instance first, then what else the port's suite needs. */
export const HARNESS_MEMBERS: Readonly<Record<PortName, readonly [instance: string, ...others: string[]]>> = {
  'run-state': ['runState', 'queue', 'events'],
  queue: ['queue', 'runState', 'events'],
  events: ['events', 'runState', 'queue'],
  agents: ['agents'],
  model: ['model', 'setUpstream'],
  tool: ['tools'],
  'tool-registry': ['registry'],
  memory: ['memory'],
  provider: ['provider'],
  'policy-rules': ['rules', 'put', 'staleMs'],
  directory: ['directory', 'staleMs'],
  audit: ['audit'],
  usage: ['usage'],
  decisions: ['decisions'],
  'canary-state': ['canaryState'],
  webhooks: ['webhooks', 'runState', 'queue', 'events'],
  secrets: ['secrets', 'put', 'remove'],
  replica: ['replica'],
  'forward-index': ['index', 'letHoursPass', 'now'],
  peer: ['peer', 'target', 'node'],
  'assertion-uses': ['uses'],
};

/** The instance of a harness that belongs to its port. */
export function instanceOf(port: PortName, harness: PortHarnesses[PortName]): { capabilities(): PortCapabilities } {
  return (harness as unknown as Record<string, { capabilities(): PortCapabilities }>)[HARNESS_MEMBERS[port][0]]!;
}
