import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { databaseName, newRunId, startOfRun } from './database-server.ts';
import { testDatabase, type MigrationSet } from './database.ts';

const SETS: readonly MigrationSet[] = [
  { schema: 'harness', migrations: [{ name: '0001_note', up: 'CREATE TABLE harness.note (id int PRIMARY KEY, text text NOT NULL)' }] },
];

describe('the name of a test database', () => {
  it('tells when its run began, whatever the digits of the time are', () => {
    const before = Date.now();
    const startedAt = startOfRun(databaseName(newRunId(), 'template', 'abc'));
    expect(startedAt).toBeGreaterThanOrEqual(before);
    expect(startedAt).toBeLessThanOrEqual(Date.now());
    for (const other of ['postgres', 'aot_', 'aot_x1', 'aot_mwqp10yzx1']) expect(startOfRun(other)).toBeNaN();
  });
});

describe('testDatabase', () => {
  it('gives every caller a database of its own, with the migrations applied', async () => {
    const [one, other] = await Promise.all([testDatabase({ migrations: SETS }), testDatabase({ migrations: SETS })]);
    await one.asSuperuser((client) => client.query("INSERT INTO harness.note VALUES (1, 'mine')"));
    const seen = await other.asSuperuser((client) => client.query('SELECT * FROM harness.note'));
    expect(seen.rows).toEqual([]);
    await Promise.all([one.drop(), other.drop()]);
  });

  it('clones fast once the template is there', async () => {
    await (await testDatabase({ migrations: SETS })).drop();
    const startedAt = performance.now();
    const database = await testDatabase({ migrations: SETS });
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    await database.drop();
  });

  it('names a connection that was left open, and removes the database all the same', async () => {
    const database = await testDatabase();
    const client = new pg.Client({ connectionString: database.url, application_name: 'forgotten' });
    client.on('error', () => {});
    await client.connect();
    await expect(database.drop()).rejects.toThrow(/forgotten/);
    await client.end().catch(() => {});
  });

  it('severs connections as a restarting server would', async () => {
    const database = await testDatabase();
    const client = new pg.Client({ connectionString: database.url });
    const broken = new Promise((resolve) => client.on('error', resolve));
    await client.connect();
    expect(await database.severConnections()).toBe(1);
    await broken;
    await client.end().catch(() => {});
    await database.drop();
  });
});
