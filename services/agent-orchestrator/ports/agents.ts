/** AgentPort: the agents of a tenant, by id and version (PRS 4.1). */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';

export type AgentStatus = 'active' | 'inactive' | 'deprecated';

/**
 * What a run of the agent may reach, whatever its model says. An absent list allows all of its kind, but for `agents`,
 * where absent allows none. An entry that ends in `*` stands for every name that begins so.
 */
export interface AgentPermissions {
  /** Agents that `tool.agent.invoke` may run. */
  readonly agents?: readonly string[];
  /** Namespaces of the tenant's memory. */
  readonly memory?: { readonly read?: readonly string[]; readonly write?: readonly string[] };
  /** Hosts that may be called; `*.example.com` stands for every host below it. */
  readonly hosts?: readonly string[];
  /** Principals that may run the agent. */
  readonly principals?: readonly string[];
}

/**
 * `tell_model`: only failures of transport are tried again, then the model reads the error. `retry`: every failure that
 * a second attempt can change is tried again, then the model reads it. `abort`: the run fails with `tool_failed`.
 */
export type OnToolFailure = 'retry' | 'tell_model' | 'abort';

/** What the runtime executes. Stored with each run as it was at creation. */
export interface AgentDefinition {
  readonly agentId: string;
  readonly version: string;
  readonly name: string;
  readonly description: string;
  readonly instructions: string;
  /** `tier:balanced` or a model id. */
  readonly modelRef: string;
  readonly requirements: {
    readonly maxLatencyMs?: number;
    readonly maxCostUsd?: number;
    readonly minContextTokens?: number;
  };
  /** Tool ids the agent may call; the tenant's entitlement and the request narrow it further. */
  readonly tools: readonly string[];
  /** `auto`, `none`, or the id of a tool to be called first. */
  readonly toolChoice: string;
  readonly limits: { readonly maxSteps: number; readonly timeoutMs: number; readonly toolTimeoutMs: number; readonly modelTimeoutMs: number };
  readonly retry: {
    readonly modelAttempts: number;
    readonly toolAttempts: number;
    /** First pause between attempts; it doubles up to `maxBackoffMs`. */
    readonly backoffMs?: number;
    readonly maxBackoffMs?: number;
  };
  readonly permissions?: AgentPermissions;
  /** `tell_model` when absent. */
  readonly onToolFailure?: OnToolFailure;
}

/** An agent as somebody writes it: the version is the store's to give. */
export type AgentDraft = Omit<AgentDefinition, 'version'> & { readonly status: AgentStatus };

export interface AgentRecord extends AgentDefinition {
  readonly tenantId: string;
  readonly status: AgentStatus;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface AgentPage {
  readonly agents: readonly AgentRecord[];
  readonly hasMore: boolean;
}

/**
 * Versions are `1`, `2`, … An equal definition makes no version and moves no time; a status that changes alone changes
 * the newest version's row and makes none either.
 */
export interface AgentPort {
  capabilities(): PortCapabilities;
  /** The newest version. @throws AgentOsError not_found, also for another tenant's agent. */
  get(auth: AuthContext, agentId: string): Promise<AgentRecord>;
  list(auth: AuthContext, query: { readonly limit: number; readonly after?: string }): Promise<AgentPage>;
  /** Stores version 1. @throws AgentOsError conflict, reason `agent_exists`. */
  create(auth: AuthContext, agent: AgentDraft): Promise<AgentRecord>;
  /** Makes the definition the newest version. @throws AgentOsError not_found. */
  replace(auth: AuthContext, agent: AgentDraft): Promise<AgentRecord>;
  /** Creates or replaces; used by seeding. */
  put(auth: AuthContext, agent: AgentDraft): Promise<AgentRecord>;
  /** One record a version, newest first; `after` is a version. @throws AgentOsError not_found. */
  versions(auth: AuthContext, agentId: string, query: { readonly limit: number; readonly after?: string }): Promise<AgentPage>;
  /** Makes a new version with the definition of an earlier one. @throws AgentOsError not_found (agent or version). */
  rollBack(auth: AuthContext, agentId: string, version: string): Promise<AgentRecord>;
  /** Removes the agent with all its versions. @throws AgentOsError not_found. */
  delete(auth: AuthContext, agentId: string): Promise<void>;
}
