import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabase, type TestDatabase } from '../../../conformance/harness/database.ts';
import { nodeMigrations } from '../../../conformance/harness/migrations.ts';
import { verifies } from '../../../conformance/http/verifies.ts';
import { createDatabase, type Database } from '../../platform/db/pool.ts';
import { PostgresAssertionUses } from './assertion-uses-postgres.ts';

let database: TestDatabase;
let opened: Database;
beforeAll(async () => {
  database = await testDatabase({ migrations: nodeMigrations });
  opened = await createDatabase({ url: database.url, applicationName: 'assertion-uses', max: 4 });
}, 180_000);
afterAll(async () => {
  await opened?.close();
  await database?.drop();
});

describe('uses of assertions', () => {
  const use = (jti: string) => ({ issuer: 'stk_a', jti, expiresAtMs: Date.now() + 60_000 });

  it('are remembered by their process, whatever a server that broke down has forgotten', verifies(['PRS-7.4-01'], async () => {
    const [here, elsewhere] = [new PostgresAssertionUses(opened.pool), new PostgresAssertionUses(opened.pool)];
    const given = use('jti_forgotten');
    expect([await here.use(given), await elsewhere.use(given), await here.use(given)]).toEqual([true, false, false]);
    await database.asSuperuser((client) => client.query('TRUNCATE federation.peer_assertions'));
    expect(await here.use(given)).toBe(false);
    expect(await elsewhere.use(given), 'it has seen it, too').toBe(false);
  }));

  it('that have expired are all deleted, however many came in between', async () => {
    await database.asSuperuser((client) => client.query("TRUNCATE federation.peer_assertions; INSERT INTO federation.peer_assertions SELECT 'stk_a', 'jti_old_' || n, clock_timestamp() - interval '2 minutes' FROM generate_series(1, 25) n"));
    const uses = new PostgresAssertionUses(opened.pool, { cleanMs: -1, batch: 10 });
    expect(await uses.use(use('jti_of_now'))).toBe(true);
    const left = () => database.asSuperuser(async (client) => (await client.query<{ jti: string }>('SELECT jti FROM federation.peer_assertions')).rows.map(({ jti }) => jti));
    await expect.poll(left, { timeout: 10_000 }).toEqual(['jti_of_now']);
    await uses.close();
  });

  it('leave the setting of the connection as it is', async () => {
    const uses = new PostgresAssertionUses(opened.pool);
    await Promise.all(Array.from({ length: 8 }, (_, index) => uses.use(use(`jti_${index}_setting`))));
    const settings = await Promise.all(Array.from({ length: 8 }, async () => (await opened.pool.query<{ synchronous_commit: string }>('SHOW synchronous_commit')).rows[0]!.synchronous_commit));
    expect(new Set(settings)).toEqual(new Set(['on']));
  });
});
