/** Budgets over several real processes, some of which are killed: what the port's suite cannot do from one process. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { testDatabase, type TestDatabase } from '../../../conformance/harness/database.ts';
import { startStoreGate } from '../../../conformance/ports/store-gate.ts';
import { freshTenant } from '../../../conformance/ports/fixtures.ts';
import { verifies } from '../../../conformance/http/verifies.ts';
import { createDatabase, type Database } from '../../platform/db/pool.ts';
import type { BudgetLimit } from '../ports/usage.ts';
import { modelPolicyMigrations, MODEL_POLICY_SCHEMA } from './migrations/index.ts';
import { PostgresUsage } from './usage-postgres.ts';
import type { CallPlan, Told } from './usage-process.fixture.ts';

const ALIVE_MS = 1_500;
const budget = (maxTokens: number): BudgetLimit => ({ scope: 'tenant', scopeId: '', window: 'month', maxTokens, maxCostMicroUsd: null });

/** So that what is not shipped when a process is killed is everything. */
const NEVER_SHIPPED = { SHIP_AFTER_MS: '600000' };

interface Process {
  readonly child: ChildProcess;
  /** Calls whose settlement was acknowledged. */
  readonly settled: { readonly requestId: string; readonly tokens: number }[];
  run(plan: CallPlan): Promise<Extract<Told, { kind: 'done' }>>;
}

describe.each(['database', 'journal'] as const)('budgets over processes, written to the %s', (commit) => {
  let test: TestDatabase;
  let database: Database;
  let folder: string;
  const running = new Set<ChildProcess>();

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'agentos-usage-'));
    test = await testDatabase({ migrations: [{ schema: MODEL_POLICY_SCHEMA, migrations: modelPolicyMigrations }] });
    database = await createDatabase({ url: test.url, applicationName: 'observer', role: null, max: 3 });
    await database.pool.query('CREATE VIEW model_policy.finished_claims AS SELECT * FROM model_policy.request_claims WHERE done');
  });
  afterEach(async () => {
    for (const child of running) await end(child, 'SIGKILL');
  });
  afterAll(async () => {
    await database?.close();
    await test?.drop();
    rmSync(folder, { recursive: true, force: true });
  });

  const start = async (more: Readonly<Record<string, string>> = {}): Promise<Process> => {
    const child = fork(new URL('./usage-process.fixture.ts', import.meta.url), ['serve'], { execArgv: ['--import', 'tsx'], env: { ...process.env, DATABASE_URL: test.url, ALIVE_MS: String(ALIVE_MS), ...(commit === 'journal' ? { JOURNAL_DIR: folder } : {}), ...more }, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    running.add(child);
    const settled: { requestId: string; tokens: number }[] = [];
    child.on('message', (told: Told) => {
      if (told.kind === 'settled') settled.push(told);
    });
    await new Promise<void>((resolve) => child.once('message', () => resolve()));
    return {
      child, settled,
      run: (plan) => new Promise((resolve, reject) => {
        const onMessage = (told: Told): void => {
          if (told.kind !== 'done') return;
          child.off('message', onMessage);
          resolve(told);
        };
        child.on('message', onMessage);
        child.once('exit', () => reject(new Error('The process ended before its calls did.')));
        child.send(plan);
      }),
    };
  };
  const end = async (child: ChildProcess, signal: 'SIGKILL' | null): Promise<void> => {
    running.delete(child);
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    if (signal === null) child.send('stop');
    else child.kill(signal);
    await gone;
  };

  /** Looks at a tenant's budget until it is told to stop; answers how often it was above its limit, or not the sum of its leases. */
  const observe = (tenantId: string, limit: number) => {
    let stopped = false;
    const seen = { looks: 0, above: 0, unequal: 0, most: 0 };
    const loop = (async () => {
      while (!stopped) {
        const { rows } = await database.pool.query<{ total: number; reserved: number; leased: number }>({
          name: 'observe',
          text: `SELECT (b.spent_tokens + b.reserved_tokens)::float8 AS total, b.reserved_tokens::float8 AS reserved,
              COALESCE((SELECT sum(l.tokens) FROM model_policy.usage_leases l WHERE l.tenant_id = b.tenant_id), 0)::float8 AS leased
            FROM model_policy.budgets b WHERE b.tenant_id = $1`,
          values: [tenantId],
        });
        for (const { total, reserved, leased } of rows) {
          seen.looks += 1;
          seen.most = Math.max(seen.most, total);
          if (total > limit) seen.above += 1;
          if (reserved !== leased) seen.unequal += 1;
        }
        await new Promise((resolve) => setTimeout(resolve, 3));
      }
    })();
    return {
      async stop() {
        stopped = true;
        await loop;
        return seen;
      },
    };
  };
  const stateOf = async (tenantId: string) => {
    const { rows } = await database.pool.query<{ spent: number; reserved: number; booked: number; entries: number }>(
      `SELECT b.spent_tokens::float8 AS spent, b.reserved_tokens::float8 AS reserved, e.booked, e.entries FROM model_policy.budgets b,
         LATERAL (SELECT COALESCE(sum(input_tokens), 0)::float8 AS booked, count(*)::int AS entries FROM model_policy.usage_entries e WHERE e.tenant_id = b.tenant_id) e WHERE b.tenant_id = $1`, [tenantId]);
    return rows[0]!;
  };
  const plan = (auth: ReturnType<typeof freshTenant>, limit: number, more: Partial<CallPlan>): CallPlan => ({ auth, budgets: [budget(limit)], calls: 500, width: 500, tokens: [20, 20], usedPart: [100, 100], pauseMs: 0, seed: 1, ...more });

  it('lets exactly fifty of a thousand calls at once through on a budget for fifty', verifies(['PRS-15.3-04', 'PRS-6.2-06'], async () => {
    const auth = freshTenant('fifty');
    const [one, other] = await Promise.all([start(), start()]);
    const observer = observe(auth.tenant_id, 1_000);
    const told = await Promise.all([one.run(plan(auth, 1_000, { pauseMs: 200 })), other.run(plan(auth, 1_000, { pauseMs: 200, seed: 2 }))]);
    const seen = await observer.stop();
    expect(told[0].held + told[1].held).toBe(50);
    expect(told[0].failed + told[1].failed).toBe(0);
    expect(seen).toMatchObject({ above: 0, unequal: 0 });
    expect(seen.looks).toBeGreaterThan(5);
    await expect.poll(() => stateOf(auth.tenant_id)).toMatchObject({ spent: 1_000, booked: 1_000, entries: 50 });
    await Promise.all([end(one.child, null), end(other.child, null)]);
    expect(await stateOf(auth.tenant_id)).toMatchObject({ reserved: 0 });
  }), 180_000);

  it('strands nothing: three processes spend a budget down to less than the next call needs', async () => {
    const auth = freshTenant('strand');
    const limit = 200_000;
    const processes = await Promise.all([start(), start(), start()]);
    const observer = observe(auth.tenant_id, limit);
    const told = await Promise.all(processes.map((each, index) => each.run(plan(auth, limit, { calls: 4_000, width: 24, tokens: [20, 200], usedPart: [0, 100], pauseMs: 2, seed: index + 11 }))));
    const last = await Promise.all(processes.map((each, index) => each.run(plan(auth, limit, { calls: 300, width: 1, tokens: [20, 20], seed: index + 21 }))));
    const seen = await observer.stop();
    const spent = [...told, ...last].reduce((sum, each) => sum + each.spent, 0);
    expect([...told, ...last].reduce((sum, each) => sum + each.failed, 0)).toBe(0);
    expect(seen).toMatchObject({ above: 0, unequal: 0 });
    await expect.poll(() => stateOf(auth.tenant_id)).toMatchObject({ spent, booked: spent });
    expect(limit - spent).toBeLessThan(20);
    expect(limit - spent).toBeGreaterThanOrEqual(0);
    for (const each of processes) await end(each.child, null);
  }, 90_000);

  it('loses nothing that was acknowledged when a process is killed, and gets back what it held', verifies(['T08-01'], async () => {
    const auth = freshTenant('killed');
    const limit = 1_000_000;
    const [victim, survivor] = await Promise.all([start(), start()]);
    const observer = observe(auth.tenant_id, limit);
    const load = plan(auth, limit, { calls: 1_000_000, width: 32, tokens: [50, 150], usedPart: [20, 100], pauseMs: 5 });
    victim.run(load).catch(() => undefined);
    const surviving = survivor.run({ ...load, calls: 1_500, seed: 5 });
    await expect.poll(() => victim.settled.length, { timeout: 20_000 }).toBeGreaterThan(300);
    const killedAt = performance.now();
    await end(victim.child, 'SIGKILL');
    await surviving;
    const acknowledged = [...victim.settled, ...survivor.settled];
    const lost = async (): Promise<readonly string[]> => {
      const { rows } = await database.pool.query<{ request_id: string }>(
        'SELECT e.request_id FROM model_policy.usage_entries e JOIN model_policy.decisions d ON d.tenant_id = e.tenant_id AND d.request_id = e.request_id WHERE e.tenant_id = $1', [auth.tenant_id]);
      const booked = new Set(rows.map((row) => row.request_id));
      expect(rows.length, 'none twice').toBe(booked.size);
      return acknowledged.map((call) => call.requestId).filter((requestId) => !booked.has(requestId));
    };
    // What the dead one had only in its journal, the living one ships.
    if (commit === 'database') expect(await lost()).toEqual([]);
    else await expect.poll(lost, { timeout: 5_000 }).toEqual([]);
    const dead = async (): Promise<number> => (await database.pool.query<{ count: number }>('SELECT count(*)::int AS count FROM model_policy.usage_leases l WHERE l.tenant_id = $1 AND NOT EXISTS (SELECT FROM model_policy.usage_replicas r WHERE r.replica_id = l.replica_id AND r.alive_until > clock_timestamp())', [auth.tenant_id])).rows[0]!.count;
    await expect.poll(async () => (performance.now() - killedAt > ALIVE_MS ? dead() : 1), { timeout: ALIVE_MS + 5_000 }).toBe(0);
    // Everything that is left can be spent by the one that is left.
    const { spent } = await stateOf(auth.tenant_id);
    const rest = await survivor.run(plan(auth, limit, { calls: 1, width: 1, tokens: [limit - spent, limit - spent] }));
    expect(rest.held).toBe(1);
    const seen = await observer.stop();
    expect(seen).toMatchObject({ above: 0, unequal: 0 });
    await expect.poll(() => stateOf(auth.tenant_id)).toMatchObject({ spent: limit, booked: limit });
    await end(survivor.child, null);
  }), 180_000);

  it.runIf(commit === 'journal')('has every call that was answered, once, when its successor has started, kill after kill', verifies(['T08-01', 'PRS-15.3-04'], async () => {
    const auth = freshTenant('successor');
    const limit = 50_000;
    const observer = observe(auth.tenant_id, limit);
    const answered: string[] = [];
    let lost = 0;
    for (let round = 1; round <= 5; round += 1) {
      const victim = await start(NEVER_SHIPPED);
      victim.run(plan(auth, limit, { calls: 1_000_000, width: 24, tokens: [20, 60], usedPart: [20, 100], pauseMs: 3, seed: round, claims: true })).catch(() => undefined);
      await expect.poll(() => victim.settled.length, { timeout: 20_000 }).toBeGreaterThan(40 * round);
      await end(victim.child, 'SIGKILL');
      answered.push(...victim.settled.map((call) => call.requestId));
      const { entries: before } = await stateOf(auth.tenant_id);
      lost += answered.length - before;
      const successor = await start(NEVER_SHIPPED);
      const ids = async (table: string): Promise<string[]> => (await database.pool.query<{ request_id: string }>(`SELECT request_id FROM model_policy.${table} WHERE tenant_id = $1`, [auth.tenant_id])).rows.map((row) => row.request_id);
      const [entries, traces, finished] = [await ids('usage_entries'), await ids('decisions'), await ids('finished_claims')];
      expect([new Set(entries).size, new Set(traces).size], 'none twice').toEqual([entries.length, traces.length]);
      expect(answered.filter((id) => ![entries, traces, finished].every((each) => each.includes(id))), `round ${round}`).toEqual([]);
      await end(successor.child, null);
      const { spent, booked } = await stateOf(auth.tenant_id);
      expect(spent).toBe(booked);
    }
    // What was answered stood nowhere but in journals when the processes were killed.
    expect(lost).toBeGreaterThan(100);
    expect(await observer.stop()).toMatchObject({ above: 0, unequal: 0 });
    const last = await start();
    await expect.poll(async () => (await stateOf(auth.tenant_id)).reserved, { timeout: ALIVE_MS + 5_000 }).toBe(0);
    await end(last.child, null);
    expect(readdirSync(folder)).toEqual([]);
  }), 90_000);

  it('spends nothing from leases that were given back while it slept', async () => {
    const auth = freshTenant('asleep');
    const limit = 100_000;
    const [sleeper, waker] = await Promise.all([start(), start()]);
    const first = await sleeper.run(plan(auth, limit, { calls: 100, width: 8, tokens: [100, 100] }));
    expect(first.held).toBe(100);
    const observer = observe(auth.tenant_id, limit);
    sleeper.child.kill('SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, ALIVE_MS + 700));
    await waker.run(plan(auth, limit, { calls: 500, width: 16, tokens: [100, 100], seed: 3 }));
    sleeper.child.kill('SIGCONT');
    const both = await Promise.all([sleeper.run(plan(auth, limit, { calls: 600, width: 8, tokens: [100, 100], seed: 4 })), waker.run(plan(auth, limit, { calls: 600, width: 8, tokens: [100, 100], seed: 6 }))]);
    const seen = await observer.stop();
    expect(100 + 500 + both[0].held + both[1].held).toBe(1_000);
    expect(seen).toMatchObject({ above: 0, unequal: 0 });
    await expect.poll(() => stateOf(auth.tenant_id)).toMatchObject({ spent: limit, booked: limit });
    for (const each of [sleeper, waker]) await end(each.child, null);
  }, 180_000);

  it('keeps its account over connections that break in the middle of everything', async () => {
    const auth = freshTenant('severed');
    const limit = 10_000_000;
    const victim = await start();
    const load = victim.run(plan(auth, limit, { calls: 4_000, width: 32, tokens: [50, 150], usedPart: [20, 100], pauseMs: 2, seed: 9 }));
    for (let cut = 0; cut < 6; cut += 1) {
      await new Promise((resolve) => setTimeout(resolve, 150));
      await database.pool.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'usage-process%'");
    }
    const told = await load;
    expect(told.held).toBeGreaterThan(1_000);
    // A call whose caller was told of a failure is booked later, once.
    await expect.poll(async () => (await stateOf(auth.tenant_id)).entries, { timeout: 10_000 }).toBe(told.held);
    const { spent, booked } = await stateOf(auth.tenant_id);
    expect(spent).toBe(booked);
    expect(new Set(victim.settled.map((call) => call.requestId)).size).toBe(victim.settled.length);
    await end(victim.child, null);
    await expect.poll(async () => (await stateOf(auth.tenant_id)).reserved, { timeout: ALIVE_MS + 6_000 }).toBe(0);
  }, 180_000);

  it.runIf(commit === 'database')('books later, once, what it could not book while the database was away', async () => {
    const auth = freshTenant('away');
    const gate = await startStoreGate(test.url);
    const own = await createDatabase({ url: gate.url, applicationName: 'usage-own', max: 2 });
    const usage = new PostgresUsage({ pool: own.pool, url: gate.url, aliveMs: 60_000 });
    try {
      const hold = await usage.reserve(auth, { tokens: 100, costMicroUsd: 0, budgets: [budget(10_000)], ttlMs: 60_000 });
      if (hold.outcome !== 'held') throw new Error('Not held.');
      await gate.shut();
      const draft = { requestId: 'req_away', runId: null, agentId: null, principalId: 'usr_load', operation: 'chat', model: 'm', backend: 'b', inputTokens: 60, outputTokens: 0, costMicroUsd: 0, state: 'settled', fallbackUsed: false, estimated: false } as const;
      await expect(usage.settle(auth, hold.holdId, draft)).rejects.toMatchObject({ code: 'dependency_unavailable' });
      await gate.open();
      await expect.poll(() => stateOf(auth.tenant_id), { timeout: 6_000 }).toMatchObject({ spent: 60, booked: 60, entries: 1 });
      expect(await usage.settle(auth, hold.holdId, draft)).toBe(false);
    } finally {
      await usage.close();
      await own.close();
      await gate.close();
    }
    expect(await stateOf(auth.tenant_id)).toMatchObject({ spent: 60, reserved: 0, entries: 1 });
  }, 180_000);

  it.runIf(commit === 'database')('sends again what the server forgot when it broke down', async () => {
    const auth = freshTenant('forgot');
    const own = await createDatabase({ url: test.url, applicationName: 'usage-own', max: 2 });
    const usage = new PostgresUsage({ pool: own.pool, url: test.url, aliveMs: ALIVE_MS });
    try {
      const settle = async (requestId: string): Promise<void> => {
        const outcome = await usage.reserve(auth, { tokens: 100, costMicroUsd: 0, budgets: [budget(10_000)], ttlMs: 60_000 });
        if (outcome.outcome !== 'held') throw new Error('Not held.');
        await usage.settle(auth, outcome.holdId, { requestId, runId: null, agentId: null, principalId: 'usr_load', operation: 'chat', model: 'm', backend: 'b', inputTokens: 60, outputTokens: 0, costMicroUsd: 0, state: 'settled', fallbackUsed: false, estimated: false });
      };
      await settle('req_kept');
      await settle('req_forgotten');
      // As after a crash that lost the last commit: its row, its spending and its part of the lease are as before.
      const lost = await database.pool.query("DELETE FROM model_policy.usage_entries WHERE tenant_id = $1 AND request_id = 'req_forgotten'", [auth.tenant_id]);
      expect(lost.rowCount).toBe(1);
      await database.pool.query('UPDATE model_policy.budgets SET spent_tokens = spent_tokens - 60, reserved_tokens = reserved_tokens + 60 WHERE tenant_id = $1', [auth.tenant_id]);
      await database.pool.query('UPDATE model_policy.usage_leases SET tokens = tokens + 60 WHERE tenant_id = $1', [auth.tenant_id]);
      await database.pool.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'usage-own'");
      await expect.poll(async () => (await stateOf(auth.tenant_id)), { timeout: 5_000 }).toMatchObject({ spent: 120, booked: 120, entries: 2 });
    } finally {
      await usage.close();
      await own.close();
    }
    expect(await stateOf(auth.tenant_id)).toMatchObject({ spent: 120, reserved: 0 });
  });

  it.runIf(commit === 'database')('begins a new life when it was taken for dead, and books what the old one held', async () => {
    const auth = freshTenant('anew');
    const own = await createDatabase({ url: test.url, applicationName: 'usage-own', max: 2 });
    const usage = new PostgresUsage({ pool: own.pool, url: test.url, aliveMs: 60_000 });
    const draft = { requestId: 'req_old', runId: null, agentId: null, principalId: 'usr_load', operation: 'chat', model: 'm', backend: 'b', inputTokens: 70, outputTokens: 0, costMicroUsd: 0, state: 'settled', fallbackUsed: false, estimated: false } as const;
    try {
      const old = await usage.reserve(auth, { tokens: 100, costMicroUsd: 0, budgets: [budget(10_000)], ttlMs: 60_000 });
      await database.pool.query("UPDATE model_policy.usage_replicas r SET alive_until = now() - interval '1 second' FROM model_policy.usage_leases l WHERE l.tenant_id = $1 AND l.replica_id = r.replica_id", [auth.tenant_id]);
      await usage.expire();
      expect(await stateOf(auth.tenant_id)).toMatchObject({ reserved: 0 });
      const fresh = await usage.reserve(auth, { tokens: 100, costMicroUsd: 0, budgets: [{ ...budget(500), scope: 'principal', scopeId: 'usr_load' }], ttlMs: 60_000 });
      if (old.outcome !== 'held' || fresh.outcome !== 'held') throw new Error('Not held.');
      const orphans = await database.pool.query('SELECT 1 FROM model_policy.usage_leases l WHERE l.tenant_id = $1 AND NOT EXISTS (SELECT FROM model_policy.usage_replicas r WHERE r.replica_id = l.replica_id)', [auth.tenant_id]);
      expect(orphans.rowCount).toBe(0);
      expect([await usage.settle(auth, old.holdId, draft), await usage.release(auth, fresh.holdId)]).toEqual([true, true]);
    } finally {
      await usage.close();
      await own.close();
    }
    const { rows } = await database.pool.query<{ scope: string; spent: number; reserved: number }>('SELECT scope, spent_tokens::float8 AS spent, reserved_tokens::float8 AS reserved FROM model_policy.budgets WHERE tenant_id = $1 ORDER BY scope', [auth.tenant_id]);
    expect(rows).toEqual([{ scope: 'principal', spent: 0, reserved: 0 }, { scope: 'tenant', spent: 70, reserved: 0 }]);
  });

  it.runIf(commit === 'database')('counts as spent what a process had set aside that went down together with the server', async () => {
    const auth = freshTenant('both');
    const victim = await start();
    void victim.run(plan(auth, 100_000, { calls: 100, width: 4, tokens: [100, 100], pauseMs: 60_000 })).catch(() => undefined);
    await expect.poll(async () => (await database.pool.query('SELECT 1 FROM model_policy.usage_leases WHERE tenant_id = $1', [auth.tenant_id])).rowCount, { timeout: 5_000 }).toBe(1);
    await end(victim.child, 'SIGKILL');
    await database.pool.query("UPDATE model_policy.usage_leases SET taken_at = pg_postmaster_start_time() - interval '1 second' WHERE tenant_id = $1", [auth.tenant_id]);
    const { reserved } = await stateOf(auth.tenant_id);
    expect(reserved).toBeGreaterThanOrEqual(400);
    const survivor = await start();
    await survivor.run(plan(freshTenant('other'), 1_000, { calls: 1, width: 1 }));
    await expect.poll(() => stateOf(auth.tenant_id), { timeout: ALIVE_MS + 5_000 }).toMatchObject({ reserved: 0, spent: reserved });
    await end(survivor.child, null);
  }, 180_000);

  it.runIf(commit === 'database')('cannot be made negative, whoever tries', async () => {
    const auth = freshTenant('negative');
    await database.pool.query("INSERT INTO model_policy.budgets (tenant_id, scope, scope_id, time_window, window_start) VALUES ($1, 'tenant', '', 'day', now())", [auth.tenant_id]);
    for (const column of ['spent_tokens', 'reserved_tokens', 'spent_micro_usd', 'reserved_micro_usd']) {
      await expect(database.pool.query(`UPDATE model_policy.budgets SET ${column} = -1 WHERE tenant_id = $1`, [auth.tenant_id])).rejects.toMatchObject({ code: '23514' });
    }
  });
});
