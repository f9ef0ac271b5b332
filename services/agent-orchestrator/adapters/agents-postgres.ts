/**
 * Agents in Postgres: one row an agent, its newest definition as JSON, and a row each version. Every creation of a run
 * reads its agent, so an answer is remembered for less than a second; a change made in another process shows that much
 * later.
 */
import type pg from 'pg';
import { AuditTrail, withAudit } from '../../platform/audit/audit-trail.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { PortCapabilities } from '../../platform/port.ts';
import { ShortMemory } from '../../platform/tenancy/short-memory.ts';
import type { AgentDefinition, AgentDraft, AgentPage, AgentPort, AgentRecord, AgentStatus } from '../ports/agents.ts';
import { agentExists, isSameDefinition, nextVersion, noSuchAgent, noSuchVersion, splitDraft } from './agent-versions.ts';
import { changeAsTenant, deed } from './audited-change.ts';
import { readAsTenant } from './postgres-read.ts';
import { isoTime, storableJson } from './run-rows.ts';

const COLUMNS = `a.tenant_id, a.status, a.definition,
  (extract(epoch FROM a.created_at) * 1000)::float8 AS created_ms, (extract(epoch FROM a.updated_at) * 1000)::float8 AS updated_ms`;

const GET_AGENT = { name: 'ao_get_agent', text: `SELECT ${COLUMNS} FROM orchestrator.agents a WHERE a.tenant_id = $1 AND a.agent_id = $2` };

const LIST_AGENTS = {
  name: 'ao_list_agents',
  text: `SELECT ${COLUMNS} FROM orchestrator.agents a WHERE a.tenant_id = $1 AND a.agent_id > $2 ORDER BY a.agent_id LIMIT $3`,
};

const LOCK_AGENT = { name: 'ao_lock_agent', text: `${GET_AGENT.text} FOR UPDATE` };

/** Nothing when somebody else was first. */
const ADD_AGENT = {
  name: 'ao_add_agent',
  text: `INSERT INTO orchestrator.agents AS a (tenant_id, agent_id, status, definition, created_at, updated_at)
    VALUES ($1, $2, $3, $4::json, clock_timestamp(), clock_timestamp()) ON CONFLICT (tenant_id, agent_id) DO NOTHING RETURNING ${COLUMNS}`,
};

const CHANGE_AGENT = {
  name: 'ao_change_agent',
  text: `UPDATE orchestrator.agents a SET status = $3, definition = $4::json, updated_at = clock_timestamp()
    WHERE a.tenant_id = $1 AND a.agent_id = $2 RETURNING ${COLUMNS}`,
};

const ADD_VERSION = {
  name: 'ao_add_agent_version',
  text: `INSERT INTO orchestrator.agent_versions (tenant_id, agent_id, version, definition, created_at) VALUES ($1, $2, $3, $4::json, clock_timestamp())
    ON CONFLICT (tenant_id, agent_id, version) DO UPDATE SET definition = excluded.definition`,
};

const VERSION_COLUMNS = `a.tenant_id, a.status, v.definition, (extract(epoch FROM a.created_at) * 1000)::float8 AS created_ms,
  (extract(epoch FROM v.created_at) * 1000)::float8 AS updated_ms`;

const LIST_VERSIONS = {
  name: 'ao_list_agent_versions',
  text: `SELECT ${VERSION_COLUMNS} FROM orchestrator.agents a
    LEFT JOIN orchestrator.agent_versions v ON v.tenant_id = a.tenant_id AND v.agent_id = a.agent_id AND v.version < $3
    WHERE a.tenant_id = $1 AND a.agent_id = $2 ORDER BY v.version DESC LIMIT $4`,
};

const GET_VERSION = {
  name: 'ao_get_agent_version',
  text: `SELECT v.definition FROM orchestrator.agent_versions v WHERE v.tenant_id = $1 AND v.agent_id = $2 AND v.version = $3`,
};

const DELETE_AGENT = {
  name: 'ao_delete_agent',
  text: `WITH v AS (DELETE FROM orchestrator.agent_versions v WHERE v.tenant_id = $1 AND v.agent_id = $2)
    DELETE FROM orchestrator.agents a WHERE a.tenant_id = $1 AND a.agent_id = $2 RETURNING a.agent_id`,
};

const LAST_VERSION = 2_147_483_647;

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
  readonly #trail: AuditTrail;
  /** null: there is no such agent, which is remembered as well. */
  readonly #recent: ShortMemory<AgentRecord | null>;

  constructor(pool: pg.Pool, trail: AuditTrail = new AuditTrail({ service: 'agent-orchestrator' })) {
    this.#pool = pool;
    this.#trail = trail;
    this.#recent = new ShortMemory((key) => {
      const [tenantId, agentId] = JSON.parse(key) as [string, string];
      return this.#read(tenantId, agentId);
    });
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.1', durable: true, features: ['versions'] };
  }

  async get(auth: AuthContext, agentId: string): Promise<AgentRecord> {
    const agent = await this.#recent.get(JSON.stringify([auth.tenant_id, agentId]));
    if (agent === null) throw noSuchAgent(agentId);
    return agent;
  }

  async list(auth: AuthContext, query: { readonly limit: number; readonly after?: string }): Promise<AgentPage> {
    const rows = await readAsTenant<AgentRow>(this.#pool, auth.tenant_id, LIST_AGENTS, [auth.tenant_id, query.after ?? '', query.limit + 1]);
    return { agents: rows.slice(0, query.limit).map(recordOf), hasMore: rows.length > query.limit };
  }

  create(auth: AuthContext, agent: AgentDraft): Promise<AgentRecord> {
    return this.#write(auth, agent.agentId, 'create', async (_client, newest) => {
      if (newest !== null) throw agentExists(agent.agentId);
      return agent;
    });
  }

  replace(auth: AuthContext, agent: AgentDraft): Promise<AgentRecord> {
    return this.#write(auth, agent.agentId, 'update', async (_client, newest) => {
      if (newest === null) throw noSuchAgent(agent.agentId);
      return agent;
    });
  }

  put(auth: AuthContext, agent: AgentDraft): Promise<AgentRecord> {
    return this.#write(auth, agent.agentId, 'put', async () => agent);
  }

  async versions(auth: AuthContext, agentId: string, query: { readonly limit: number; readonly after?: string }): Promise<AgentPage> {
    const after = query.after === undefined ? LAST_VERSION : versionNumber(query.after);
    const rows = await readAsTenant<AgentRow>(this.#pool, auth.tenant_id, LIST_VERSIONS, [auth.tenant_id, agentId, after, query.limit + 1]);
    if (rows.length === 0) throw noSuchAgent(agentId);
    // An agent whose versions have all been passed answers one row without a version.
    const found = rows.filter((row) => row.definition !== null);
    return { agents: found.slice(0, query.limit).map(recordOf), hasMore: found.length > query.limit };
  }

  rollBack(auth: AuthContext, agentId: string, version: string): Promise<AgentRecord> {
    return this.#write(auth, agentId, 'roll_back', async (client, newest) => {
      if (newest === null) throw noSuchAgent(agentId);
      const { rows } = await client.query<Pick<AgentRow, 'definition'>>({ ...GET_VERSION, values: [auth.tenant_id, agentId, versionNumber(version)] });
      if (rows[0] === undefined) throw noSuchVersion(agentId, version);
      return { ...rows[0].definition, status: newest.status };
    });
  }

  async delete(auth: AuthContext, agentId: string): Promise<void> {
    const rows = await changeAsTenant(this.#pool, this.#trail, auth, DELETE_AGENT, [auth.tenant_id, agentId], ({ length }) => (length === 0 ? null : deed('agent', 'delete', agentId)));
    this.#recent.forget(JSON.stringify([auth.tenant_id, agentId]));
    if (rows.length === 0) throw noSuchAgent(agentId);
  }

  /** One transaction under the agent's row: `choose` sees the newest version and answers what it is to become. */
  async #write(auth: AuthContext, agentId: string, verb: string, choose: (client: pg.PoolClient, newest: AgentRecord | null) => Promise<AgentDraft>): Promise<AgentRecord> {
    const tenantId = auth.tenant_id;
    const record = await withAudit(this.#pool, this.#trail, tenantId, async (client, note) => {
      for (;;) {
        const [row] = (await client.query<AgentRow>({ ...LOCK_AGENT, values: [tenantId, agentId] })).rows;
        const newest = row === undefined ? null : recordOf(row);
        const { status, definition } = splitDraft(await choose(client, newest));
        if (newest !== null && isSameDefinition(newest, definition) && newest.status === status) return newest;
        const version = newest !== null && isSameDefinition(newest, definition) ? newest.version : nextVersion(newest ?? undefined);
        const json = storableJson({ ...definition, version });
        const [written] = (await client.query<AgentRow>({ ...(newest === null ? ADD_AGENT : CHANGE_AGENT), values: [tenantId, agentId, status, json] })).rows;
        // Somebody created it in between: look again, it is there now.
        if (written === undefined) continue;
        if (newest?.version !== version) await client.query({ ...ADD_VERSION, values: [tenantId, agentId, Number(version), json] });
        note(auth, deed('agent', verb, agentId, { version, status }));
        return recordOf(written);
      }
    });
    this.#recent.forget(JSON.stringify([tenantId, agentId]));
    return record;
  }

  async #read(tenantId: string, agentId: string): Promise<AgentRecord | null> {
    const [row] = await readAsTenant<AgentRow>(this.#pool, tenantId, GET_AGENT, [tenantId, agentId]);
    return row === undefined ? null : recordOf(row);
  }
}

/** 0, which no version has, for what is not a version's number. */
const versionNumber = (version: string): number => (/^[1-9][0-9]{0,8}$/.test(version) ? Number(version) : 0);
