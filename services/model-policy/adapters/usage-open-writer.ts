/** Which way finished calls take into the database: over a journal where there is a disk to write one, else directly. */
import path from 'node:path';
import type pg from 'pg';
import { sqlState } from '../../platform/db/sqlstate.ts';
import type { CallWriter, CallWriterOptions } from './usage-call-writer.ts';
import { JournalWriter, type JournalWriterOptions } from './usage-journal-writer.ts';
import { DatabaseWriter } from './usage-postgres-writer.ts';

export interface OpenWriterOptions extends CallWriterOptions, Pick<JournalWriterOptions, 'log' | 'shipAfterMs' | 'aliveMs' | 'owner'> {
  readonly commit: 'journal' | 'database';
  /** Of all journals; each ledger has a folder in it. */
  readonly folder: string;
}

/** Ships what processes that are gone have left before it answers. @throws AgentOsError dependency_unavailable. */
export async function openCallWriter({ commit, folder, ...options }: OpenWriterOptions): Promise<CallWriter> {
  if (commit === 'database') return new DatabaseWriter(options);
  const { rows } = await options.pool.query<{ ledger_id: string }>('SELECT ledger_id FROM model_policy.ledger_identity');
  const databaseId = await databaseIdOf(options.pool);
  let writer: JournalWriter;
  try {
    writer = new JournalWriter({ ...options, databaseId, folder: path.join(folder, rows[0]!.ledger_id) });
  } catch (error) {
    options.log?.warn({ err: error, folder }, 'There is no journal: its folder cannot be written, so that each model call waits for the database. AGENTOS_JOURNAL_DIR names another folder; AGENTOS_LEDGER_COMMIT=database says that it is meant so.');
    return new DatabaseWriter(options);
  }
  await writer.takeOver().catch((error: unknown) => options.log?.warn({ err: error }, 'What earlier processes have left could not be shipped yet; it is tried again.'));
  return writer;
}

/**
 * What no other database has, and this one keeps over restarts, failover and a change of address: the number of its
 * cluster, which standbys share, and its own in there.
 */
async function databaseIdOf(pool: pg.Pool): Promise<string> {
  const { rows } = await pool.query<{ oid: string }>('SELECT oid::text FROM pg_database WHERE datname = current_database()');
  const cluster = await pool.query<{ id: string }>('SELECT system_identifier::text AS id FROM pg_control_system()').catch((error: unknown) => {
    // A server may keep it from those who do not administer it.
    if (sqlState(error) === '42501') return { rows: [] };
    throw error;
  });
  return `${cluster.rows[0]?.id ?? ''}/${rows[0]!.oid}`;
}
