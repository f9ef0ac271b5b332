/**
 * Transactions that touch exactly the tenants they name.
 *
 * BEGIN and the settings that row-level security reads (by SET, which takes half of what a SELECT of set_config does)
 * travel together, and in pipeline mode with the first statement of the body as well; a body that ends without awaiting
 * its statements has COMMIT travel right behind them, so that the whole transaction is one round trip. Should BEGIN fail while a statement behind it runs, that statement
 * runs without any tenant and row-level security refuses it; the failure of BEGIN is reported either way.
 */
import type pg from 'pg';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentOsError } from '../errors.ts';
import { fromDatabaseError, isConnectionError, isRetryableTransaction } from './sqlstate.ts';
import { StatementBatches, type StatementSender } from './statement-batch.ts';

export type TransactionBody<T> = (client: pg.PoolClient) => Promise<T>;

/**
 * Nothing was written: a statement failed and the body did not rethrow its error, so COMMIT rolled back. A body that
 * ends before its statements are answered learns from them which one it was.
 */
export class RolledBackError extends Error {
  constructor() {
    super('The transaction was rolled back: one of its statements failed and its error was not rethrown.');
    this.name = 'RolledBackError';
  }
}

export interface TransactionOptions {
  /** Tries at most, on serialization failures and deadlocks; 4 when absent. The body must be repeatable. */
  readonly attempts?: number;
  /**
   * COMMIT does not wait for the disk. What is committed so outlives this process and is visible to all; a server that
   * breaks down may forget what it took in its last second, whole transactions of it.
   */
  readonly asynchronous?: boolean;
}

/**
 * Thrown from a COMMIT whose connection broke: nobody knows whether it was applied. `cause` is the driver's error.
 * It leaves this module as AgentOsError dependency_unavailable with this error as its cause.
 */
export class AmbiguousCommitError extends Error {
  constructor(cause: unknown) {
    super('The connection broke during COMMIT; it is unknown whether the transaction was applied.', { cause });
    this.name = 'AmbiguousCommitError';
  }
}

/** A single-quoted SQL literal. Backslashes are plain characters (standard_conforming_strings is on since 9.1). */
export function literal(text: string): string {
  if (text.includes('\0')) throw new Error('A NUL character cannot stand in an SQL literal.');
  return text.includes('\\') ? ` E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'` : `'${text.replaceAll("'", "''")}'`;
}

/** The statements that open a transaction for these tenants; for adapters that build one text for a whole flush. */
export function beginForTenants(tenantIds: readonly string[]): string {
  return `BEGIN; SET LOCAL app.tenant_ids = ${literal(tenantList(tenantIds))}`;
}

function tenantList(tenantIds: readonly string[]): string {
  if (tenantIds.length === 0) throw new Error('A tenant transaction names at least one tenant.');
  for (const id of tenantIds) {
    if (id === '') throw new Error('The empty text cannot be a tenant id.');
    // Administration names tenants in paths, and whatever cannot be one is a tenant that does not exist.
    if (id.includes(',')) throw new AgentOsError('not_found', { message: `'${id}' cannot be a tenant id: it contains a comma.`, details: {} });
  }
  return tenantIds.join(',');
}

/**
 * Runs `body` in a transaction in which row-level security shows the rows of exactly these tenants.
 * Serialization failures and deadlocks run it again. @throws AgentOsError for database errors (see `sqlstate.ts`).
 */
export function withTenant<T>(pool: pg.Pool, tenantIds: string | readonly string[], body: TransactionBody<T>, options: TransactionOptions = {}): Promise<T> {
  const begin = beginForTenants(typeof tenantIds === 'string' ? [tenantIds] : tenantIds);
  return transact(pool, options.asynchronous === true ? `${begin}; SET LOCAL synchronous_commit = off` : begin, body, options);
}

const BEGIN = { name: 'tx_begin', text: 'BEGIN' };
const SET_TENANTS = { name: 'tx_set_tenants', text: "SELECT set_config('app.tenant_ids', $1, true)" };
const COMMIT = { name: 'tx_commit', text: 'COMMIT' };

/**
 * As `withTenant`, for bodies whose statements all have names: those that are issued without awaiting each other are
 * answered in one packet, BEGIN and COMMIT among them (see `statement-batch.ts`).
 */
export function withTenantTogether<T>(pool: pg.Pool, tenantIds: readonly string[], body: (sender: StatementSender) => Promise<T>, options: TransactionOptions = {}): Promise<T> {
  const values = [tenantList(tenantIds)];
  return attempted(options, () => attemptOnce(pool, (connection): Opening<StatementSender> => {
    const client = new StatementBatches(connection);
    return { begun: Promise.all([client.query(BEGIN), client.query({ ...SET_TENANTS, values })]), client, commit: () => client.query(COMMIT) };
  }, body));
}

/** As `withTenant`, for the work that spans tenants by nature: claiming, lease keeping, reconciling. */
export function withScheduler<T>(pool: pg.Pool, body: TransactionBody<T>, options: TransactionOptions = {}): Promise<T> {
  return transact(pool, "BEGIN; SET LOCAL app.scheduler = 'on'", body, options);
}

/** As `withTenant`, for tenant administration and for finding the owner of a presented key. */
export function withPlatform<T>(pool: pg.Pool, body: TransactionBody<T>, options: TransactionOptions = {}): Promise<T> {
  return transact(pool, "BEGIN; SET LOCAL app.platform = 'on'", body, options);
}

function transact<T>(pool: pg.Pool, begin: string, body: TransactionBody<T>, options: TransactionOptions): Promise<T> {
  return attempted(options, () => attemptOnce(pool, (client) => ({ begun: client.query(begin), client, commit: () => client.query('COMMIT') }), body));
}

async function attempted<T>(options: TransactionOptions, attemptOne: () => Promise<T>): Promise<T> {
  const attempts = options.attempts ?? 4;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await attemptOne();
    } catch (error) {
      if (!isRetryableTransaction(error) || attempt >= attempts) throw fromDatabaseError(error);
      await sleep(Math.random() * 10 * 2 ** attempt);
    }
  }
}

/**
 * The connection as a body is lent it: until the body has ended. What a body left running would otherwise send its next
 * statement into whatever transaction the connection is in by then, another tenant's.
 */
class LentClient {
  #client: object | null;

  constructor(client: object) {
    this.#client = client;
  }

  query(...statement: unknown[]): unknown {
    if (this.#client === null) return Promise.reject(new Error('The transaction has ended: its body went on without being awaited, and this statement is not sent.'));
    return (this.#client as { query(...parts: unknown[]): unknown }).query(...statement);
  }

  takeBack(): void {
    this.#client = null;
  }
}

/** A transaction that has been asked for. */
interface Opening<Client> {
  readonly begun: Promise<unknown>;
  /** What the body sends its statements by. */
  readonly client: Client;
  readonly commit: () => Promise<{ readonly command: string }>;
}

async function attemptOnce<T, Client extends object>(pool: pg.Pool, open: (connection: pg.PoolClient) => Opening<Client>, body: (client: Client) => Promise<T>): Promise<T> {
  const connection = await pool.connect();
  let broken = false;
  let beginError: unknown = null;
  try {
    const opening = open(connection);
    const lent = new LentClient(opening.client);
    const begun = opening.begun.then(
      () => undefined,
      (error: unknown) => {
        beginError = error;
      },
    );
    let result: T;
    try {
      result = await body(lent as unknown as Client);
    } catch (error) {
      await begun;
      throw beginError ?? error;
    } finally {
      lent.takeBack();
    }
    // COMMIT follows the body's last statement without waiting for the answer to BEGIN.
    const committed = commit(opening);
    committed.catch(() => undefined);
    await begun;
    // Where the connection broke, COMMIT may have been done all the same, and says so.
    if (beginError !== null && !isConnectionError(beginError)) throw beginError;
    await committed;
    return result;
  } catch (error) {
    broken = !(await rolledBack(connection, error));
    throw error;
  } finally {
    connection.release(broken);
  }
}

async function commit(opening: Opening<unknown>): Promise<void> {
  let outcome: { readonly command: string };
  try {
    outcome = await opening.commit();
  } catch (error) {
    if (isConnectionError(error)) throw Object.assign(new AmbiguousCommitError(error), { code: '08007' });
    throw error;
  }
  // COMMIT of a transaction in which a statement failed answers ROLLBACK and no error. A body that swallowed the
  // failure must not be told that its writes stand.
  if (outcome.command === 'ROLLBACK') throw new RolledBackError();
}

/** True when the connection is clean again. */
async function rolledBack(client: pg.PoolClient, error: unknown): Promise<boolean> {
  if (error instanceof AmbiguousCommitError || isConnectionError(error)) return false;
  try {
    await client.query('ROLLBACK');
    return true;
  } catch {
    return false;
  }
}
