/**
 * What a suite needs of an adapter: instances, fresh tenants, and an end. See README.md for the rules.
 */
import type { RunStatePort } from '../../services/agent-orchestrator/ports/run-state.ts';
import type { QueuePort } from '../../services/agent-orchestrator/ports/queue.ts';
import type { EventPort } from '../../services/agent-orchestrator/ports/events.ts';
import type { AgentPort } from '../../services/agent-orchestrator/ports/agents.ts';
import type { ModelPort } from '../../services/agent-orchestrator/ports/model.ts';
import type { ToolPort } from '../../services/agent-orchestrator/ports/tool.ts';
import type { MemoryPort } from '../../services/agent-orchestrator/ports/memory.ts';
import type { ProviderPort } from '../../services/model-policy/ports/provider.ts';
import type { PolicyRuleSet, PolicyRulesPort } from '../../services/model-policy/ports/policy-rules.ts';
import type { DirectoryPort } from '../../services/platform/tenancy/directory.ts';
import type { AuthContext } from '../../services/platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../services/platform/port.ts';

/** What every harness has. */
export interface Harness {
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

export interface MemoryHarness extends Harness {
  readonly memory: MemoryPort;
}

export interface ToolHarness extends Harness {
  readonly tools: ToolPort;
}

/** How the backend that the adapter talks to is to behave for the next calls. */
export type UpstreamMode = 'answers' | 'unavailable' | 'hangs' | 'rate-limited';

export interface ModelHarness extends Harness {
  readonly model: ModelPort;
  /** Steers the Model Policy that stands behind the adapter. */
  setUpstream(mode: UpstreamMode): Promise<void>;
}

export interface ProviderHarness extends Harness {
  readonly provider: ProviderPort;
  /** Absent for a backend that runs in this process and cannot fail so. */
  setUpstream?(mode: UpstreamMode): Promise<void>;
}

export interface PolicyRulesHarness extends Harness {
  readonly rules: PolicyRulesPort;
  /** Stores a rule set for a tenant, by whatever way the adapter has for it. */
  put(auth: AuthContext, rules: PolicyRuleSet): Promise<void>;
  /** Longest time the adapter may go on answering from a cache. */
  readonly staleMs: number;
}

export interface DirectoryHarness extends Harness {
  readonly directory: DirectoryPort;
  /** Longest time the adapter may go on answering from a cache. */
  readonly staleMs: number;
}

/** One row a port. Adding a port without a row (and a suite) does not pass `adapters.test.ts`. */
export interface PortHarnesses {
  'run-state': RunStoreHarness;
  queue: RunStoreHarness;
  events: RunStoreHarness;
  agents: AgentsHarness;
  model: ModelHarness;
  tool: ToolHarness;
  memory: MemoryHarness;
  provider: ProviderHarness;
  'policy-rules': PolicyRulesHarness;
  directory: DirectoryHarness;
}

export type PortName = keyof PortHarnesses;

export interface PortFactory<Name extends PortName = PortName> {
  readonly port: Name;
  /** Equal to `capabilities().adapter` and to the file's name after the port. */
  readonly adapter: string;
  create(): Promise<PortHarnesses[Name]>;
}

/** The major that the suites in this repository speak. */
export const CONTRACT_MAJOR = '1';

/** The instance of a harness that belongs to its port. */
export function instanceOf(port: PortName, harness: PortHarnesses[PortName]): { capabilities(): PortCapabilities } {
  const members: Record<PortName, string> = {
    'run-state': 'runState', queue: 'queue', events: 'events', agents: 'agents', model: 'model', tool: 'tools',
    memory: 'memory', provider: 'provider', 'policy-rules': 'rules', directory: 'directory',
  };
  return (harness as unknown as Record<string, { capabilities(): PortCapabilities }>)[members[port]]!;
}
