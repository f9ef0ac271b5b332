/** Claims whose process, or whose connection, ends before anybody knows what became of them: none is waited for without end. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabase, type TestDatabase } from '../../../conformance/harness/database.ts';
import { freshTenant } from '../../../conformance/ports/fixtures.ts';
import { AUDIT_SCHEMA, auditMigrations } from '../../platform/audit/audit-migrations.ts';
import { createDatabase, type Database } from '../../platform/db/pool.ts';
import { AgentOsError } from '../../platform/errors.ts';
import { modelPolicyMigrations, MODEL_POLICY_SCHEMA } from './migrations/index.ts';
import { JournalWriter } from './usage-journal-writer.ts';
import { PostgresUsage } from './usage-postgres.ts';

let test: TestDatabase;
let database: Database;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'agentos-claims-'));
  test = await testDatabase({ migrations: [{ schema: AUDIT_SCHEMA, migrations: auditMigrations }, { schema: MODEL_POLICY_SCHEMA, migrations: modelPolicyMigrations }] });
  database = await createDatabase({ url: test.url, applicationName: 'claims', max: 6 });
});
afterAll(async () => {
  await database?.close();
  await test?.drop();
  rmSync(folder, { recursive: true, force: true });
});

function open(name: string, pool: pg.Pool = database.pool) {
  const aliveMs = 10_000;
  const writer = new JournalWriter({ folder: join(folder, name), pool, aliveMs });
  const usage = new PostgresUsage({ pool, url: test.url, writer, aliveMs });
  return { usage, close: () => usage.close().then(() => writer.close()) };
}

/** A pool that loses the answer to every claim while `lost()`: what it asked for is done all the same. */
function losingClaims(lost: () => boolean): pg.Pool {
  return new Proxy(database.pool, {
    get(pool, name) {
      if (name === 'query') {
        return async (query: { name?: string }) => {
          const answer = await pool.query(query as pg.QueryConfig);
          if (query.name === 'mp_claim' && lost()) throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
          return answer;
        };
      }
      const value: unknown = Reflect.get(pool, name);
      return typeof value === 'function' ? (value as (...data: unknown[]) => unknown).bind(pool) : value;
    },
  });
}

const openClaims = (requestId: string): Promise<number> =>
  test.asSuperuser(async (client) => (await client.query<{ count: number }>('SELECT count(*)::int AS count FROM model_policy.request_claims WHERE request_id = $1 AND NOT done', [requestId])).rows[0]!.count);

describe('a claim of which nobody knows whether it was made', () => {
  it('can be made anew by the process that made it, and by another', async () => {
    const auth = freshTenant('doubt');
    let lost = true;
    const doubting = open('doubting', losingClaims(() => lost));
    const other = open('other');
    const [own, others] = await Promise.allSettled([doubting.usage.claim(auth, 'req_own', 'hash'), doubting.usage.claim(auth, 'req_others', 'hash')]);
    for (const outcome of [own, others]) expect(outcome.status === 'rejected' && outcome.reason instanceof AgentOsError ? outcome.reason.code : outcome).toBe('dependency_unavailable');
    lost = false;
    expect(await doubting.usage.claim(auth, 'req_own', 'hash')).toBe('claimed');
    // Given back by itself: the other process has nobody to ask.
    await expect.poll(() => other.usage.claim(auth, 'req_others', 'hash'), { timeout: 10_000 }).toBe('claimed');
    expect(await openClaims('req_own'), 'what was claimed anew is not given back').toBe(1);
    for (const [each, id] of [[doubting, 'req_own'], [other, 'req_others']] as const) await each.usage.endClaim(auth, id, false);
    await Promise.all([doubting.close(), other.close()]);
  }, 180_000);
});

describe('the claim of a process that is gone and whose journal nobody finds', () => {
  it('is waited for as long as the process may live and its journal be taken over, and then told as lost', async () => {
    const auth = freshTenant('lost');
    const gone = open('gone');
    const lastSeen = (seconds: number): Promise<unknown> =>
      test.asSuperuser((client) => client.query("UPDATE model_policy.usage_replicas SET alive_until = clock_timestamp() + $1 * interval '1 second' WHERE replica_id = (SELECT replica_id FROM model_policy.request_claims WHERE request_id = 'req_1')", [seconds]));
    expect(await gone.usage.claim(auth, 'req_1', 'hash')).toBe('claimed');
    await gone.usage.abandon();
    rmSync(join(folder, 'gone'), { recursive: true });
    const heir = open('heir');
    const asked = (): Promise<string> => heir.usage.claim(auth, 'req_1', 'hash');
    await lastSeen(600);
    expect(await asked(), 'it lives').toBe('open');
    await lastSeen(-1);
    expect(await asked(), 'its journal may be taken over').toBe('open');
    await lastSeen(-60);
    expect(await asked()).toBe('lost');
    expect(await heir.usage.claim(auth, 'req_1', 'another')).toBe('other_request');
    expect(await openClaims('req_1'), 'nobody takes it: it may have been charged').toBe(1);
    await heir.close();
  }, 180_000);
});
