import { afterAll, beforeAll, expect, it } from 'vitest';
import { testDatabase, type TestDatabase } from '../../../conformance/harness/database.ts';
import { decisionOf } from '../../../conformance/ports/decision-fixtures.ts';
import { freshTenant } from '../../../conformance/ports/fixtures.ts';
import { createDatabase, type Database } from '../../platform/db/pool.ts';
import { PostgresDecisions } from './decisions-postgres.ts';
import { modelPolicyMigrations, MODEL_POLICY_SCHEMA } from './migrations/index.ts';

const DAY_MS = 86_400_000;
let test: TestDatabase;
let database: Database;
let decisions: PostgresDecisions;
beforeAll(async () => {
  test = await testDatabase({ migrations: [{ schema: MODEL_POLICY_SCHEMA, migrations: modelPolicyMigrations }] });
  database = await createDatabase({ url: test.url, applicationName: 'decisions' });
  decisions = new PostgresDecisions({ pool: database.pool, retentionMs: 30 * DAY_MS });
});
afterAll(async () => {
  await decisions.close();
  await database.close();
  await test.drop();
});

it('forgets what is older than the time decisions are kept, of every tenant', async () => {
  const tenants = [freshTenant(), freshTenant()];
  const at = (days: number): string => new Date(Date.now() - days * DAY_MS).toISOString();
  for (const auth of tenants) for (const days of [0, 29, 31, 400]) await decisions.record(auth, decisionOf(auth, { at: at(days), model_ref: `age ${days}` }));
  await decisions.forgetOld();
  for (const auth of tenants) expect((await decisions.list(auth, { limit: 10 })).decisions.map((each) => each.model_ref)).toEqual(['age 29', 'age 0']);
});

it('waits for what it was given before it closes, and takes nothing afterwards', async () => {
  const auth = freshTenant();
  const closing = new PostgresDecisions({ pool: database.pool, retentionMs: DAY_MS });
  const all = Array.from({ length: 600 }, () => decisionOf(auth));
  const given = Promise.all(all.map((each) => closing.record(auth, each)));
  await closing.close();
  await given;
  expect((await decisions.list(auth, { limit: 1_000 })).decisions).toHaveLength(600);
  await expect(closing.record(auth, all[0]!)).rejects.toThrow('closed');
});
