/**
 * Agents in Postgres: one row an agent, its definition as JSON. Every creation of a run reads its agent, so an answer
 * is remembered for less than a second; a change made in another process shows that much later.
 */
import type pg from 'pg';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import { AgentOsError } from '../../platform/errors.ts';
import type { AgentDefinition, AgentPort, AgentRecord, AgentStatus } from '../ports/agents.ts';
import { ShortMemory } from '../../platform/tenancy/short-memory.ts';
import { readAsTenant } from './postgres-read.ts';
import { isoTime } from './run-rows.ts';

const COLUMNS = `a.tenant_id, a.status, a.definition,
  (extract(epoch FROM a.created_at) * 1000)::float8 AS created_ms, (extract(epoch FROM a.updated_at) * 1000)::float8 AS updated_ms`;

const GET_AGENT = { name: 'ao_get_agent', text: `SELECT ${COLUMNS} FROM orchestrator.agents a WHERE a.tenant_id = $1 AND a.agent_id = $2` };

const LIST_AGENTS = {
  name: 'ao_list_agents',
  text: `SELECT ${COLUMNS} FROM orchestrator.agents a WHERE a.tenant_id = $1 AND a.agent_id > $2 ORDER BY a.agent_id LIMIT $3`,
};

/** An equal definition leaves the row, and with it `updated_at`, as it is. */
const PUT_AGENT = {
  name: 'ao_put_agent',
  text: `WITH put AS (
      INSERT INTO orchestrator.agents AS a (tenant_id, agent_id, status, definition, created_at, updated_at)
      VALUES ($1, $2, $3, $4::json, clock_timestamp(), clock_timestamp())
      ON CONFLICT (tenant_id, agent_id) DO UPDATE SET status = excluded.status, definition = excluded.definition, updated_at = excluded.updated_at
        WHERE a.status <> excluded.status OR a.definition::jsonb <> excluded.definition::jsonb
      RETURNING ${COLUMNS})
    SELECT * FROM put
    UNION ALL SELECT ${COLUMNS} FROM orchestrator.agents a WHERE a.tenant_id = $1 AND a.agent_id = $2 AND NOT EXISTS (SELECT FROM put)`,
};

interface AgentRow extends pg.QueryResultRow {
  readonly tenant_id: string;
  readonly status: AgentStatus;
  readonly definition: AgentDefinition;
  readonly created_ms: number;
  readonly updated_ms: number;
}

const recordOf = (row: AgentRow): AgentRecord => ({
  ...row.definition,
  tenantId: row.tenant_id,
  status: row.status,
  createdAt: isoTime(row.created_ms),
  updatedAt: isoTime(row.updated_ms),
});

export class PostgresAgents implements AgentPort {
  readonly #pool: pg.Pool;
  /** null: there is no such agent, which is remembered as well. */
  readonly #recent: ShortMemory<AgentRecord | null>;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
    this.#recent = new ShortMemory((key) => {
      const [tenantId, agentId] = JSON.parse(key) as [string, string];
      return this.#read(tenantId, agentId);
    });
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.0', durable: true, features: [] };
  }

  async get(auth: AuthContext, agentId: string): Promise<AgentRecord> {
    const agent = await this.#recent.get(JSON.stringify([auth.tenant_id, agentId]));
    if (agent === null) throw new AgentOsError('not_found', { message: `There is no agent ${agentId}.`, details: { agent_id: agentId } });
    return agent;
  }

  async list(auth: AuthContext, query: { readonly limit: number; readonly after?: string }): Promise<{ readonly agents: readonly AgentRecord[]; readonly hasMore: boolean }> {
    const rows = await readAsTenant<AgentRow>(this.#pool, auth.tenant_id, LIST_AGENTS, [auth.tenant_id, query.after ?? '', query.limit + 1]);
    return { agents: rows.slice(0, query.limit).map(recordOf), hasMore: rows.length > query.limit };
  }

  async put(auth: AuthContext, agent: AgentDefinition & { readonly status: AgentStatus }): Promise<AgentRecord> {
    const { status, ...definition } = agent;
    const [row] = await readAsTenant<AgentRow>(this.#pool, auth.tenant_id, PUT_AGENT, [auth.tenant_id, agent.agentId, status, JSON.stringify(definition)]);
    this.#recent.forget(JSON.stringify([auth.tenant_id, agent.agentId]));
    return recordOf(row!);
  }

  async #read(tenantId: string, agentId: string): Promise<AgentRecord | null> {
    const [row] = await readAsTenant<AgentRow>(this.#pool, tenantId, GET_AGENT, [tenantId, agentId]);
    return row === undefined ? null : recordOf(row);
  }
}
