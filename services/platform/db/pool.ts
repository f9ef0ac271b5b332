/**
 * A service's way to PostgreSQL: one pg pool, and knex on top of the same pool for queries that are composed.
 *
 * The pool connects as whoever the URL names and becomes the application role in the connection's start-up packet,
 * which owns nothing and cannot bypass row-level security; there is no moment in which a connection has more rights.
 * Connections run in pg's pipeline mode: statements that are issued without awaiting each other share a round trip.
 */
import type { Duplex } from 'node:stream';
import knexFactory, { type Knex } from 'knex';
import pg from 'pg';
import type { Logger } from 'pino';
import { fromDatabaseError } from './sqlstate.ts';

/** The role that services act as; it owns nothing (see `migrate.ts`). */
export const APPLICATION_ROLE = 'agentos_app';

export type DatabaseUrl = string | (() => string);

const urlNow = (url: DatabaseUrl): string => (typeof url === 'function' ? url() : url);

export interface DatabaseOptions {
  /** `postgres://user:password@host:port/database`; where it may change while the process runs, asked for each connection. */
  readonly url: DatabaseUrl;
  /** The server refused the user or password of the URL: a newer one may be had. */
  readonly onRefused?: () => void;
  /** Shown in `pg_stat_activity`. */
  readonly applicationName: string;
  /** Connections at most; 10 when absent. */
  readonly max?: number;
  /** null connects without changing role: for tools that administer, never for services. Default `agentos_app`. */
  readonly role?: string | null;
  /** Longest statement; 15,000 when absent. */
  readonly statementTimeoutMs?: number;
  /** Longest pause inside a transaction; 15,000 when absent. */
  readonly idleInTransactionTimeoutMs?: number;
  /** Longest wait for a free connection, or for one to be made; 5,000 when absent. */
  readonly connectTimeoutMs?: number;
  /**
   * For services whose statements all find their rows by key. A plan made while the tables were small would read them
   * whole, and a prepared statement would keep that plan while they grow; so the planner is told to prefer keys.
   */
  readonly keyedStatements?: boolean;
  readonly log?: Logger;
}

export interface Database {
  readonly url: string;
  readonly pool: pg.Pool;
  /** Query builder on the same pool. Inside `withTenant` pass the client: `knex(…).connection(client)`. */
  readonly knex: Knex;
  /** Resolves when the server answers. @throws AgentOsError dependency_unavailable. For readiness. */
  ping(): Promise<void>;
  /** Waits for checked-out connections, then ends them all. Idempotent. */
  close(): Promise<void>;
}

const STATEMENT_TIMEOUT_MS = 15_000;
/** On top of the server's own limit, for the answer to travel. */
const ANSWER_GRACE_MS = 2_000;

/** Server settings of `keyedStatements`. */
const KEYED_SETTINGS = { enable_seqscan: 'off', enable_hashjoin: 'off', enable_mergejoin: 'off', jit: 'off', plan_cache_mode: 'force_generic_plan' };

/** Options of one connection with this module's guards. Exported for `listener.ts` and `migrate.ts`. */
export function connectionOptions(options: DatabaseOptions): pg.ClientConfig {
  const role = options.role === undefined ? APPLICATION_ROLE : options.role;
  if (role !== null && !/^[a-z_][a-z0-9_]*$/.test(role)) throw new Error(`The database role '${role}' is not a plain lower-case name.`);
  const settings = Object.entries({ ...(role === null ? {} : { role }), ...(options.keyedStatements ? KEYED_SETTINGS : {}) });
  return {
    connectionString: urlNow(options.url),
    application_name: options.applicationName,
    statement_timeout: options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS,
    idle_in_transaction_session_timeout: options.idleInTransactionTimeoutMs ?? 15_000,
    connectionTimeoutMillis: options.connectTimeoutMs ?? 5_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    ...(settings.length === 0 ? {} : { options: settings.map(([name, value]) => `-c ${name}=${value}`).join(' ') }),
  };
}

/**
 * Opens the pool and asserts that the server keeps what it acknowledges.
 * @throws AgentOsError dependency_unavailable when the server cannot be reached.
 * @throws Error when the server runs without fsync or with synchronous_commit off, or the role may not be taken.
 */
export async function createDatabase(options: DatabaseOptions): Promise<Database> {
  const pool = new pg.Pool({
    ...connectionOptions(options),
    max: options.max ?? 10,
    idleTimeoutMillis: 30_000,
    // A server whose other end has vanished answers nothing and closes nothing: after the server's own limit has passed
    // the connection is given up, and whatever waits on it is told that nobody knows.
    query_timeout: (options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS) + ANSWER_GRACE_MS,
    pipeline: true,
    ...(options.onRefused === undefined ? {} : { Client: clientThatTells(options.onRefused) }),
  });
  // The pool makes each connection of what stands here.
  if (typeof options.url === 'function') Object.defineProperty((pool as unknown as { options: object }).options, 'connectionString', { get: options.url, enumerable: true });
  // A connection without an error listener ends the process when the server dies, checked out or idle.
  pool.on('connect', (client) => {
    client.on('error', (error) => options.log?.warn({ err: error }, 'A database connection broke.'));
    gatherWrites(client);
  });
  pool.on('error', (error: Error & { client?: unknown }) => {
    // The pool hangs the whole client on it, with the text of every statement that it has prepared.
    delete error.client;
    options.log?.warn({ err: error }, 'An idle database connection broke.');
  });
  if (options.keyedStatements) renewPlans(pool);
  const knex = knexFactory({ client: 'pg', connectionPool: pool } as Knex.Config);
  let closing: Promise<void> | null = null;
  const database: Database = {
    get url() {
      return urlNow(options.url);
    },
    pool,
    knex,
    async ping() {
      try {
        await pool.query('SELECT 1');
      } catch (error) {
        throw fromDatabaseError(error);
      }
    },
    close() {
      closing ??= knex.destroy().then(() => pool.end());
      return closing;
    },
  };
  try {
    await assertDurable(pool);
  } catch (error) {
    await database.close();
    throw explainStartFailure(error, options);
  }
  return database;
}

/** SQLSTATE of a server that does not take this user or password. */
const CREDENTIALS_REFUSED = new Set(['28P01', '28000']);

/** The pool's connections, which say so when their credentials are refused. */
function clientThatTells(onRefused: () => void): typeof pg.Client {
  return class extends pg.Client {
    override connect(): Promise<never>;
    override connect(callback: (error: Error) => void): void;
    override connect(callback?: (error: Error) => void): Promise<never> | void {
      const tell = (error: Error | null | undefined): void => {
        if (CREDENTIALS_REFUSED.has((error as { code?: string } | null | undefined)?.code ?? '')) onRefused();
      };
      if (callback === undefined) return super.connect().then((value) => value as never, (error: Error) => { tell(error); throw error; });
      super.connect((error: Error) => {
        tell(error);
        callback(error);
      });
    }
  } as unknown as typeof pg.Client;
}

/**
 * Statements that are sent without awaiting each other leave in one packet: the driver writes each to the socket by
 * itself, and a system call costs more than most statements do.
 */
function gatherWrites(client: pg.PoolClient): void {
  const { stream } = (client as unknown as { connection: { stream: Duplex } }).connection;
  const write = stream.write.bind(stream) as (...data: unknown[]) => boolean;
  let gathering = false;
  stream.write = (...data: unknown[]): boolean => {
    if (!gathering) {
      gathering = true;
      stream.cork();
      process.nextTick(() => {
        gathering = false;
        stream.uncork();
      });
    }
    return write(...data);
  };
}

const LONGEST_PLAN_MS = 60_000;

/**
 * A plan is for tables of the size that they had, and the server makes another only when it takes new statistics, which
 * may be a minute or many thousand rows later. So a connection's plans are made anew when it is twice as old as when it
 * made them: the word for it travels in one packet with the transaction that comes next.
 */
function renewPlans(pool: pg.Pool): void {
  const due = new WeakMap<pg.PoolClient, { atMs: number; ageMs: number }>();
  pool.on('connect', (client) => due.set(client, { atMs: performance.now() + 1_000, ageMs: 1_000 }));
  pool.on('acquire', (client) => {
    const next = due.get(client);
    if (next === undefined || performance.now() < next.atMs) return;
    const ageMs = Math.min(2 * next.ageMs, LONGEST_PLAN_MS);
    due.set(client, { atMs: performance.now() + ageMs, ageMs });
    client.query('DISCARD PLANS').catch(() => undefined);
  });
}

/** A server that forgets what it acknowledged makes every guarantee of runs and idempotency void: refuse to start on it. */
async function assertDurable(pool: pg.Pool): Promise<void> {
  const { rows } = await pool.query<{ commit: string; fsync: string }>(
    "SELECT current_setting('synchronous_commit') AS commit, current_setting('fsync') AS fsync",
  );
  const { commit, fsync } = rows[0]!;
  if (commit === 'off' || fsync === 'off') {
    throw new Error(
      `PostgreSQL runs with synchronous_commit=${commit}, fsync=${fsync}: it may lose acknowledged writes. ` +
        'Set both to on (ALTER SYSTEM SET synchronous_commit = on; fsync = on in postgresql.conf) and restart it.',
    );
  }
}

function explainStartFailure(error: unknown, options: DatabaseOptions): unknown {
  const role = options.role === undefined ? APPLICATION_ROLE : options.role;
  const message = error instanceof Error ? error.message : String(error);
  if (role !== null && /parameter "role"|role ".*" does not exist|permission denied to set role/.test(message)) {
    return new Error(
      `The database role '${role}' cannot be taken: ${message}. Run the migrations first (agentos up does), or as a superuser: ` +
        `CREATE ROLE ${role} NOLOGIN NOBYPASSRLS; GRANT ${role} TO "<user of DATABASE_URL>";`,
      { cause: error },
    );
  }
  return fromDatabaseError(error);
}
