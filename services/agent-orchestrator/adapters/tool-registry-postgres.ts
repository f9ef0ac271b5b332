/** A tenant's tools in Postgres: a row a tool, a row a server, a row a rate. */
import type pg from 'pg';
import type { AuditFacts } from '../../platform/audit/audit-row.ts';
import { AuditTrail } from '../../platform/audit/audit-trail.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import { withTenant } from '../../platform/db/transaction.ts';
import { MAX_MCP_SERVERS, MAX_WEBHOOK_TOOLS, type CallRate, type CallVerdict, type McpServer, type McpServerRecord, type McpTool, type ToolRegistrations, type ToolRegistryPort, type WebhookTool, type WebhookToolRecord } from '../ports/tool-registry.ts';
import { changeAsTenant, deed } from './audited-change.ts';
import { readAsTenant, readScoped, scoped, type Statement } from './postgres-read.ts';
import { isoTime } from './run-rows.ts';
import { noSuchServer, noSuchTool, rateOf, retryAfterMs, serverExists, tooManyServers, tooManyTools, toolExists } from './tool-registrations.ts';

const epochMs = (column: string): string => `(extract(epoch FROM ${column}) * 1000)::float8`;
const TIMES = `${epochMs('t.created_at')} AS created_ms, ${epochMs('t.updated_at')} AS updated_ms`;
const TOOL = `t.definition, t.sealed_secret AS sealed, ${TIMES}`;
const SERVER = `t.definition, t.sealed_headers AS sealed, ${TIMES}, t.tools, t.state, t.error, ${epochMs('t.checked_at')} AS checked_ms`;
/** Times are read in milliseconds, and a definition is told from its successor by its time. */
const NEXT_TIME = `GREATEST(date_trunc('milliseconds', clock_timestamp()), t.updated_at + interval '1 millisecond')`;

const LOAD = scoped('ao_tools_load', `
  SELECT 'tool' AS kind, t.tool_id AS id, ${TOOL}, NULL::json AS tools, NULL AS state, NULL AS error, NULL::float8 AS checked_ms FROM orchestrator.tools t WHERE t.tenant_id = s.tenant_id
  UNION ALL SELECT 'server', t.server_id, ${SERVER} FROM orchestrator.mcp_servers t WHERE t.tenant_id = s.tenant_id`);

/** `$5` rows at most; a row that is there answers nothing as well, which the count tells apart. */
const create = (name: string, table: string, id: string, sealed: string, columns: string) => ({
  name,
  text: `WITH made AS (
      INSERT INTO orchestrator.${table} AS t (tenant_id, ${id}, definition, ${sealed}, created_at, updated_at)
      SELECT $1, $2, $3::json, $4, date_trunc('milliseconds', now()), date_trunc('milliseconds', now())
      WHERE (SELECT count(*) FROM orchestrator.${table} c WHERE c.tenant_id = $1) < $5
      ON CONFLICT (tenant_id, ${id}) DO NOTHING RETURNING ${columns})
    SELECT made.*, EXISTS (SELECT FROM orchestrator.${table} c WHERE c.tenant_id = $1 AND c.${id} = $2) AS existed FROM (SELECT) one LEFT JOIN made ON true`,
});

const CREATE_TOOL = create('ao_tool_create', 'tools', 'tool_id', 'sealed_secret', TOOL);
const CREATE_SERVER = create('ao_mcp_create', 'mcp_servers', 'server_id', 'sealed_headers', SERVER);
const REPLACE_TOOL = {
  name: 'ao_tool_replace',
  text: `UPDATE orchestrator.tools t SET definition = $3::json, sealed_secret = COALESCE($4, t.sealed_secret),
      updated_at = CASE WHEN $4::text IS NULL AND t.definition::jsonb = $3::jsonb THEN t.updated_at ELSE ${NEXT_TIME} END
    WHERE t.tenant_id = $1 AND t.tool_id = $2 RETURNING ${TOOL}`,
};
const REPLACE_SERVER = {
  name: 'ao_mcp_replace',
  text: `UPDATE orchestrator.mcp_servers t SET definition = $3::json, sealed_headers = CASE WHEN $5 THEN t.sealed_headers ELSE $4 END,
      tools = '[]', state = 'unknown', error = NULL, checked_at = NULL, updated_at = ${NEXT_TIME}
    WHERE t.tenant_id = $1 AND t.server_id = $2 RETURNING ${SERVER}`,
};
const DELETE_TOOL = {
  name: 'ao_tool_delete',
  text: `WITH gone AS (DELETE FROM orchestrator.tools WHERE tenant_id = $1 AND tool_id = $2 RETURNING tool_id),
      rate AS (DELETE FROM orchestrator.tool_rates WHERE tenant_id = $1 AND bucket = $2)
    SELECT tool_id FROM gone`,
};
const DELETE_SERVER = { name: 'ao_mcp_delete', text: 'DELETE FROM orchestrator.mcp_servers WHERE tenant_id = $1 AND server_id = $2 RETURNING server_id' };
const RECORD_SERVER = {
  name: 'ao_mcp_record',
  text: `UPDATE orchestrator.mcp_servers t SET tools = COALESCE($3::json, t.tools), state = $4, error = $5, checked_at = clock_timestamp()
    WHERE t.tenant_id = $1 AND t.server_id = $2 AND t.updated_at = $6::timestamptz`,
};
/** GCRA: `$3` milliseconds between even calls, `$4` how far ahead of them a burst may be. */
const TAKE = {
  name: 'ao_tool_take',
  text: `WITH clock AS MATERIALIZED (SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS ms),
    taken AS (
      INSERT INTO orchestrator.tool_rates AS r (tenant_id, bucket, arrival_ms) SELECT $1, $2, clock.ms + $3::float8 FROM clock
      ON CONFLICT (tenant_id, bucket) DO UPDATE SET arrival_ms = GREATEST(r.arrival_ms, excluded.arrival_ms - $3::float8) + $3::float8
        WHERE r.arrival_ms - (excluded.arrival_ms - $3::float8) <= $4::float8
      RETURNING bucket)
    SELECT EXISTS (SELECT FROM taken) AS allowed, clock.ms AS now_ms,
      (SELECT r.arrival_ms FROM orchestrator.tool_rates r WHERE r.tenant_id = $1 AND r.bucket = $2) AS arrival_ms FROM clock`,
};

interface ToolRow extends pg.QueryResultRow {
  readonly definition: WebhookTool;
  readonly sealed: string;
  readonly created_ms: number;
  readonly updated_ms: number;
}

interface ServerRow extends pg.QueryResultRow {
  readonly definition: McpServer;
  readonly sealed: string | null;
  readonly created_ms: number;
  readonly updated_ms: number;
  readonly tools: readonly McpTool[];
  readonly state: McpServerRecord['status']['state'];
  readonly error: string | null;
  readonly checked_ms: number | null;
}

const toolOf = (row: ToolRow): WebhookToolRecord => ({ ...row.definition, sealedSecret: row.sealed, createdAt: isoTime(row.created_ms), updatedAt: isoTime(row.updated_ms) });

const serverOf = (row: ServerRow): McpServerRecord => ({
  ...row.definition,
  sealedHeaders: row.sealed,
  tools: row.tools,
  status: { state: row.state, error: row.error, checkedAt: row.checked_ms === null ? null : isoTime(row.checked_ms) },
  createdAt: isoTime(row.created_ms),
  updatedAt: isoTime(row.updated_ms),
});

class Denied extends Error {
  readonly verdict: CallVerdict;

  constructor(verdict: CallVerdict) {
    super('The rate is used up.');
    this.verdict = verdict;
  }
}

export class PostgresToolRegistry implements ToolRegistryPort {
  readonly #pool: pg.Pool;
  readonly #trail: AuditTrail;

  constructor(pool: pg.Pool, trail: AuditTrail = new AuditTrail({ service: 'agent-orchestrator' })) {
    this.#pool = pool;
    this.#trail = trail;
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.0', durable: true, features: [] };
  }

  async load(auth: AuthContext): Promise<ToolRegistrations> {
    const rows = await readScoped<(ToolRow | ServerRow) & { kind: 'tool' | 'server'; id: string }>(this.#pool, LOAD, [auth.tenant_id]);
    rows.sort((a, b) => (a.id < b.id ? -1 : 1));
    return {
      tools: rows.filter((row) => row.kind === 'tool').map((row) => toolOf(row as ToolRow)),
      servers: rows.filter((row) => row.kind === 'server').map((row) => serverOf(row as ServerRow)),
    };
  }

  async createTool(auth: AuthContext, tool: WebhookTool, sealedSecret: string): Promise<WebhookToolRecord> {
    const [row] = await this.#change<ToolRow & { existed: boolean }>(auth, CREATE_TOOL, [auth.tenant_id, tool.toolId, JSON.stringify(tool), sealedSecret, MAX_WEBHOOK_TOOLS], deed('tool', 'create', tool.toolId));
    if (row!.definition === null) throw row!.existed || !(await this.#isFull(auth, 'tools')) ? toolExists(tool.toolId) : tooManyTools();
    return toolOf(row!);
  }

  async replaceTool(auth: AuthContext, tool: WebhookTool, sealedSecret: string | null): Promise<WebhookToolRecord> {
    const [row] = await this.#change<ToolRow>(auth, REPLACE_TOOL, [auth.tenant_id, tool.toolId, JSON.stringify(tool), sealedSecret], deed('tool', 'update', tool.toolId, { rotated: sealedSecret !== null }));
    if (row === undefined) throw noSuchTool(tool.toolId);
    return toolOf(row);
  }

  async deleteTool(auth: AuthContext, toolId: string): Promise<void> {
    if ((await this.#change(auth, DELETE_TOOL, [auth.tenant_id, toolId], deed('tool', 'delete', toolId))).length === 0) throw noSuchTool(toolId);
  }

  async createServer(auth: AuthContext, server: McpServer, sealedHeaders: string | null): Promise<McpServerRecord> {
    const [row] = await this.#change<ServerRow & { existed: boolean }>(auth, CREATE_SERVER, [auth.tenant_id, server.serverId, JSON.stringify(server), sealedHeaders, MAX_MCP_SERVERS], deed('mcp_server', 'create', server.serverId));
    if (row!.definition === null) throw row!.existed || !(await this.#isFull(auth, 'servers')) ? serverExists(server.serverId) : tooManyServers();
    return serverOf(row!);
  }

  async replaceServer(auth: AuthContext, server: McpServer, sealedHeaders: string | null | undefined): Promise<McpServerRecord> {
    const values = [auth.tenant_id, server.serverId, JSON.stringify(server), sealedHeaders ?? null, sealedHeaders === undefined];
    const [row] = await this.#change<ServerRow>(auth, REPLACE_SERVER, values, deed('mcp_server', 'update', server.serverId, { rotated: sealedHeaders !== undefined }));
    if (row === undefined) throw noSuchServer(server.serverId);
    return serverOf(row);
  }

  async deleteServer(auth: AuthContext, serverId: string): Promise<void> {
    if ((await this.#change(auth, DELETE_SERVER, [auth.tenant_id, serverId], deed('mcp_server', 'delete', serverId))).length === 0) throw noSuchServer(serverId);
  }

  async recordServer(auth: AuthContext, server: Parameters<ToolRegistryPort['recordServer']>[1], seen: Parameters<ToolRegistryPort['recordServer']>[2]): Promise<void> {
    const tools = seen.tools === null ? null : JSON.stringify(seen.tools);
    await readAsTenant(this.#pool, auth.tenant_id, RECORD_SERVER, [auth.tenant_id, server.serverId, tools, seen.state, seen.error, server.updatedAt]);
  }

  async takeCall(auth: AuthContext, rates: readonly CallRate[]): Promise<CallVerdict> {
    // In one order for everybody, so that two calls never wait for each other.
    const ordered = [...rates].sort((a, b) => (a.bucket < b.bucket ? -1 : 1));
    try {
      await withTenant(this.#pool, auth.tenant_id, async (client) => {
        const taken = await Promise.all(ordered.map(({ bucket, perMinute }) => {
          const { intervalMs, toleranceMs } = rateOf(perMinute);
          return client.query<{ allowed: boolean; now_ms: number; arrival_ms: number | null }>({ ...TAKE, values: [auth.tenant_id, bucket, intervalMs, toleranceMs] });
        }));
        // One that is used up undoes the others with the transaction.
        for (const [index, { rows }] of taken.entries()) {
          const { allowed, now_ms: nowMs, arrival_ms: arrivalMs } = rows[0]!;
          const { bucket, perMinute } = ordered[index]!;
          if (!allowed) throw new Denied({ allowed: false, bucket, retryAfterMs: retryAfterMs(arrivalMs ?? nowMs + 60_000, nowMs, rateOf(perMinute).toleranceMs) });
        }
      });
      return { allowed: true };
    } catch (error) {
      if (error instanceof Denied) return error.verdict;
      throw error;
    }
  }

  /** A creation that was refused answers a row without a definition. */
  #change<Row extends pg.QueryResultRow>(auth: AuthContext, statement: Statement, values: readonly unknown[], done: AuditFacts): Promise<Row[]> {
    return changeAsTenant<Row>(this.#pool, this.#trail, auth, statement, values, ([row]) => (row === undefined || row['definition'] === null ? null : done));
  }

  async #isFull(auth: AuthContext, kind: keyof ToolRegistrations): Promise<boolean> {
    return (await this.load(auth))[kind].length >= (kind === 'tools' ? MAX_WEBHOOK_TOOLS : MAX_MCP_SERVERS);
  }
}
