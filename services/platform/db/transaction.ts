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
  if (tenantIds.length === 0) throw new Error('A tenant transaction names at least one tenant.');
  for (const id of tenantIds) {
    if (id === '') throw new Error('The empty text cannot be a tenant id.');
    // Administration names tenants in paths, and whatever cannot be one is a tenant that does not exist.
    if (id.includes(',')) throw new AgentOsError('not_found', { message: `'${id}' cannot be a tenant id: it contains a comma.`, details: {} });
  }
  return `BEGIN; SET LOCAL app.tenant_ids = ${literal(tenantIds.join(','))}`;
}

/**
 * Runs `body` in a transaction in which row-level security shows the rows of exactly these tenants.
 * Serialization failures and deadlocks run it again. @throws AgentOsError for database errors (see `sqlstate.ts`).
 */
export function withTenant<T>(pool: pg.Pool, tenantIds: string | readonly string[], body: TransactionBody<T>, options: TransactionOptions = {}): Promise<T> {
  const begin = beginForTenants(typeof tenantIds === 'string' ? [tenantIds] : tenantIds);
  return transact(pool, options.asynchronous === true ? `${begin}; SET LOCAL synchronous_commit = off` : begin, body, options);
}

/** As `withTenant`, for the work that spans tenants by nature: claiming, lease keeping, reconciling. */
export function withScheduler<T>(pool: pg.Pool, body: TransactionBody<T>, options: TransactionOptions = {}): Promise<T> {
  return transact(pool, "BEGIN; SET LOCAL app.scheduler = 'on'", body, options);
}

/** As `withTenant`, for tenant administration and for finding the owner of a presented key. */
export function withPlatform<T>(pool: pg.Pool, body: TransactionBody<T>, options: TransactionOptions = {}): Promise<T> {
  return transact(pool, "BEGIN; SET LOCAL app.platform = 'on'", body, options);
}

async function transact<T>(pool: pg.Pool, begin: string, body: TransactionBody<T>, options: TransactionOptions): Promise<T> {
  const attempts = options.attempts ?? 4;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await attemptOnce(pool, begin, body);
    } catch (error) {
      if (!isRetryableTransaction(error) || attempt >= attempts) throw fromDatabaseError(error);
      await sleep(Math.random() * 10 * 2 ** attempt);
    }
  }
}

async function attemptOnce<T>(pool: pg.Pool, begin: string, body: TransactionBody<T>): Promise<T> {
  const client = await pool.connect();
  let broken = false;
  let beginError: unknown = null;
  try {
    const begun = client.query(begin).then(
      () => undefined,
      (error: unknown) => {
        beginError = error;
      },
    );
    let result: T;
    try {
      result = await body(client);
    } catch (error) {
      await begun;
      throw beginError ?? error;
    }
    // COMMIT follows the body's last statement without waiting for the answer to BEGIN.
    const committed = commit(client);
    committed.catch(() => undefined);
    await begun;
    if (beginError !== null) throw beginError;
    await committed;
    return result;
  } catch (error) {
    broken = !(await rolledBack(client, error));
    throw error;
  } finally {
    client.release(broken);
  }
}

async function commit(client: pg.PoolClient): Promise<void> {
  let outcome: pg.QueryResult;
  try {
    outcome = await client.query('COMMIT');
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
