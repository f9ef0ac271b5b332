/** Pool, tenant transactions, row-level security and migrations, on a real PostgreSQL. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import pg from 'pg';
import { testDatabase, type TestDatabase } from '../../../conformance/harness/database.ts';
import { AgentOsError } from '../errors.ts';
import { listen } from './listener.ts';
import { migrate, type Migration } from './migrate.ts';
import { createDatabase, type Database } from './pool.ts';
import { tenantTable } from './tenant-table.ts';
import { AmbiguousCommitError, RolledBackError, beginForTenants, withPlatform, withScheduler, withTenant } from './transaction.ts';

const MIGRATIONS: readonly Migration[] = [
  {
    name: '0001_notes',
    up: [
      'CREATE TABLE shop.notes (tenant_id text NOT NULL, note_id text NOT NULL, body jsonb, PRIMARY KEY (tenant_id, note_id))',
      'CREATE TABLE shop.jobs (tenant_id text NOT NULL, job_id text NOT NULL, PRIMARY KEY (tenant_id, job_id))',
      ...tenantTable('shop.notes'),
      ...tenantTable('shop.jobs', { scheduler: true, grants: ['SELECT', 'INSERT'] }),
    ],
  },
];

let scratch: TestDatabase;
let database: Database;
beforeAll(async () => {
  scratch = await testDatabase({ migrations: [{ schema: 'shop', migrations: MIGRATIONS }] });
  database = await createDatabase({ url: scratch.url, applicationName: 'platform-db-test', max: 5 });
});
afterAll(async () => {
  await database.close();
  await scratch.drop();
});

const insert = (tenantId: string, noteId: string, as: string | string[] = tenantId): Promise<unknown> =>
  withTenant(database.pool, as, (client) => client.query('INSERT INTO shop.notes (tenant_id, note_id) VALUES ($1, $2)', [tenantId, noteId]));
const notesOf = (as: string | string[]): Promise<string[]> =>
  withTenant(database.pool, as, async (client) => (await client.query<{ note_id: string }>('SELECT note_id FROM shop.notes ORDER BY note_id')).rows.map((row) => row.note_id));

describe('the pool', () => {
  it('acts as a role that owns nothing and cannot bypass row-level security', async () => {
    const { rows } = await database.pool.query('SELECT current_user AS role, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user');
    expect(rows).toEqual([{ role: 'agentos_app', rolsuper: false, rolbypassrls: false }]);
    await expect(database.pool.query('DROP TABLE shop.notes')).rejects.toThrow(/owner/);
    await expect(database.pool.query('CREATE TABLE shop.mine (id int)')).rejects.toThrow(/permission denied/);
  });

  it('guards every connection with timeouts', async () => {
    const { rows } = await database.pool.query("SELECT name, setting FROM pg_settings WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout') ORDER BY name");
    expect(rows.map((row) => row.setting)).toEqual(['15000', '15000']);
  });

  it('shares itself with knex', async () => {
    await insert('tnt_knex', 'n1');
    const found = await withTenant(database.pool, 'tnt_knex', (client) => database.knex('shop.notes').where({ tenant_id: 'tnt_knex' }).select('note_id').connection(client));
    expect(found).toEqual([{ note_id: 'n1' }]);
    expect(await database.knex.raw('SELECT current_user AS role').then((result) => result.rows)).toEqual([{ role: 'agentos_app' }]);
  });

  it('tells the planner to prefer keys where it is asked to, on every connection from its first statement', async () => {
    const keyed = await createDatabase({ url: scratch.url, applicationName: 'keyed', keyedStatements: true, max: 3 });
    const settings = (from: Database) => from.pool.query<{ scan: string; plan: string; role: string }>("SELECT current_setting('enable_seqscan') AS scan, current_setting('plan_cache_mode') AS plan, current_user AS role").then((result) => result.rows[0]);
    try {
      const seen = await Promise.all([1, 2, 3].map(() => settings(keyed)));
      expect(seen).toEqual(seen.map(() => ({ scan: 'off', plan: 'force_generic_plan', role: 'agentos_app' })));
      expect(await settings(database)).toMatchObject({ scan: 'on', plan: 'auto' });
    } finally {
      await keyed.close();
    }
  });

  it('gathers statements that are sent at once into one write to the socket', async () => {
    const client = await database.pool.connect();
    try {
      const { stream } = (client as unknown as { connection: { stream: import('node:net').Socket } }).connection;
      await client.query('SELECT 1');
      const socket = stream as unknown as { _writev: (...data: unknown[]) => unknown; _write: (...data: unknown[]) => unknown };
      let packets = 0;
      const { _writev: many, _write: one } = socket;
      socket._writev = function (...data) { packets += 1; return many.apply(this, data); };
      socket._write = function (...data) { packets += 1; return one.apply(this, data); };
      await Promise.all([1, 2, 3, 4, 5].map((value) => client.query('SELECT $1::int', [value])));
      Object.assign(socket, { _writev: many, _write: one });
      expect(packets).toBe(1);
    } finally {
      client.release();
    }
  });

  it('outlives the loss of all its connections, those in use included', async () => {
    const inUse = withTenant(database.pool, 'tnt_x', (client) => client.query('SELECT pg_sleep(5)')).catch((error: unknown) => error);
    await sleep(100);
    expect(await scratch.severConnections()).toBeGreaterThan(0);
    expect(await inUse).toMatchObject({ code: 'dependency_unavailable', retryable: true });
    await database.ping();
  });

  it('says dependency_unavailable when the server cannot be reached', async () => {
    await expect(createDatabase({ url: 'postgres://nobody@127.0.0.1:1/none', applicationName: 'x' })).rejects.toMatchObject({ code: 'dependency_unavailable' });
  });

  it('refuses a server that may lose what it acknowledged', async () => {
    const name = new URL(scratch.url).pathname.slice(1);
    await scratch.asSuperuser((client) => client.query(`ALTER DATABASE "${name}" SET synchronous_commit = off`));
    await expect(createDatabase({ url: scratch.url, applicationName: 'x' })).rejects.toThrow(/synchronous_commit=off.*may lose acknowledged writes/);
    await scratch.asSuperuser((client) => client.query(`ALTER DATABASE "${name}" RESET synchronous_commit`));
  });

  it('says what to do when the role cannot be taken', async () => {
    await expect(createDatabase({ url: scratch.url, applicationName: 'x', role: 'agentos_nobody' })).rejects.toThrow(/CREATE ROLE agentos_nobody/);
  });
});

describe('tenant transactions', () => {
  it('see and write the rows of exactly the tenants they name', async () => {
    await insert('tnt_a', 'a1');
    await insert('tnt_b', 'b1');
    expect(await notesOf('tnt_a')).toEqual(['a1']);
    expect(await notesOf(['tnt_a', 'tnt_b'])).toEqual(['a1', 'b1']);
    expect(await notesOf('tnt_c')).toEqual([]);
    await expect(insert('tnt_b', 'b2', 'tnt_a')).rejects.toThrow(/row-level security/);
    const updated = await withTenant(database.pool, 'tnt_a', (client) => client.query("UPDATE shop.notes SET note_id = 'stolen' WHERE tenant_id = 'tnt_b'"));
    expect(updated.rowCount).toBe(0);
  });

  it('leave nothing on the connection for whoever has it next', async () => {
    await insert('tnt_d', 'd1');
    const all = await Promise.all(Array.from({ length: 10 }, () => database.pool.query('SELECT * FROM shop.notes')));
    expect(all.every((result) => result.rowCount === 0)).toBe(true);
  });

  it('send nothing that a body left running, in the next transaction of the connection least of all', async () => {
    const single = await createDatabase({ url: scratch.url, applicationName: 'single', max: 1 });
    const current = (client: pg.PoolClient) => client.query<{ tenant: string }>("SELECT current_setting('app.tenant_ids', true) AS tenant").then(({ rows }) => rows[0]!.tenant);
    try {
      const left: Promise<unknown>[] = [];
      const leaving = async (client: pg.PoolClient): Promise<never> => {
        left.push(sleep(50).then(() => current(client)).catch((error: Error) => error.message));
        throw new Error('the other branch failed');
      };
      await expect(withTenant(single.pool, 'tnt_one', leaving)).rejects.toThrow('the other branch failed');
      await withTenant(single.pool, 'tnt_one', async (client) => void left.push(sleep(50).then(() => current(client)).catch((error: Error) => error.message)));
      const seen = await withTenant(single.pool, 'tnt_two', async (client) => {
        await Promise.all(left);
        return current(client);
      });
      expect(seen).toBe('tnt_two');
      for (const outcome of left) expect(await outcome).toMatch(/transaction has ended/);
    } finally {
      await single.close();
    }
  });

  it('ask for the policy once a statement, not once a row', async () => {
    const plan = await withTenant(database.pool, 'tnt_a', async (client) => (await client.query('EXPLAIN SELECT * FROM shop.notes')).rows.map((row) => row['QUERY PLAN']).join('\n'));
    expect(plan).toContain('InitPlan');
    expect(plan).toMatch(/(Filter|Cond): .*InitPlan/);
  });

  it.each([['a comma', 'tnt_a,tnt_b'], ['nothing', '']])('refuse a tenant id with %s', (_, id) => {
    expect(() => beginForTenants([id])).toThrow(/cannot be a tenant id/);
  });

  it('take quotes and backslashes in a tenant id for what they are', async () => {
    for (const id of ["tnt_'; DROP TABLE shop.notes; --", 'tnt_\\', "tnt_\\'"]) {
      await insert(id, 'q1');
      expect(await notesOf(id)).toEqual(['q1']);
    }
  });

  it('roll back what a failing body wrote, also when its statements were not awaited one by one', async () => {
    await expect(
      withTenant(database.pool, 'tnt_e', async (client) => {
        await Promise.all([
          client.query("INSERT INTO shop.notes VALUES ('tnt_e', 'e1')"),
          client.query("INSERT INTO shop.notes VALUES ('tnt_e', 'e2')"),
        ]);
        throw new AgentOsError('conflict', { message: 'no' });
      }),
    ).rejects.toMatchObject({ code: 'conflict' });
    expect(await notesOf('tnt_e')).toEqual([]);
  });

  it('tell a body that swallowed a failed statement that nothing was written', async () => {
    await expect(
      withTenant(database.pool, 'tnt_f', async (client) => {
        await client.query("INSERT INTO shop.notes VALUES ('tnt_f', 'f1')");
        await client.query('SELECT 1/0').catch(() => undefined);
      }),
    ).rejects.toThrow(/rolled back/);
  });

  it.each([
    ['a taken key', "INSERT INTO shop.notes VALUES ('tnt_g', 'g1'), ('tnt_g', 'g1')", 'conflict'],
    ['text that cannot be stored', "SELECT '\\u0000'::jsonb ->> 0", 'invalid_request'],
    ['a number out of range', 'SELECT 99999999999::int', 'invalid_request'],
    ['a statement that takes too long', "SET LOCAL statement_timeout = 10; SELECT pg_sleep(1)", 'dependency_unavailable'],
  ])('turn %s into the platform\'s error', async (_, sql, code) => {
    await expect(withTenant(database.pool, 'tnt_g', (client) => client.query(sql))).rejects.toMatchObject({ code });
  });

  it('run again after a serialization failure and give up in the end', async () => {
    let tries = 0;
    const failing = (times: number) => async (client: pg.PoolClient) => {
      tries += 1;
      if (tries <= times) await client.query("DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$");
      return tries;
    };
    expect(await withTenant(database.pool, 'tnt_h', failing(2))).toBe(3);
    tries = 0;
    await expect(withTenant(database.pool, 'tnt_h', failing(99), { attempts: 3 })).rejects.toMatchObject({ code: 'dependency_unavailable' });
    expect(tries).toBe(3);
  });

  it('resolve a real deadlock', async () => {
    await insert('tnt_i', 'i1');
    await insert('tnt_i', 'i2');
    const lockBoth = (first: string, second: string) =>
      withTenant(database.pool, 'tnt_i', async (client) => {
        await client.query('SELECT 1 FROM shop.notes WHERE note_id = $1 FOR UPDATE', [first]);
        await sleep(50);
        await client.query('SELECT 1 FROM shop.notes WHERE note_id = $1 FOR UPDATE', [second]);
      });
    await Promise.all([lockBoth('i1', 'i2'), lockBoth('i2', 'i1')]);
  });

  it('say that a commit is ambiguous when the connection breaks under it', async () => {
    let connection: pg.PoolClient | undefined;
    database.pool.once('acquire', (acquired) => (connection = acquired));
    const error = await withTenant(database.pool, 'tnt_j', async (client) => {
      await client.query("INSERT INTO shop.notes VALUES ('tnt_j', 'j1')");
      (connection as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
    }).catch((thrown: unknown) => thrown as AgentOsError);
    expect(error).toMatchObject({ code: 'dependency_unavailable' });
    expect((error as AgentOsError).cause).toBeInstanceOf(AmbiguousCommitError);
  });

  it('send BEGIN, settings and body before they hear anything, when the body does not wait', async () => {
    const client = await database.pool.connect();
    const { stream } = (client as unknown as { connection: { stream: import('node:net').Socket } }).connection;
    client.release();
    const log: string[] = [];
    const write = stream.write;
    const onData = (): void => void log.push('read');
    stream.on('data', onData);
    stream.write = function (this: unknown, ...args: unknown[]) {
      log.push('write');
      return (write as (...given: unknown[]) => boolean).apply(this, args);
    } as typeof stream.write;
    let acquired: pg.PoolClient | undefined;
    database.pool.once('acquire', (given) => (acquired = given));
    await withTenant(database.pool, 'tnt_k', async (same) => {
      expect(acquired).toBe(client);
      await Promise.all([same.query('SELECT 1'), same.query('SELECT 2')]);
    });
    stream.write = write;
    stream.off('data', onData);
    expect(log.indexOf('read')).toBeGreaterThanOrEqual(3);
  });

  it('send COMMIT along too when the body ends without awaiting, and say when that rolled back', async () => {
    const client = await database.pool.connect();
    const { stream } = (client as unknown as { connection: { stream: import('node:net').Socket } }).connection;
    client.release();
    let reads = 0;
    let readsAtCommit = -1;
    const onData = (): void => void (reads += 1);
    stream.on('data', onData);
    const write = stream.write;
    stream.write = function (this: unknown, ...args: unknown[]) {
      if (String(args[0]).includes('COMMIT')) readsAtCommit = reads;
      return (write as (...given: unknown[]) => boolean).apply(this, args);
    } as typeof stream.write;
    let written: Promise<pg.QueryResult> | undefined;
    await withTenant(database.pool, 'tnt_m', async (same) => {
      written = same.query("INSERT INTO shop.notes VALUES ('tnt_m', 'm1')");
    });
    stream.write = write;
    stream.off('data', onData);
    expect(readsAtCommit).toBe(0);
    expect((await written!).rowCount).toBe(1);
    expect(await notesOf('tnt_m')).toEqual(['m1']);

    const failing = withTenant(database.pool, 'tnt_m', async (same) => {
      same.query("INSERT INTO shop.notes VALUES ('tnt_m', 'm2')").catch(() => undefined);
      same.query("INSERT INTO shop.notes VALUES ('tnt_m', 'm1')").catch(() => undefined);
    });
    await expect(failing).rejects.toBeInstanceOf(RolledBackError);
    expect(await notesOf('tnt_m')).toEqual(['m1']);
  });
});

describe('work that spans tenants', () => {
  it('is open to the scheduler where the table says so, and only there', async () => {
    await withTenant(database.pool, ['tnt_a', 'tnt_b'], (client) => client.query("INSERT INTO shop.jobs VALUES ('tnt_a', 'j1'), ('tnt_b', 'j2')"));
    await insert('tnt_a', 'hidden');
    const [jobs, notes] = await withScheduler(database.pool, async (client) => Promise.all([client.query('SELECT * FROM shop.jobs'), client.query('SELECT * FROM shop.notes')]));
    expect(jobs.rowCount).toBe(2);
    expect(notes.rowCount).toBe(0);
    expect((await withPlatform(database.pool, (client) => client.query('SELECT * FROM shop.jobs'))).rowCount).toBe(0);
    await expect(withScheduler(database.pool, (client) => client.query('DELETE FROM shop.jobs'))).rejects.toThrow(/permission denied/);
  });
});

describe('migrations', () => {
  it('run once however many processes start at the same moment', async () => {
    const fresh = await testDatabase();
    const runs = await Promise.all(Array.from({ length: 6 }, () => migrate({ url: fresh.url, schema: 'shop', migrations: MIGRATIONS })));
    expect(runs.map((run) => run.applied.length).sort()).toEqual([0, 0, 0, 0, 0, 1]);
    await fresh.drop();
  });

  it('go on after a process was killed in the middle of one', async () => {
    const fresh = await testDatabase();
    await migrate({ url: fresh.url, schema: 'shop', migrations: MIGRATIONS });
    await fresh.asSuperuser((client) => client.query('UPDATE shop.migrations_lock SET is_locked = 1'));
    const more: Migration[] = [...MIGRATIONS, { name: '0002_more', up: "ALTER TABLE shop.notes ADD COLUMN kind text DEFAULT 'a?b'" }];
    expect((await migrate({ url: fresh.url, schema: 'shop', migrations: more })).applied).toEqual(['0002_more']);
    await fresh.drop();
  });

  it('leave nothing of one that fails', async () => {
    const fresh = await testDatabase();
    const failing: Migration[] = [{ name: '0001_half', up: ['CREATE TABLE shop.half (id int)', 'SELECT no_such_function()'] }];
    await expect(migrate({ url: fresh.url, schema: 'shop', migrations: failing })).rejects.toThrow(/no_such_function/);
    expect((await migrate({ url: fresh.url, schema: 'shop', migrations: [{ name: '0001_half', up: 'CREATE TABLE shop.half (id int)' }] })).applied).toEqual(['0001_half']);
    await fresh.drop();
  });

  it('work for an owner who is no superuser, and tell the others what to run', async () => {
    const fresh = await testDatabase();
    const role = `platform_owner_${Date.now().toString(36)}`;
    const name = new URL(fresh.url).pathname.slice(1);
    await fresh.asSuperuser(async (client) => {
      await client.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x' CREATEROLE`);
      await client.query(`GRANT CREATE ON DATABASE "${name}" TO ${role}`);
    });
    const url = new URL(fresh.url);
    url.username = role;
    url.password = 'x';
    const attempt = migrate({ url: url.href, schema: 'shop', migrations: MIGRATIONS });
    // The role exists already and belongs to somebody else, so this user may not take it.
    await expect(attempt).rejects.toThrow(/Run once as a superuser: .*GRANT agentos_app TO/);
    await fresh.asSuperuser((client) => client.query(`GRANT agentos_app TO ${role}`));
    expect((await migrate({ url: url.href, schema: 'shop', migrations: MIGRATIONS })).applied).toEqual(['0001_notes']);
    const owned = await createDatabase({ url: url.href, applicationName: 'owner-test' });
    expect((await owned.pool.query('SELECT current_user AS role')).rows).toEqual([{ role: 'agentos_app' }]);
    await expect(withTenant(owned.pool, 'tnt_a', (client) => client.query("INSERT INTO shop.notes VALUES ('tnt_b', 'n')"))).rejects.toThrow(/row-level security/);
    await owned.close();
    const asOwner = new pg.Client({ connectionString: url.href });
    await asOwner.connect();
    expect((await asOwner.query('SELECT * FROM shop.notes')).rowCount).toBe(0);
    await asOwner.end();
    await fresh.drop();
    await scratch.asSuperuser((client) => client.query(`DROP ROLE ${role}`));
  });
});

describe('the application role', () => {
  it('may be made and taken by a user who may make roles', async () => {
    const fresh = await testDatabase();
    const suffix = Date.now().toString(36);
    const [user, role] = [`platform_maker_${suffix}`, `platform_app_${suffix}`];
    const name = new URL(fresh.url).pathname.slice(1);
    await fresh.asSuperuser((client) => client.query(`CREATE ROLE ${user} LOGIN PASSWORD 'x' CREATEROLE; GRANT CREATE ON DATABASE "${name}" TO ${user}`));
    const url = new URL(fresh.url);
    url.username = user;
    url.password = 'x';
    await Promise.all([1, 2, 3].map(() => migrate({ url: url.href, schema: 'own', role, migrations: [{ name: '0001', up: ['CREATE TABLE own.things (tenant_id text)', ...tenantTable('own.things', { role })] }] })));
    const owned = await createDatabase({ url: url.href, applicationName: 'maker-test', role });
    expect((await owned.pool.query('SELECT current_user AS role')).rows).toEqual([{ role }]);
    await owned.close();
    await fresh.drop();
    await scratch.asSuperuser((client) => client.query(`DROP ROLE ${role}; DROP ROLE ${user}`));
  });

  it('is refused when it could bypass row-level security', async () => {
    const fresh = await testDatabase();
    const role = `platform_strong_${Date.now().toString(36)}`;
    await fresh.asSuperuser((client) => client.query(`CREATE ROLE ${role} BYPASSRLS`));
    await expect(migrate({ url: fresh.url, schema: 'own', role, migrations: [] })).rejects.toThrow(/may bypass row-level security. Run: ALTER ROLE/);
    await fresh.asSuperuser((client) => client.query(`DROP ROLE ${role}`));
    await fresh.drop();
  });
});

describe('the listener', () => {
  it('hears notifications, and again after its connection was lost', async () => {
    const fresh = await testDatabase();
    await migrate({ url: fresh.url, schema: 'shop', migrations: MIGRATIONS });
    const heard: string[] = [];
    let connected = 0;
    const listener = listen({ url: fresh.url, applicationName: 'listener-test', channels: ['runs'], onNotification: (channel, payload) => heard.push(`${channel}:${payload}`), onConnect: () => (connected += 1) });
    await expect.poll(() => connected).toBe(1);
    await fresh.asSuperuser((client) => client.query("NOTIFY runs, 'one'"));
    await expect.poll(() => heard).toEqual(['runs:one']);
    await fresh.severConnections();
    await expect.poll(() => connected, { timeout: 5_000 }).toBe(2);
    await fresh.asSuperuser((client) => client.query("NOTIFY runs, 'two'"));
    await expect.poll(() => heard).toEqual(['runs:one', 'runs:two']);
    await listener.close();
    await fresh.drop();
  });
});
