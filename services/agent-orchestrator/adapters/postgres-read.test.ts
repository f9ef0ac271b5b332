/** Reads that set their tenant themselves, outside of any transaction of ours. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { testDatabase, type TestDatabase } from '../../../conformance/harness/database.ts';
import { createDatabase, type Database } from '../../platform/db/pool.ts';
import { migrate } from '../../platform/db/migrate.ts';
import { readScoped, scoped } from './postgres-read.ts';

let test: TestDatabase;
let database: Database;
beforeAll(async () => {
  test = await testDatabase();
  await migrate({ url: test.url, schema: 'read', migrations: [] });
  database = await createDatabase({ url: test.url, applicationName: 'scoped', max: 1 });
});
afterAll(async () => {
  await database?.close();
  await test?.drop();
});

const SEEN = scoped('test_seen', "SELECT current_setting('app.tenant_ids', true) AS seen, s.tenant_id AS named, 12 / (length(s.tenant_id) - $2::int) AS divided");
const left = async (): Promise<string> => (await database.pool.query<{ tenant: string | null }>("SELECT current_setting('app.tenant_ids', true) AS tenant")).rows[0]!.tenant ?? '';

it('act for the tenant that they name and leave nothing on the connection, when they fail as well', async () => {
  expect(await readScoped(database.pool, SEEN, ['tnt_one', 0])).toMatchObject([{ seen: 'tnt_one', named: 'tnt_one' }]);
  expect(await left()).toBe('');
  await expect(readScoped(database.pool, SEEN, ['tnt_one', 7])).rejects.toMatchObject({ code: 'invalid_request' });
  expect(await left()).toBe('');
  const hostile = "x'; SET app.platform = 'on'; --";
  expect(await readScoped(database.pool, SEEN, [hostile, 0])).toMatchObject([{ seen: hostile, named: hostile }]);
  expect(await left()).toBe('');
});

it('act for nobody where the name would be read as two', async () => {
  expect(await readScoped(database.pool, SEEN, ['tnt_one,tnt_two', 0])).toEqual([]);
});
