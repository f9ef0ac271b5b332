/** Calls on their way over a journal into the database, and what becomes of it when a process, the disk or the server is gone. */
import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabase, type TestDatabase } from '../../../conformance/harness/database.ts';
import { decisionOf } from '../../../conformance/ports/decision-fixtures.ts';
import { freshTenant } from '../../../conformance/ports/fixtures.ts';
import { startStoreGate, type StoreGate } from '../../../conformance/ports/store-gate.ts';
import { verifies } from '../../../conformance/http/verifies.ts';
import { AUDIT_SCHEMA, auditMigrations } from '../../platform/audit/audit-migrations.ts';
import { AuditTrail } from '../../platform/audit/audit-trail.ts';
import { createDatabase, type Database } from '../../platform/db/pool.ts';
import type { AuthContext } from '../../platform/tenancy/auth-context.ts';
import type { BudgetLimit, UsageDraft } from '../ports/usage.ts';
import { PostgresDecisions } from './decisions-postgres.ts';
import { modelPolicyMigrations, MODEL_POLICY_SCHEMA } from './migrations/index.ts';
import { thisProcess, type JournalOwner } from './usage-journal-owner.ts';
import { DISK } from './usage-journal.ts';
import { JournalWriter, type JournalWriterOptions } from './usage-journal-writer.ts';
import { openCallWriter } from './usage-open-writer.ts';
import { PostgresUsage } from './usage-postgres.ts';
import { DatabaseWriter } from './usage-postgres-writer.ts';

const NEVER_MS = 1_000_000_000;
const ALIVE_MS = 600;
const budget = (maxTokens: number): BudgetLimit => ({ scope: 'tenant', scopeId: '', window: 'month', maxTokens, maxCostMicroUsd: null });
const draftOf = (requestId: string, tokens: number): UsageDraft => ({
  requestId, runId: null, agentId: null, principalId: 'usr_load', operation: 'chat', model: 'm', backend: 'b', inputTokens: tokens, outputTokens: 0, costMicroUsd: 0, state: 'settled', fallbackUsed: false, estimated: false,
});
/** A process that has ended: whoever opens with it leaves a journal of the dead behind. */
const dead: JournalOwner = { ...thisProcess(), pid: spawnSync(process.execPath, ['-e', '']).pid };

let test: TestDatabase;
let observer: Database;
let gate: StoreGate;
let gated: Database;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'agentos-journals-'));
  test = await testDatabase({ migrations: [{ schema: AUDIT_SCHEMA, migrations: auditMigrations }, { schema: MODEL_POLICY_SCHEMA, migrations: modelPolicyMigrations }] });
  observer = await createDatabase({ url: test.url, applicationName: 'observer', role: null, max: 3 });
  gate = await startStoreGate(test.url);
  gated = await createDatabase({ url: gate.url, applicationName: 'gated', max: 4 });
});
afterAll(async () => {
  await gated?.close();
  await gate?.close();
  await observer?.close();
  await test?.drop();
  rmSync(folder, { recursive: true, force: true });
});

interface Opened {
  readonly writer: JournalWriter;
  readonly usage: PostgresUsage;
  readonly decisions: PostgresDecisions;
  /** One call from its hold to its end, as the engine ends it. */
  call(auth: AuthContext, requestId: string, tokens?: number, budgets?: readonly BudgetLimit[]): Promise<void>;
  close(): Promise<void>;
  /** Lets go of everything as a killed process does: the journal stays. */
  abandon(): Promise<void>;
}

let ledgers = 0;
const ownFolder = (): string => join(folder, `ledger-${(ledgers += 1)}`);

async function open(options: Partial<JournalWriterOptions> & { readonly folder: string; readonly graceMs?: number; readonly url?: string }): Promise<Opened> {
  const database = await createDatabase({ url: options.url ?? test.url, applicationName: 'journal', max: 4 });
  const pool = options.pool ?? database.pool;
  const writer = new JournalWriter({ aliveMs: ALIVE_MS, ...options, pool });
  const usage = new PostgresUsage({ pool, url: options.url ?? test.url, writer, aliveMs: options.aliveMs ?? ALIVE_MS, ...(options.graceMs === undefined ? {} : { journalGraceMs: options.graceMs }) });
  const decisions = new PostgresDecisions({ pool, retentionMs: 86_400_000, writer, trail: new AuditTrail({ service: 'model-policy' }) });
  return {
    writer, usage, decisions,
    async call(auth, requestId, tokens = 10, budgets = [budget(1_000_000)]) {
      const claimed = await usage.claim(auth, requestId, 'hash');
      if (claimed !== 'claimed') throw new Error(claimed);
      const outcome = await usage.reserve(auth, { tokens, costMicroUsd: 0, budgets, ttlMs: 60_000 });
      if (outcome.outcome !== 'held') throw new Error(JSON.stringify(outcome));
      await Promise.all([usage.settle(auth, outcome.holdId, draftOf(requestId, tokens)), usage.endClaim(auth, requestId, true), decisions.record(auth, decisionOf(auth, { request_id: requestId }))]);
    },
    async close() {
      await decisions.close();
      await usage.close();
      await writer.close();
      await database.close();
    },
    async abandon() {
      await usage.abandon();
      await database.close();
    },
  };
}

const stateOf = async (auth: AuthContext) => (await observer.pool.query<{ spent: number; reserved: number }>('SELECT spent_tokens::float8 AS spent, reserved_tokens::float8 AS reserved FROM model_policy.budgets WHERE tenant_id = $1', [auth.tenant_id])).rows[0];
const ledgerOf = async (auth: AuthContext): Promise<string[]> => (await observer.pool.query<{ request_id: string }>('SELECT request_id FROM model_policy.usage_entries WHERE tenant_id = $1 ORDER BY entry_id', [auth.tenant_id])).rows.map((row) => row.request_id);
const tracesOf = async (auth: AuthContext): Promise<string[]> => (await observer.pool.query<{ request_id: string }>('SELECT request_id FROM model_policy.decisions WHERE tenant_id = $1 ORDER BY decision_id', [auth.tenant_id])).rows.map((row) => row.request_id);
const claimsOf = async (auth: AuthContext) => (await observer.pool.query<{ request_id: string; done: boolean }>('SELECT request_id, done FROM model_policy.request_claims WHERE tenant_id = $1 ORDER BY request_id', [auth.tenant_id])).rows;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('a call that was answered', () => {
  it('is in the journal at once, and for its reader in the database', async () => {
    const auth = freshTenant('read');
    const opened = await open({ folder: ownFolder(), shipAfterMs: NEVER_MS });
    await opened.call(auth, 'req_1');
    await opened.call(auth, 'req_2');
    expect([await ledgerOf(auth), await tracesOf(auth)]).toEqual([[], []]);
    expect((await opened.decisions.get(auth, 'req_1')).request_id).toBe('req_1');
    expect([await ledgerOf(auth), await tracesOf(auth)]).toEqual([['req_1', 'req_2'], ['req_1', 'req_2']]);
    await opened.call(auth, 'req_3');
    expect((await opened.usage.entries(auth, { limit: 10 })).entries.map((entry) => entry.requestId)).toEqual(['req_3', 'req_2', 'req_1']);
    await opened.call(auth, 'req_4');
    expect((await opened.usage.byModel(auth, {}))[0]).toMatchObject({ requests: 4 });
    await opened.call(auth, 'req_5');
    expect((await opened.usage.budgets(auth))[0]).toMatchObject({ spentTokens: 50 });
    expect(await opened.usage.claim(auth, 'req_5', 'hash')).toBe('done');
    await opened.close();
    expect(await stateOf(auth)).toEqual({ spent: 50, reserved: 0 });
  });

  it('is found from every process as soon as it is answered', async () => {
    const auth = freshTenant('every');
    const [one, other] = [await open({ folder: ownFolder(), shipAfterMs: NEVER_MS }), await open({ folder: ownFolder(), shipAfterMs: NEVER_MS })];
    for (const [index, each] of [one, other, one, other].entries()) {
      await each.call(auth, `req_${index}`);
      const reader = each === one ? other : one;
      expect((await reader.decisions.get(auth, `req_${index}`)).request_id).toBe(`req_${index}`);
      await each.call(auth, `req_again_${index}`);
      expect((await reader.usage.entries(auth, { limit: 50 })).entries).toHaveLength(index * 2 + 2);
    }
    await one.close();
    await other.close();
  });

  it('is in the database soon, whoever reads', async () => {
    const auth = freshTenant('soon');
    const opened = await open({ folder: ownFolder() });
    await opened.call(auth, 'req_1');
    await expect.poll(() => ledgerOf(auth), { timeout: 2_000 }).toEqual(['req_1']);
    expect(await claimsOf(auth)).toEqual([{ request_id: 'req_1', done: true }]);
    await opened.close();
  });

  it('frees what it has left of a narrow budget before it is answered', async () => {
    const auth = freshTenant('narrow');
    const [one, other] = [await open({ folder: ownFolder(), shipAfterMs: NEVER_MS }), await open({ folder: ownFolder(), shipAfterMs: NEVER_MS })];
    const hold = await one.usage.reserve(auth, { tokens: 90, costMicroUsd: 0, budgets: [budget(100)], ttlMs: 60_000 });
    if (hold.outcome !== 'held') throw new Error('Not held.');
    await one.usage.settle(auth, hold.holdId, draftOf('req_1', 10));
    const next = await other.usage.reserve(auth, { tokens: 90, costMicroUsd: 0, budgets: [budget(100)], ttlMs: 60_000 });
    expect(next.outcome).toBe('held');
    if (next.outcome === 'held') await other.usage.release(auth, next.holdId);
    await one.close();
    await other.close();
  });
});

describe('the journal of a process that is gone', () => {
  it('is shipped once by one of many who come, and its budgets are exact', async () => {
    const auth = freshTenant('dead');
    const ledger = ownFolder();
    const gone = await open({ folder: ledger, shipAfterMs: NEVER_MS, owner: dead });
    for (let index = 0; index < 40; index += 1) await gone.call(auth, `req_${index}`);
    await gone.abandon();
    expect(await ledgerOf(auth)).toEqual([]);
    const comers = await Promise.all([1, 2, 3].map(() => open({ folder: ledger })));
    await Promise.all(comers.map((each) => each.writer.takeOver()));
    await expect.poll(async () => (await ledgerOf(auth)).length).toBe(40);
    await expect.poll(() => stateOf(auth), { timeout: 5_000 }).toEqual({ spent: 400, reserved: 0 });
    expect([new Set(await ledgerOf(auth)).size, (await tracesOf(auth)).length]).toEqual([40, 40]);
    expect((await claimsOf(auth)).every((claim) => claim.done)).toBe(true);
    for (const each of comers) await each.close();
    expect(readdirSync(folder)).not.toContain(ledger);
  });

  it('is shipped on by another where the one who shipped it has ended in the middle', async () => {
    const auth = freshTenant('twice');
    const ledger = ownFolder();
    const first = await open({ folder: ledger, shipAfterMs: NEVER_MS, owner: dead });
    await first.call(auth, 'req_1');
    await first.abandon();
    // Takes the journal, and ships nothing of it.
    const second = await open({ folder: ledger, owner: dead, pool: gated.pool, url: gate.url, shipAfterMs: NEVER_MS });
    await gate.shut();
    await expect(second.writer.takeOver()).rejects.toThrow();
    expect(readdirSync(ledger).some((name) => name.includes('.by.'))).toBe(true);
    await second.abandon();
    await gate.open();
    const third = await open({ folder: ledger });
    await third.writer.takeOver();
    expect(await ledgerOf(auth)).toEqual(['req_1']);
    await third.close();
  });

  it('is shipped though another one beside it cannot be read', async () => {
    const auth = freshTenant('beside');
    const ledger = ownFolder();
    const broken = await open({ folder: ledger, owner: dead });
    await broken.abandon();
    mkdirSync(join(ledger, broken.writer.journalId, '00000002.records'));
    const gone = await open({ folder: ledger, shipAfterMs: NEVER_MS, owner: dead });
    await gone.call(auth, 'req_1');
    await gone.abandon();
    const heir = await open({ folder: ledger });
    await expect(heir.writer.takeOver()).rejects.toThrow('EISDIR');
    expect(await ledgerOf(auth)).toEqual(['req_1']);
    await heir.close();
  });

  it('keeps its leases and its claims from everybody until it is shipped', async () => {
    const auth = freshTenant('kept');
    const ledger = ownFolder();
    const gone = await open({ folder: ledger, shipAfterMs: NEVER_MS, owner: dead });
    await gone.call(auth, 'req_1', 50, [budget(10_000)]);
    await gone.abandon();
    const { reserved } = (await stateOf(auth))!;
    expect(reserved).toBeGreaterThanOrEqual(50);
    const elsewhere = await open({ folder: ownFolder() });
    await pause(ALIVE_MS + 200);
    await elsewhere.usage.expire();
    expect(await stateOf(auth)).toEqual({ spent: 0, reserved });
    expect(await elsewhere.usage.reserve(auth, { tokens: 10_000 - reserved + 1, costMicroUsd: 0, budgets: [budget(10_000)], ttlMs: 60_000 })).toMatchObject({ outcome: 'exceeded' });
    expect(['open', 'lost']).toContain(await elsewhere.usage.claim(auth, 'req_1', 'hash'));
    const heir = await open({ folder: ledger });
    await heir.writer.takeOver();
    expect(await elsewhere.usage.claim(auth, 'req_1', 'hash')).toBe('done');
    await expect.poll(() => stateOf(auth), { timeout: 5_000 }).toEqual({ spent: 50, reserved: 0 });
    await Promise.all([elsewhere.close(), heir.close()]);
  });

  it('counts as spent when it is lost, whole, and is added to the ledger alone when it turns up after all', async () => {
    const auth = freshTenant('lost');
    const ledger = ownFolder();
    const gone = await open({ folder: ledger, shipAfterMs: NEVER_MS, owner: dead });
    await gone.call(auth, 'req_1', 50, [budget(10_000)]);
    await gone.abandon();
    const { reserved } = (await stateOf(auth))!;
    const elsewhere = await open({ folder: ownFolder(), graceMs: 100 });
    await expect.poll(async () => {
      await elsewhere.usage.expire();
      return stateOf(auth);
    }, { timeout: ALIVE_MS + 3_000 }).toEqual({ spent: reserved, reserved: 0 });
    const late = await open({ folder: ledger });
    await late.writer.takeOver();
    expect([await ledgerOf(auth), await stateOf(auth)]).toEqual([['req_1'], { spent: reserved, reserved: 0 }]);
    await Promise.all([elsewhere.close(), late.close()]);
  });

  it.each([
    ['the machine was started since', { bootId: 'an earlier one' }, '', true],
    ['somebody changed it', {}, 'zzzz zzzz', true],
    ['its last frame was cut off', {}, '0000', false],
  ])('%s', async (_what, more, tail, countsAsSpent) => {
    const auth = freshTenant('end');
    const ledger = ownFolder();
    const gone = await open({ folder: ledger, shipAfterMs: NEVER_MS, owner: { ...dead, ...more } });
    await gone.call(auth, 'req_1', 50, [budget(10_000)]);
    await gone.abandon();
    const { reserved } = (await stateOf(auth))!;
    const own = readdirSync(ledger)[0]!;
    appendFileSync(join(ledger, own, '00000001.records'), tail.padEnd(tail.length === 4 ? 4 : 60, 'z'));
    const heir = await open({ folder: ledger });
    await expect.poll(async () => {
      await heir.writer.takeOver();
      await heir.usage.expire();
      return stateOf(auth);
    }, { timeout: ALIVE_MS * 2 + 4_000 }).toEqual({ spent: countsAsSpent ? reserved : 50, reserved: 0 });
    expect(await ledgerOf(auth)).toEqual(['req_1']);
    await heir.close();
  });

  it('is left to its owner while that lives, and to a stranger until the database has not heard of it for its time', async () => {
    const auth = freshTenant('alive');
    const ledger = ownFolder();
    const alive = await open({ folder: ledger, shipAfterMs: NEVER_MS });
    const stranger = await open({ folder: ledger, shipAfterMs: NEVER_MS, owner: { ...thisProcess(), pidNamespace: 'pid:[another]' } });
    await alive.call(auth, 'req_1');
    await stranger.call(auth, 'req_2');
    const comer = await open({ folder: ledger });
    await pause(ALIVE_MS * 3);
    await comer.writer.takeOver();
    expect(await ledgerOf(auth)).toEqual([]);
    await stranger.abandon();
    await comer.writer.takeOver();
    expect(await ledgerOf(auth)).toEqual([]);
    await expect.poll(async () => {
      await comer.writer.takeOver();
      return ledgerOf(auth);
    }, { timeout: ALIVE_MS * 3 + 3_000 }).toEqual(['req_2']);
    await alive.close();
    expect((await ledgerOf(auth)).sort()).toEqual(['req_1', 'req_2']);
    await comer.close();
  });
});

describe('the audit record of a call', () => {
  it('is appended once, with its ledger row, whoever ships it and how often it is tried', verifies(['PRS-3.1-06'], async () => {
    const auth = freshTenant('audit');
    const ledger = ownFolder();
    const gone = await open({ folder: ledger, shipAfterMs: NEVER_MS, owner: dead });
    for (let index = 0; index < 12; index += 1) await gone.call(auth, `req_${index}`);
    await gone.writer.flush();
    for (let index = 12; index < 20; index += 1) await gone.call(auth, `req_${index}`);
    await gone.abandon();
    const appended: number[] = [];
    const heir = await open({ folder: ledger, onAudited: (rows) => void appended.push(rows.length) });
    await heir.writer.takeOver();
    await heir.writer.takeOver();
    const { rows } = await observer.pool.query<{ entry: { action: string; outcome: string; resource: { id: string } } }>("SELECT entry FROM audit.records WHERE tenant_id = $1 AND service = 'model-policy' ORDER BY sequence", [auth.tenant_id]);
    expect(rows.map(({ entry }) => entry.resource.id)).toEqual(await ledgerOf(auth));
    expect(rows).toHaveLength(20);
    expect(rows[0]!.entry).toMatchObject({ action: 'model.invoke', outcome: 'allowed' });
    expect(appended).toEqual([8]);
    await heir.close();
  }));
});

describe('where something fails', () => {
  it('a full disk makes calls wait for the database, and both together refuse them', async () => {
    const auth = freshTenant('full');
    let full = false;
    const ledger = ownFolder();
    const opened = await open({ folder: ledger, pool: gated.pool, url: gate.url, shipAfterMs: NEVER_MS, disk: fillable(() => full) });
    await opened.call(auth, 'req_1');
    full = true;
    await opened.call(auth, 'req_2');
    expect(await ledgerOf(auth)).toEqual(['req_1', 'req_2']);
    const hold = await opened.usage.reserve(auth, { tokens: 10, costMicroUsd: 0, budgets: [], ttlMs: 60_000 });
    if (hold.outcome !== 'held') throw new Error('Not held.');
    await gate.shut();
    await expect(opened.usage.settle(auth, hold.holdId, draftOf('req_3', 10))).rejects.toMatchObject({ code: 'dependency_unavailable' });
    await gate.open();
    // Its caller was told of a failure; it is booked all the same, once.
    await expect.poll(() => ledgerOf(auth), { timeout: 5_000 }).toEqual(['req_1', 'req_2', 'req_3']);
    full = false;
    await opened.call(auth, 'req_4');
    expect(await ledgerOf(auth)).toHaveLength(3);
    await opened.close();
    expect(await ledgerOf(auth)).toHaveLength(4);
  }, 180_000);

  it('goes on for a while without the database, then refuses, and loses nothing', async () => {
    const auth = freshTenant('away');
    const opened = await open({ folder: ownFolder(), pool: gated.pool, url: gate.url });
    const call = async (requestId: string): Promise<void> => {
      const hold = await opened.usage.reserve(auth, { tokens: 10, costMicroUsd: 0, budgets: [], ttlMs: 60_000 });
      if (hold.outcome !== 'held') throw new Error('Not held.');
      await opened.usage.settle(auth, hold.holdId, draftOf(requestId, 10));
    };
    await opened.call(auth, 'req_first');
    await gate.shut();
    const answered: string[] = ['req_first'];
    let refused: unknown = null;
    for (let index = 0; refused === null && index < 200; index += 1) {
      const requestId = `req_${index}`;
      await call(requestId).then(() => answered.push(requestId), (error: unknown) => { refused = error; });
      await pause(50);
    }
    expect(refused).toMatchObject({ code: 'dependency_unavailable' });
    expect(answered.length).toBeGreaterThan(1);
    await gate.open();
    await expect.poll(async () => answered.filter((id) => !booked.has(id)).length + ((booked = new Set(await ledgerOf(auth))), 0), { timeout: 6_000 }).toBe(0);
    const all = await ledgerOf(auth);
    expect(new Set(all).size).toBe(all.length);
    await expect.poll(() => call('req_after').then(() => 'ok', () => 'refused'), { timeout: 5_000 }).toBe('ok');
    await opened.close();
  }, 40_000);
  let booked = new Set<string>();

  it('holds no more in the journal than it may', async () => {
    const auth = freshTenant('bound');
    const opened = await open({ folder: ownFolder(), pool: gated.pool, url: gate.url, maxBytes: 4_000, aliveMs: 60_000 });
    await opened.call(auth, 'req_first');
    await opened.writer.flush();
    await gate.shut();
    const outcomes = await Promise.all(Array.from({ length: 60 }, async (_, index) => {
      await pause(index * 4);
      return opened.decisions.record(auth, decisionOf(auth, { request_id: `req_${index}` })).then(() => 'kept', () => 'refused');
    }));
    expect(outcomes.filter((each) => each === 'kept').length).toBeGreaterThan(0);
    expect(outcomes.filter((each) => each === 'kept').length).toBeLessThan(12);
    expect(opened.writer.isStalled).toBe(true);
    await expect(opened.usage.reserve(auth, { tokens: 1, costMicroUsd: 0, budgets: [], ttlMs: 1_000 })).rejects.toMatchObject({ code: 'dependency_unavailable' });
    await gate.open();
    await expect.poll(() => opened.writer.isStalled, { timeout: 5_000 }).toBe(false);
    await opened.close();
    expect(await tracesOf(auth)).toHaveLength(61);
  }, 180_000);

  it('sets aside what the database refuses, and ships the rest', async () => {
    const auth = freshTenant('poison');
    const opened = await open({ folder: ownFolder(), shipAfterMs: NEVER_MS });
    await opened.call(auth, 'req_1');
    await opened.writer.book([{ kind: 'trace', tenantId: auth.tenant_id, decisionId: 'dec_poison', model: null, record: JSON.stringify({ tenant_id: auth.tenant_id, decision_id: 'dec_poison', request_id: 'req_poison', at: 'never', policy: { decision: 'allowed' } }) }]);
    await opened.call(auth, 'req_2');
    await opened.writer.flush();
    expect([await ledgerOf(auth), await tracesOf(auth)]).toEqual([['req_1', 'req_2'], ['req_1', 'req_2']]);
    await opened.close();
  });

  it('keeps its account over connections that break while it ships', async () => {
    const auth = freshTenant('severed');
    const opened = await open({ folder: ownFolder(), shipAfterMs: 1 });
    let failed = 0;
    for (let round = 0; round < 8; round += 1) {
      await Promise.all(Array.from({ length: 20 }, (_, index) => opened.call(auth, `req_${round}_${index}`).catch(() => (failed += 1))));
      await observer.pool.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'journal'");
    }
    await expect.poll(() => opened.writer.flush().then(() => 'flushed', () => 'away'), { timeout: 5_000 }).toBe('flushed');
    const ids = await ledgerOf(auth);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.length).toBeGreaterThanOrEqual(160 - failed);
    expect((await stateOf(auth))!.spent).toBe(ids.length * 10);
    await opened.close();
    // Where the connections were away for long enough, an earlier life of the process has lapsed: what it held, others give back.
    const successor = await open({ folder: ownFolder() });
    await expect.poll(() => successor.usage.expire().then(async () => (await stateOf(auth))!.reserved), { timeout: 10_000 }).toBe(0);
    await successor.close();
  }, 180_000);
});

describe('the choice of the way', () => {
  it('is the journal, or the database where that is configured or no folder can be written', async () => {
    const database = await createDatabase({ url: test.url, applicationName: 'choice', max: 1 });
    const file = join(folder, 'a-file');
    writeFileSync(file, '');
    const journal = await openCallWriter({ pool: database.pool, commit: 'journal', folder: join(folder, 'root') });
    const configured = await openCallWriter({ pool: database.pool, commit: 'database', folder: join(folder, 'root') });
    const unwritable = await openCallWriter({ pool: database.pool, commit: 'journal', folder: file });
    expect([journal instanceof JournalWriter, configured instanceof DatabaseWriter, unwritable instanceof DatabaseWriter]).toEqual([true, true, true]);
    const { rows } = await observer.pool.query<{ ledger_id: string }>('SELECT ledger_id FROM model_policy.ledger_identity');
    expect(readdirSync(join(folder, 'root'))).toEqual(rows.map((row) => row.ledger_id));
    for (const each of [journal, configured, unwritable]) await each.close();
    await database.close();
  });
});

/** The real disk as long as it has room. */
function fillable(isFull: () => boolean): NonNullable<JournalWriterOptions['disk']> {
  return {
    ...DISK,
    write(file, bytes, from, position) {
      if (isFull()) {
        // As much as there was room for.
        DISK.write(file, bytes.subarray(0, Math.min(bytes.length, from + 7)), from, position);
        throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
      }
      return DISK.write(file, bytes, from, position);
    },
  };
}
