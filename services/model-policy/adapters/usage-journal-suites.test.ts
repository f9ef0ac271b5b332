/** What every UsagePort and DecisionsPort must do, from adapters that write a journal. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe } from 'vitest';
import { testDatabase } from '../../../conformance/harness/database.ts';
import type { DecisionsHarness, UsageHarness } from '../../../conformance/ports/contract.ts';
import { freshTenant } from '../../../conformance/ports/fixtures.ts';
import { decisionsSuite } from '../../../conformance/ports/suites/decisions.ts';
import { usageSuite } from '../../../conformance/ports/suites/usage.ts';
import { createDatabase } from '../../platform/db/pool.ts';
import { PostgresDecisions } from './decisions-postgres.ts';
import { modelPolicyMigrations, MODEL_POLICY_SCHEMA } from './migrations/index.ts';
import { openCallWriter } from './usage-open-writer.ts';
import { PostgresUsage } from './usage-postgres.ts';

async function create(): Promise<UsageHarness & DecisionsHarness> {
  const test = await testDatabase({ migrations: [{ schema: MODEL_POLICY_SCHEMA, migrations: modelPolicyMigrations }] });
  const folder = mkdtempSync(join(tmpdir(), 'agentos-journal-suite-'));
  let aheadMs = 0;
  const open = async () => {
    const database = await createDatabase({ url: test.url, applicationName: 'suite', max: 4 });
    // Longer than a suite takes: what it reads it finds because reading asks for it.
    const writer = await openCallWriter({ pool: database.pool, commit: 'journal', folder, shipAfterMs: 600_000, aliveMs: 3_000 });
    const usage = new PostgresUsage({ pool: database.pool, url: test.url, writer, aliveMs: 3_000, now: () => Date.now() + aheadMs });
    const decisions = new PostgresDecisions({ pool: database.pool, retentionMs: 86_400_000, writer });
    return {
      usage, decisions,
      async close() {
        await decisions.close();
        await usage.close();
        await writer.close();
        await database.close();
      },
    };
  };
  const first = await open();
  return {
    usage: first.usage, decisions: first.decisions,
    another: open,
    turnClock: (ms) => {
      aheadMs += ms;
    },
    newTenant: async () => freshTenant('journal'),
    async dispose() {
      await first.close();
      await test.drop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

describe('usage with a journal', () => usageSuite(create));
describe('decisions with a journal', () => decisionsSuite(create));
