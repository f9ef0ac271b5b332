/**
 * Two databases with one ledger id, one being a copy of the other (a dump put back beside the original, a clone for
 * tests), whose processes keep their journals in one folder: each ships its own.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabase, type TestDatabase } from '../../../conformance/harness/database.ts';
import { freshTenant } from '../../../conformance/ports/fixtures.ts';
import { AUDIT_SCHEMA, auditMigrations } from '../../platform/audit/audit-migrations.ts';
import { createDatabase } from '../../platform/db/pool.ts';
import type { UsageDraft } from '../ports/usage.ts';
import { modelPolicyMigrations, MODEL_POLICY_SCHEMA } from './migrations/index.ts';
import { thisProcess, type JournalOwner } from './usage-journal-owner.ts';
import { JournalWriter } from './usage-journal-writer.ts';
import { openCallWriter } from './usage-open-writer.ts';
import { PostgresUsage } from './usage-postgres.ts';

const NEVER_MS = 1_000_000_000;
const ALIVE_MS = 600;
const DRAFT: UsageDraft = { requestId: 'req_answered', runId: null, agentId: null, principalId: 'usr_a', operation: 'chat', model: 'm', backend: 'b', inputTokens: 10, outputTokens: 0, costMicroUsd: 0, state: 'settled', fallbackUsed: false, estimated: false };
const dead: JournalOwner = { ...thisProcess(), pid: spawnSync(process.execPath, ['-e', '']).pid };

let original: TestDatabase;
let copy: TestDatabase;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'agentos-journals-'));
  const migrations = [{ schema: AUDIT_SCHEMA, migrations: auditMigrations }, { schema: MODEL_POLICY_SCHEMA, migrations: modelPolicyMigrations }];
  [original, copy] = [await testDatabase({ migrations }), await testDatabase({ migrations })];
});
afterAll(async () => {
  await original?.drop();
  await copy?.drop();
  rmSync(folder, { recursive: true, force: true });
});

/** A process of Model Policy, as far as its ledger goes. */
async function open({ url }: TestDatabase, owner?: JournalOwner) {
  const database = await createDatabase({ url, applicationName: 'copies', max: 4 });
  const writer = await openCallWriter({ pool: database.pool, commit: 'journal', folder, aliveMs: ALIVE_MS, shipAfterMs: NEVER_MS, ...(owner === undefined ? {} : { owner }) });
  if (!(writer instanceof JournalWriter)) throw new Error('There is no journal.');
  const usage = new PostgresUsage({ pool: database.pool, url, writer, aliveMs: ALIVE_MS });
  return {
    writer, usage,
    /** As a kill does: what it has not shipped stays in its journal. */
    abandon: () => usage.abandon().then(() => database.close()),
    close: () => usage.close().then(() => writer.close()).then(() => database.close()),
  };
}

const ledgerOf = (database: TestDatabase): Promise<string[]> =>
  database.asSuperuser(async (client) => (await client.query<{ request_id: string }>('SELECT request_id FROM model_policy.usage_entries')).rows.map((row) => row.request_id));

describe('journals of a ledger and of its copy', () => {
  it('are shipped to the database that they were written for, and nobody else touches them', async () => {
    const auth = freshTenant('copies');
    const ids = await Promise.all([original, copy].map((each) => each.asSuperuser((client) => client.query<{ ledger_id: string }>('SELECT ledger_id FROM model_policy.ledger_identity'))));
    expect(ids[0]!.rows, 'the one is a copy of the other').toEqual(ids[1]!.rows);

    const gone = await open(original, dead);
    expect(await gone.usage.claim(auth, 'req_answered', 'hash')).toBe('claimed');
    expect(await gone.usage.claim(auth, 'req_asked', 'hash')).toBe('claimed');
    const hold = await gone.usage.reserve(auth, { tokens: 10, costMicroUsd: 0, budgets: [], ttlMs: 60_000 });
    if (hold.outcome !== 'held') throw new Error(hold.outcome);
    await Promise.all([gone.usage.settle(auth, hold.holdId, DRAFT), gone.usage.endClaim(auth, 'req_answered', true)]);
    await gone.abandon();

    // Comes first, and looks as often as it can.
    const stranger = await open(copy);
    for (let look = 0; look < 3; look += 1) await stranger.writer.takeOver();
    expect(await ledgerOf(copy)).toEqual([]);

    const heir = await open(original);
    expect(await ledgerOf(original)).toEqual(['req_answered']);
    // Without its journal nobody could tell whether these were answered, and each call would wait for the end of one that nobody makes.
    expect(await heir.usage.claim(auth, 'req_answered', 'hash')).toBe('done');
    expect(await heir.usage.claim(auth, 'req_asked', 'hash')).toBe('claimed');
    await heir.usage.endClaim(auth, 'req_asked', false);
    await stranger.close();
    await heir.close();
    expect(readdirSync(folder)).toEqual([]);
  });
});
