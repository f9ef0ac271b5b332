/** Agents in memory. */
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AgentDraft, AgentPage, AgentPort, AgentRecord } from '../ports/agents.ts';
import { agentExists, isSameDefinition, nextVersion, noSuchAgent, noSuchVersion, splitDraft } from './agent-versions.ts';

export class MemoryAgents implements AgentPort {
  /** By tenant, then by agent; the versions in order. */
  readonly #agents = new Map<string, Map<string, AgentRecord[]>>();

  capabilities(): PortCapabilities {
    return { adapter: 'memory', contractVersion: '1.1', durable: false, features: ['versions'] };
  }

  async get(auth: AuthContext, agentId: string): Promise<AgentRecord> {
    return structuredClone(this.#found(auth, agentId).at(-1)!);
  }

  async list(auth: AuthContext, query: { readonly limit: number; readonly after?: string }): Promise<AgentPage> {
    const found = [...this.#of(auth).values()]
      .map((versions) => versions.at(-1)!)
      .filter((agent) => agent.agentId > (query.after ?? ''))
      .sort((a, b) => (a.agentId < b.agentId ? -1 : 1));
    return { agents: structuredClone(found.slice(0, query.limit)), hasMore: found.length > query.limit };
  }

  async create(auth: AuthContext, agent: AgentDraft): Promise<AgentRecord> {
    if (this.#of(auth).has(agent.agentId)) throw agentExists(agent.agentId);
    return this.put(auth, agent);
  }

  async replace(auth: AuthContext, agent: AgentDraft): Promise<AgentRecord> {
    this.#found(auth, agent.agentId);
    return this.put(auth, agent);
  }

  async put(auth: AuthContext, agent: AgentDraft): Promise<AgentRecord> {
    const { status, definition } = splitDraft(structuredClone(agent));
    const versions = this.#of(auth).get(agent.agentId) ?? [];
    const newest = versions.at(-1);
    const now = new Date().toISOString();
    if (newest !== undefined && isSameDefinition(newest, definition)) {
      if (newest.status !== status) versions[versions.length - 1] = { ...newest, status, updatedAt: now };
      return structuredClone(versions.at(-1)!);
    }
    const record: AgentRecord = { ...definition, version: nextVersion(newest), tenantId: auth.tenant_id, status, createdAt: newest?.createdAt ?? now, updatedAt: now };
    this.#of(auth).set(agent.agentId, [...versions, record]);
    return structuredClone(record);
  }

  async versions(auth: AuthContext, agentId: string, query: { readonly limit: number; readonly after?: string }): Promise<AgentPage> {
    const before = query.after === undefined ? Number.POSITIVE_INFINITY : Number(query.after);
    const versions = this.#found(auth, agentId);
    const found = versions.filter((agent) => Number(agent.version) < before).map((agent) => ({ ...agent, status: versions.at(-1)!.status })).reverse();
    return { agents: structuredClone(found.slice(0, query.limit)), hasMore: found.length > query.limit };
  }

  async rollBack(auth: AuthContext, agentId: string, version: string): Promise<AgentRecord> {
    const versions = this.#found(auth, agentId);
    const earlier = versions.find((agent) => agent.version === version);
    if (earlier === undefined) throw noSuchVersion(agentId, version);
    return this.put(auth, { ...earlier, status: versions.at(-1)!.status });
  }

  async delete(auth: AuthContext, agentId: string): Promise<void> {
    this.#found(auth, agentId);
    this.#of(auth).delete(agentId);
  }

  #of(auth: AuthContext): Map<string, AgentRecord[]> {
    const agents = this.#agents.get(auth.tenant_id) ?? new Map<string, AgentRecord[]>();
    this.#agents.set(auth.tenant_id, agents);
    return agents;
  }

  /** @throws AgentOsError not_found. */
  #found(auth: AuthContext, agentId: string): AgentRecord[] {
    const versions = this.#of(auth).get(agentId);
    if (versions === undefined) throw noSuchAgent(agentId);
    return versions;
  }
}
