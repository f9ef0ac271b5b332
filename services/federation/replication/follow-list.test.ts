import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabase, type TestDatabase } from '../../../conformance/harness/database.ts';
import { AUDIT_SET } from '../../../conformance/harness/migrations.ts';
import { createDatabase, type Database } from '../../platform/db/pool.ts';
import { newId } from '../../platform/ids.ts';
import { MemoryFollowList, type ForwardedRunFacts } from '../adapters/follow-list-memory.ts';
import { PostgresFollowList } from '../adapters/follow-list-postgres.ts';
import { federationMigrations, FEDERATION_SCHEMA } from '../adapters/migrations/index.ts';
import { followKey, type FollowList } from './follow-list.ts';

interface Harness {
  readonly list: FollowList;
  forward(facts: ForwardedRunFacts): Promise<void>;
  forgetForward(runId: string): Promise<void>;
}

const DAY_MS = 86_400_000;
const since = new Date(Date.now() - DAY_MS);
const own = { ownStackId: 'stk_a', since, limit: 100 };

async function forwarded({ forward }: Harness, facts: Partial<ForwardedRunFacts> = {}): Promise<string> {
  const runId = newId('run');
  await forward({ tenantId: 'tnt_list', runId, targetStackId: 'stk_b', createdAt: new Date(), ...facts });
  return runId;
}

/** Finishes whatever is due, so that tests do not meet each other's runs. */
async function drain({ list }: Harness): Promise<void> {
  await list.enter({ ...own, since: new Date(0) });
  for (const run of await list.take({ limit: 100, leaseMs: 60_000 })) await list.finish(run);
}

function behaves(harness: () => Harness): void {
  it('enters what was forwarded to other nodes since, once', async () => {
    await drain(harness());
    const { list } = harness();
    const mine = await forwarded(harness());
    await forwarded(harness(), { targetStackId: 'stk_a' });
    await forwarded(harness(), { createdAt: new Date(Date.now() - 2 * DAY_MS) });
    expect(await list.enter(own)).toBe(1);
    expect(await list.enter(own)).toBe(0);
    expect(await list.open()).toBe(1);
    const taken = await list.take({ limit: 10, leaseMs: 60_000 });
    expect(taken.map(({ tenantId, runId, targetStackId, failures }) => ({ tenantId, runId, targetStackId, failures }))).toEqual([{ tenantId: 'tnt_list', runId: mine, targetStackId: 'stk_b', failures: 0 }]);
    await list.finish(taken[0]!);
  });

  it('gives a run to one of many that ask at once, until its lease runs out', async () => {
    await drain(harness());
    const { list } = harness();
    for (let run = 0; run < 10; run += 1) await forwarded(harness());
    await list.enter(own);
    const taken = (await Promise.all(Array.from({ length: 6 }, () => list.take({ limit: 4, leaseMs: 400 })))).flat();
    expect(new Set(taken.map(followKey)).size).toBe(taken.length);
    expect(taken).toHaveLength(10);
    expect(await list.take({ limit: 100, leaseMs: 400 })).toEqual([]);
    const kept = taken.slice(0, 4);
    for (let renewals = 0; renewals < 3; renewals += 1) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect((await list.renew(kept, 60_000)).size).toBe(4);
    }
    const again = await list.take({ limit: 100, leaseMs: 60_000 });
    expect(again).toHaveLength(6);
    // Whoever lost a run can neither keep it nor say what became of it.
    const lost = taken.find((run) => followKey(run) === followKey(again[0]!))!;
    expect(await list.renew([lost, kept[0]!], 60_000)).toEqual(new Set([followKey(kept[0]!)]));
    await list.finish(lost);
    await list.giveBack(lost, { afterMs: 0, failed: true });
    expect(await list.open()).toBe(10);
    for (const run of [...kept, ...again]) await list.finish(run);
    expect(await list.open()).toBe(0);
  });

  it('counts failures in a row, and has a run wait that was given back', async () => {
    await drain(harness());
    const { list } = harness();
    await forwarded(harness());
    await list.enter(own);
    const take = async () => (await list.take({ limit: 1, leaseMs: 60_000 }))[0]!;
    for (const [failed, failures] of [[true, 0], [true, 1], [false, 2], [true, 0]] as const) {
      const run = await take();
      expect(run.failures).toBe(failures);
      await list.giveBack(run, { afterMs: 0, failed });
    }
    await list.giveBack(await take(), { afterMs: 60_000, failed: false });
    expect(await list.take({ limit: 1, leaseMs: 60_000 })).toEqual([]);
  });

  it('forgets what the index of forwards has forgotten, and nothing else', async () => {
    await drain(harness());
    const { list } = harness();
    const [kept, gone] = [await forwarded(harness()), await forwarded(harness())];
    await list.enter(own);
    await list.forget(1_000);
    await harness().forgetForward(gone);
    expect(await list.forget(1_000)).toBe(1);
    expect((await list.take({ limit: 100, leaseMs: 60_000 })).map(({ runId }) => runId)).toContain(kept);
    expect(await list.enter({ ...own, since: new Date(0) })).toBe(0);
  });
}

describe('the list of followed runs in memory', () => {
  const forwards: ForwardedRunFacts[] = [];
  const list = new MemoryFollowList(() => forwards);
  behaves(() => ({
    list,
    forward: async (facts) => void forwards.push(facts),
    forgetForward: async (runId) => void forwards.splice(forwards.findIndex((facts) => facts.runId === runId), 1),
  }));
});

describe('the list of followed runs in Postgres', () => {
  let test: TestDatabase;
  let database: Database;
  beforeAll(async () => {
    test = await testDatabase({ migrations: [AUDIT_SET, { schema: FEDERATION_SCHEMA, migrations: federationMigrations }] });
    database = await createDatabase({ url: test.url, applicationName: 'follow-list' });
  });
  afterAll(async () => {
    await database.close();
    await test.drop();
  });
  behaves(() => ({
    list: new PostgresFollowList(database.pool),
    forward: ({ tenantId, runId, targetStackId, createdAt }) => test.asSuperuser((client) => client.query(
      `INSERT INTO federation.forwards (tenant_id, forward_id, principal_id, agent_id, target_stack_id, correlation_id, created_at, remote_run_id, remote_events_url, remote_status, completed_at)
       VALUES ($1, $2, 'usr', 'agt', $3, 'corr', $4, $5, 'https://b', 'queued', $4)`, [tenantId, newId('fwd'), targetStackId, createdAt, runId])).then(() => undefined),
    forgetForward: (runId) => test.asSuperuser((client) => client.query('DELETE FROM federation.forwards WHERE remote_run_id = $1', [runId])).then(() => undefined),
  }));
});
