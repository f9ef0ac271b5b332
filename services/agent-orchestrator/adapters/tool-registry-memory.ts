/** A tenant's tools in memory. */
import { isDeepStrictEqual } from 'node:util';
import { MemoryAudit } from '../../platform/audit/audit-memory.ts';
import { auditRow, type AuditFacts } from '../../platform/audit/audit-row.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import { MAX_MCP_SERVERS, MAX_WEBHOOK_TOOLS, type CallRate, type CallVerdict, type McpServer, type McpServerRecord, type ToolRegistrations, type ToolRegistryPort, type WebhookTool, type WebhookToolRecord } from '../ports/tool-registry.ts';
import { deed } from './audited-change.ts';
import { noSuchServer, noSuchTool, rateOf, retryAfterMs, serverExists, tooManyServers, tooManyTools, toolExists } from './tool-registrations.ts';

interface TenantTools {
  readonly tools: Map<string, WebhookToolRecord>;
  readonly servers: Map<string, McpServerRecord>;
  /** By bucket: when the next call would arrive if calls came evenly. */
  readonly arrivalsMs: Map<string, number>;
}

const UNKNOWN = { state: 'unknown', error: null, checkedAt: null } as const;

export class MemoryToolRegistry implements ToolRegistryPort {
  readonly #audit: MemoryAudit;
  readonly #tenants = new Map<string, TenantTools>();

  constructor(audit = new MemoryAudit()) {
    this.#audit = audit;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'memory', contractVersion: '1.0', durable: false, features: [] };
  }

  async load(auth: AuthContext): Promise<ToolRegistrations> {
    const { tools, servers } = this.#of(auth);
    const sorted = <Record>(records: Map<string, Record>): Record[] => [...records.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, record]) => structuredClone(record));
    return { tools: sorted(tools), servers: sorted(servers) };
  }

  async createTool(auth: AuthContext, tool: WebhookTool, sealedSecret: string): Promise<WebhookToolRecord> {
    const { tools } = this.#of(auth);
    if (tools.has(tool.toolId)) throw toolExists(tool.toolId);
    if (tools.size >= MAX_WEBHOOK_TOOLS) throw tooManyTools();
    this.#note(auth, deed('tool', 'create', tool.toolId));
    return this.#putTool(auth, tool, sealedSecret);
  }

  async replaceTool(auth: AuthContext, tool: WebhookTool, sealedSecret: string | null): Promise<WebhookToolRecord> {
    const known = this.#of(auth).tools.get(tool.toolId);
    if (known === undefined) throw noSuchTool(tool.toolId);
    this.#note(auth, deed('tool', 'update', tool.toolId, { rotated: sealedSecret !== null }));
    return this.#putTool(auth, tool, sealedSecret ?? known.sealedSecret);
  }

  async deleteTool(auth: AuthContext, toolId: string): Promise<void> {
    const { tools, arrivalsMs } = this.#of(auth);
    if (!tools.delete(toolId)) throw noSuchTool(toolId);
    arrivalsMs.delete(toolId);
    this.#note(auth, deed('tool', 'delete', toolId));
  }

  /** Of a tenant that was deleted. Answers how many tools and servers there were. */
  forgetTenant(tenantId: string): number {
    const known = this.#tenants.get(tenantId);
    this.#tenants.delete(tenantId);
    return known === undefined ? 0 : known.tools.size + known.servers.size;
  }

  async createServer(auth: AuthContext, server: McpServer, sealedHeaders: string | null): Promise<McpServerRecord> {
    const { servers } = this.#of(auth);
    if (servers.has(server.serverId)) throw serverExists(server.serverId);
    if (servers.size >= MAX_MCP_SERVERS) throw tooManyServers();
    this.#note(auth, deed('mcp_server', 'create', server.serverId));
    return this.#putServer(auth, server, sealedHeaders);
  }

  async replaceServer(auth: AuthContext, server: McpServer, sealedHeaders: string | null | undefined): Promise<McpServerRecord> {
    const known = this.#of(auth).servers.get(server.serverId);
    if (known === undefined) throw noSuchServer(server.serverId);
    this.#note(auth, deed('mcp_server', 'update', server.serverId, { rotated: sealedHeaders !== undefined }));
    return this.#putServer(auth, server, sealedHeaders === undefined ? known.sealedHeaders : sealedHeaders);
  }

  async deleteServer(auth: AuthContext, serverId: string): Promise<void> {
    if (!this.#of(auth).servers.delete(serverId)) throw noSuchServer(serverId);
    this.#note(auth, deed('mcp_server', 'delete', serverId));
  }

  async recordServer(auth: AuthContext, server: Parameters<ToolRegistryPort['recordServer']>[1], seen: Parameters<ToolRegistryPort['recordServer']>[2]): Promise<void> {
    const { servers } = this.#of(auth);
    const known = servers.get(server.serverId);
    if (known === undefined || known.updatedAt !== server.updatedAt) return;
    servers.set(server.serverId, { ...known, tools: structuredClone(seen.tools ?? known.tools), status: { state: seen.state, error: seen.error, checkedAt: new Date().toISOString() } });
  }

  async takeCall(auth: AuthContext, rates: readonly CallRate[]): Promise<CallVerdict> {
    const { arrivalsMs } = this.#of(auth);
    const nowMs = Date.now();
    for (const { bucket, perMinute } of rates) {
      const { toleranceMs } = rateOf(perMinute);
      const arrivalMs = arrivalsMs.get(bucket) ?? 0;
      if (arrivalMs - nowMs > toleranceMs) return { allowed: false, bucket, retryAfterMs: retryAfterMs(arrivalMs, nowMs, toleranceMs) };
    }
    for (const { bucket, perMinute } of rates) arrivalsMs.set(bucket, Math.max(arrivalsMs.get(bucket) ?? 0, nowMs) + rateOf(perMinute).intervalMs);
    return { allowed: true };
  }

  #note(auth: AuthContext, facts: AuditFacts): void {
    this.#audit.add(auditRow('agent-orchestrator', auth, facts));
  }

  #of(auth: AuthContext): TenantTools {
    const known = this.#tenants.get(auth.tenant_id) ?? { tools: new Map(), servers: new Map(), arrivalsMs: new Map() };
    this.#tenants.set(auth.tenant_id, known);
    return known;
  }

  #putTool(auth: AuthContext, tool: WebhookTool, sealedSecret: string): WebhookToolRecord {
    const { tools } = this.#of(auth);
    const known = tools.get(tool.toolId);
    const updatedAt = changed(known?.updatedAt);
    const record = { ...structuredClone(tool), sealedSecret, createdAt: known?.createdAt ?? updatedAt, updatedAt };
    if (known === undefined || !isDeepStrictEqual({ ...record, updatedAt: known.updatedAt }, known)) tools.set(tool.toolId, record);
    return structuredClone(tools.get(tool.toolId)!);
  }

  #putServer(auth: AuthContext, server: McpServer, sealedHeaders: string | null): McpServerRecord {
    const { servers } = this.#of(auth);
    const known = servers.get(server.serverId);
    const updatedAt = changed(known?.updatedAt);
    const record = { ...structuredClone(server), sealedHeaders, tools: [], status: UNKNOWN, createdAt: known?.createdAt ?? updatedAt, updatedAt };
    servers.set(server.serverId, record);
    return structuredClone(record);
  }
}

/** Later than before, also within one millisecond: readers tell definitions apart by it. */
const changed = (before: string | undefined): string => new Date(Math.max(Date.now(), before === undefined ? 0 : Date.parse(before) + 1)).toISOString();
