/** Statements that are answered together, on a real PostgreSQL. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type pg from 'pg';
import { testDatabase, type TestDatabase } from '../../../conformance/harness/database.ts';
import { startPostgresProxy } from '../../../conformance/harness/postgres-proxy.ts';
import type { AgentOsError } from '../errors.ts';
import { createDatabase, type Database } from './pool.ts';
import type { StatementSender } from './statement-batch.ts';
import { tenantTable } from './tenant-table.ts';
import { AmbiguousCommitError, withTenantTogether } from './transaction.ts';

const ADD = { name: 'add_note', text: 'INSERT INTO shop.notes (tenant_id, note_id) VALUES ($1, $2)' };
const READ = { name: 'read_notes', text: 'SELECT note_id, length(note_id) AS size FROM shop.notes WHERE tenant_id = ANY ($1::text[]) ORDER BY note_id' };
const HALVE = { name: 'halve', text: 'SELECT 1 / $1::int AS half' };
const TENANT = 'tnt_a';

let scratch: TestDatabase;
let database: Database;
/** Packets that the server sent over the pool's one connection. */
let packets = 0;

beforeAll(async () => {
  const up = ['CREATE TABLE shop.notes (tenant_id text NOT NULL, note_id text NOT NULL, PRIMARY KEY (tenant_id, note_id))', ...tenantTable('shop.notes')];
  scratch = await testDatabase({ migrations: [{ schema: 'shop', migrations: [{ name: '0001_notes', up }] }] });
  database = await createDatabase({ url: scratch.url, applicationName: 'statement-batch-test', max: 1 });
  const client = await database.pool.connect();
  (client as unknown as { connection: { stream: NodeJS.ReadableStream } }).connection.stream.on('data', () => (packets += 1));
  client.release();
  for (const id of ['a', 'b']) await addAndRead(id);
  await expect(withTenantTogether(database.pool, [TENANT], async (sender) => void (await sender.query({ ...HALVE, values: [0] })))).rejects.toThrow();
});
afterAll(async () => {
  await database?.close();
  await scratch?.drop();
});

const read = async (sender: StatementSender, tenants: readonly string[] = [TENANT]): Promise<string[]> => (await sender.query<{ note_id: string }>({ ...READ, values: [tenants] })).rows.map((row) => row.note_id);

async function addAndRead(id: string): Promise<string[]> {
  let found: Promise<string[]> | null = null;
  await withTenantTogether(database.pool, [TENANT], async (sender) => {
    sender.query({ ...ADD, values: [TENANT, id] }).catch(() => undefined);
    found = read(sender);
    found.catch(() => undefined);
  });
  return found!;
}

const notes = (): Promise<string[]> => withTenantTogether(database.pool, [TENANT], (sender) => read(sender));

describe('statements that are issued without awaiting each other', () => {
  it('are answered in one packet, BEGIN and COMMIT among them, each with its own rows', async () => {
    const before = packets;
    expect(await addAndRead('c')).toEqual(['a', 'b', 'c']);
    expect(packets - before).toBe(1);
  });

  it('see what was sent before them, and what a body awaits it has', async () => {
    const seen = await withTenantTogether(database.pool, [TENANT], async (sender) => {
      const first = await read(sender);
      await sender.query({ ...ADD, values: [TENANT, `${first.at(-1)!}d`] });
      return read(sender);
    });
    expect(seen).toEqual(['a', 'b', 'c', 'cd']);
  });

  it('see the rows of the tenants that are named, whatever their names have in them', async () => {
    const odd = 'tnt_"\\{x} \'y';
    await withTenantTogether(database.pool, [odd], async (sender) => void (await sender.query({ ...ADD, values: [odd, 'odd'] })));
    expect(await withTenantTogether(database.pool, [odd], (sender) => read(sender, [odd, TENANT]))).toEqual(['odd']);
  });

  it('are not done behind one that failed, and nothing stands', async () => {
    const before = await notes();
    const failures: unknown[] = [];
    const keep = (promise: Promise<unknown>): void => void promise.catch((error: unknown) => failures.push(error));
    await expect(withTenantTogether(database.pool, [TENANT], async (sender) => {
      keep(sender.query({ ...ADD, values: [TENANT, 'never'] }));
      keep(sender.query({ ...HALVE, values: [0] }));
      keep(sender.query({ ...ADD, values: [TENANT, 'nor this'] }));
    })).rejects.toMatchObject({ code: 'invalid_request', cause: { code: '22012' } });
    expect(failures.map((error) => (error as pg.DatabaseError).code)).toEqual(['22012', '22012']);
    expect(await notes()).toEqual(before);
  });

  it('leave it open what became of a COMMIT whose answer was lost, and answer what came before', async () => {
    const proxy = await startPostgresProxy(scratch.url);
    const far = await createDatabase({ url: proxy.url, applicationName: 'statement-batch-lost', max: 1 });
    try {
      const add = (id: string): Promise<void> => withTenantTogether(far.pool, [TENANT], async (sender) => void sender.query({ ...ADD, values: [TENANT, id] }).catch(() => undefined));
      await add('x1');
      await add('x2');
      proxy.loseCommits(() => true);
      const error = await add('x3').catch((thrown: unknown) => thrown as AgentOsError);
      proxy.loseCommits(null);
      expect(error).toMatchObject({ code: 'dependency_unavailable' });
      expect((error as AgentOsError).cause).toBeInstanceOf(AmbiguousCommitError);
      expect(await notes()).toContain('x3');
      await add('x4');
      expect(await notes()).toContain('x4');
    } finally {
      await far.close();
      await proxy.close();
    }
  });

  it('are refused once the transaction has ended', async () => {
    let kept: StatementSender | null = null;
    await withTenantTogether(database.pool, [TENANT], async (sender) => void (kept = sender));
    await expect(read(kept!)).rejects.toThrow(/transaction has ended/);
  });
});
