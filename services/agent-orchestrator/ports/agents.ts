/** AgentPort: the agents of a tenant, by id and version (PRS 4.1). */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';

export type AgentStatus = 'active' | 'inactive' | 'deprecated';

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
  readonly retry: { readonly modelAttempts: number; readonly toolAttempts: number };
}

export interface AgentRecord extends AgentDefinition {
  readonly tenantId: string;
  readonly status: AgentStatus;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface AgentPort {
  capabilities(): PortCapabilities;
  /** @throws AgentOsError not_found, also for another tenant's agent. */
  get(auth: AuthContext, agentId: string): Promise<AgentRecord>;
  list(auth: AuthContext, query: { readonly limit: number; readonly after?: string }): Promise<{ readonly agents: readonly AgentRecord[]; readonly hasMore: boolean }>;
  /** Creates the agent or replaces its definition; used by seeding. Idempotent for an equal definition. */
  put(auth: AuthContext, agent: AgentDefinition & { readonly status: AgentStatus }): Promise<AgentRecord>;
}
