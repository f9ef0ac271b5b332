/**
 * The databases that a node lets its tenants query (AGENTOS_SQL_SOURCES), as JSON by name:
 * `{"sales": {"url": "postgres://reader:…@host/sales", "tenants": ["tnt_demo"], "max_rows": 200, "timeout_ms": 5000}}`.
 * A tenant uses a source only when the source names it, or names `*`. The role in the URL should be one that can read
 * what may be read and nothing else; one that is a superuser is refused.
 */
import pg from 'pg';
import { ConfigError } from '../../../platform/config/load.ts';
import { AgentOsError } from '../../../platform/errors.ts';
import type { AuthContext } from '../../../platform/tenancy/auth-context.ts';

export interface SqlSource {
  readonly name: string;
  readonly url: string;
  readonly tenants: readonly string[];
  readonly maxRows: number;
  readonly timeoutMs: number;
}

const SOURCE_NAME = /^[a-z][a-z0-9_-]{0,63}$/;
const CONNECTIONS = 4;

/** @throws ConfigError that names the source. */
export function parseSqlSources(text: string | undefined): readonly SqlSource[] {
  if (text === undefined || text.trim() === '') return [];
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw refused(`it is not JSON (${(error as Error).message})`);
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw refused('it must be an object of sources by name');
  return Object.entries(parsed).map(([name, value]) => sourceOf(name, value));
}

function sourceOf(name: string, value: unknown): SqlSource {
  if (!SOURCE_NAME.test(name)) throw refused(`'${name}' is not a name: lower-case letters, digits, dash and underscore, 64 at most`);
  const { url, tenants, max_rows: maxRows = 200, timeout_ms: timeoutMs = 5_000, ...unknown } = (value ?? {}) as Record<string, unknown>;
  if (Object.keys(unknown).length > 0) throw refused(`'${name}' has the unknown member '${Object.keys(unknown)[0]}'`);
  if (typeof url !== 'string' || !/^postgres(ql)?:\/\//.test(url) || !URL.canParse(url)) throw refused(`the url of '${name}' must be postgres://user:password@host:port/database`);
  if (!Array.isArray(tenants) || tenants.length === 0 || !tenants.every((tenant) => typeof tenant === 'string')) throw refused(`'${name}' must name its tenants: ["tnt_…"], or ["*"] for all`);
  const within = (figure: unknown, least: number, most: number): figure is number => Number.isInteger(figure) && (figure as number) >= least && (figure as number) <= most;
  if (!within(maxRows, 1, 5_000)) throw refused(`max_rows of '${name}' is a whole number from 1 to 5000`);
  if (!within(timeoutMs, 10, 60_000)) throw refused(`timeout_ms of '${name}' is a whole number from 10 to 60000`);
  return { name, url, tenants: tenants as string[], maxRows, timeoutMs };
}

const refused = (why: string): ConfigError => new ConfigError('AGENTOS_SQL_SOURCES', `AGENTOS_SQL_SOURCES cannot be read: ${why}.`);

export interface SqlSources {
  /** In order of their names. */
  allowedTo(auth: AuthContext): readonly SqlSource[];
  /** A connection whose every transaction reads only. @throws AgentOsError dependency_unavailable, forbidden. */
  connect(source: SqlSource): Promise<pg.PoolClient>;
  close(): Promise<void>;
}

export function createSqlSources(sources: readonly SqlSource[]): SqlSources {
  const pools = new Map<string, pg.Pool>();
  const checked = new Set<string>();
  return {
    allowedTo: (auth) => sources.filter(({ tenants }) => tenants.includes('*') || tenants.includes(auth.tenant_id)).sort((a, b) => (a.name < b.name ? -1 : 1)),
    async connect(source) {
      const pool = pools.get(source.name) ?? openPool(source);
      pools.set(source.name, pool);
      let client: pg.PoolClient;
      try {
        client = await pool.connect();
      } catch (cause) {
        throw new AgentOsError('dependency_unavailable', { message: `The source ${source.name} cannot be reached.`, details: { source: source.name }, cause });
      }
      if (!checked.has(source.name)) {
        await refuseSuperuser(client, source);
        checked.add(source.name);
      }
      return client;
    },
    async close() {
      await Promise.all([...pools.values()].map((pool) => pool.end()));
    },
  };
}

function openPool(source: SqlSource): pg.Pool {
  const pool = new pg.Pool({
    connectionString: source.url, max: CONNECTIONS, connectionTimeoutMillis: 5_000, idleTimeoutMillis: 30_000, allowExitOnIdle: true, application_name: 'agentos-sql-query',
    // For every transaction of the session: a statement that ends the one it runs in gains nothing.
    options: `-c default_transaction_read_only=on -c statement_timeout=${source.timeoutMs} -c idle_in_transaction_session_timeout=${source.timeoutMs + 5_000}`,
  });
  // An idle connection that breaks is replaced with the next query.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}

/** A superuser reads files and runs programs from SQL, read-only transaction or not. */
async function refuseSuperuser(client: pg.PoolClient, source: SqlSource): Promise<void> {
  const { rows } = await client.query<{ rolsuper: boolean }>('SELECT rolsuper FROM pg_roles WHERE rolname = current_user');
  if (rows[0]?.rolsuper !== true) return;
  client.release();
  throw new AgentOsError('forbidden', { message: `The source ${source.name} connects as a superuser, which tools may not. Its operator gives it a role that can only read.`, details: { source: source.name, reason: 'superuser' } });
}
