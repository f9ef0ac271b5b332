/** Agents in memory. */
import { MemoryAudit } from '../../platform/audit/audit-memory.ts';
import { auditRow, type AuditFacts } from '../../platform/audit/audit-row.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import type { AgentDraft, AgentPage, AgentPort, AgentRecord } from '../ports/agents.ts';
import { deed } from './audited-change.ts';
import { agentExists, isSameDefinition, nextVersion, noSuchAgent, noSuchVersion, splitDraft } from './agent-versions.ts';

export class MemoryAgents implements AgentPort {
  readonly #audit: MemoryAudit;
  /** By tenant, then by agent; the versions in order. */
  readonly #agents = new Map<string, Map<string, AgentRecord[]>>();

  constructor(audit = new MemoryAudit()) {
    this.#audit = audit;
  }

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
    return this.#put(auth, agent, 'create');
  }

  async replace(auth: AuthContext, agent: AgentDraft): Promise<AgentRecord> {
    this.#found(auth, agent.agentId);
    return this.#put(auth, agent, 'update');
  }

  async put(auth: AuthContext, agent: AgentDraft): Promise<AgentRecord> {
    return this.#put(auth, agent, 'put');
  }

  /** Of a tenant that was deleted. Answers how many there were. */
  forgetTenant(tenantId: string): number {
    const agents = this.#agents.get(tenantId)?.size ?? 0;
    this.#agents.delete(tenantId);
    return agents;
  }

  #put(auth: AuthContext, agent: AgentDraft, verb: string): AgentRecord {
    const { status, definition } = splitDraft(structuredClone(agent));
    const versions = this.#of(auth).get(agent.agentId) ?? [];
    const newest = versions.at(-1);
    const now = new Date().toISOString();
    if (newest !== undefined && isSameDefinition(newest, definition)) {
      if (newest.status === status) return structuredClone(newest);
      versions[versions.length - 1] = { ...newest, status, updatedAt: now };
      this.#note(auth, deed('agent', verb, agent.agentId, { version: newest.version, status }));
      return structuredClone(versions.at(-1)!);
    }
    const record: AgentRecord = { ...definition, version: nextVersion(newest), tenantId: auth.tenant_id, status, createdAt: newest?.createdAt ?? now, updatedAt: now };
    this.#of(auth).set(agent.agentId, [...versions, record]);
    this.#note(auth, deed('agent', verb, agent.agentId, { version: record.version, status }));
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
    return this.#put(auth, { ...earlier, status: versions.at(-1)!.status }, 'roll_back');
  }

  async delete(auth: AuthContext, agentId: string): Promise<void> {
    this.#found(auth, agentId);
    this.#of(auth).delete(agentId);
    this.#note(auth, deed('agent', 'delete', agentId));
  }

  #note(auth: AuthContext, facts: AuditFacts): void {
    this.#audit.add(auditRow('agent-orchestrator', auth, facts));
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
