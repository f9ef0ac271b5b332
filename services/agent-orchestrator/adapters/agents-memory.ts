/** Agents in memory. */
import { isDeepStrictEqual } from 'node:util';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { AgentDefinition, AgentPort, AgentRecord, AgentStatus } from '../ports/agents.ts';

export class MemoryAgents implements AgentPort {
  /** By tenant, then by agent. */
  readonly #agents = new Map<string, Map<string, AgentRecord>>();

  capabilities(): PortCapabilities {
    return { adapter: 'memory', contractVersion: '1.0', durable: false, features: [] };
  }

  async get(auth: AuthContext, agentId: string): Promise<AgentRecord> {
    const agent = this.#agents.get(auth.tenant_id)?.get(agentId);
    if (agent === undefined) throw new AgentOsError('not_found', { message: `There is no agent ${agentId}.`, details: { agent_id: agentId } });
    return structuredClone(agent);
  }

  async list(auth: AuthContext, query: { readonly limit: number; readonly after?: string }): Promise<{ readonly agents: readonly AgentRecord[]; readonly hasMore: boolean }> {
    const found = [...(this.#agents.get(auth.tenant_id)?.values() ?? [])]
      .filter((agent) => agent.agentId > (query.after ?? ''))
      .sort((a, b) => (a.agentId < b.agentId ? -1 : 1));
    return { agents: structuredClone(found.slice(0, query.limit)), hasMore: found.length > query.limit };
  }

  async put(auth: AuthContext, agent: AgentDefinition & { readonly status: AgentStatus }): Promise<AgentRecord> {
    const agents = this.#agents.get(auth.tenant_id) ?? new Map<string, AgentRecord>();
    this.#agents.set(auth.tenant_id, agents);
    const known = agents.get(agent.agentId);
    const now = new Date().toISOString();
    const record: AgentRecord = { ...structuredClone(agent), tenantId: auth.tenant_id, createdAt: known?.createdAt ?? now, updatedAt: now };
    if (known === undefined || !isDeepStrictEqual({ ...record, updatedAt: known.updatedAt }, known)) agents.set(agent.agentId, record);
    return structuredClone(agents.get(agent.agentId)!);
  }
}
