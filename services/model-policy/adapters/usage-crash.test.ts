/** The database server itself is killed under load, which may forget what it took without waiting for its disk. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { freshTenant } from '../../../conformance/ports/fixtures.ts';
import { verifies } from '../../../conformance/http/verifies.ts';
import { startTestPostgres, type TestPostgres } from '../../../scripts/lib/postgres/index.ts';
import { migrate } from '../../platform/db/migrate.ts';
import { createDatabase } from '../../platform/db/pool.ts';
import { modelPolicyMigrations, MODEL_POLICY_SCHEMA } from './migrations/index.ts';
import type { CallPlan, Told } from './usage-process.fixture.ts';

const LIMIT = 1_000_000;
let postgres: TestPostgres;
let folder: string;
const started: ChildProcess[] = [];
beforeAll(async () => {
  postgres = await startTestPostgres({ durable: true });
  await migrate({ url: postgres.url, schema: MODEL_POLICY_SCHEMA, migrations: modelPolicyMigrations });
  folder = mkdtempSync(join(tmpdir(), 'agentos-crash-'));
}, 180_000);
afterAll(async () => {
  for (const child of started) child.kill('SIGKILL');
  await postgres?.stop();
  rmSync(folder, { recursive: true, force: true });
}, 180_000);

/** Those whom the server had forked notice a moment later that it is gone, and hold its memory until then. */
async function startAgain(attempts = 10): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 500));
  await postgres.start().catch((error: unknown) => {
    if (attempts === 1) throw error;
    return startAgain(attempts - 1);
  });
}

/** @param alsoTheProcess it is killed with the server, and another one starts when that is back */
async function crash(commit: 'database' | 'journal', alsoTheProcess: boolean): Promise<void> {
  const auth = freshTenant('crash');
  const settled: string[] = [];
  const start = async (): Promise<ChildProcess> => {
    const child = fork(new URL('./usage-process.fixture.ts', import.meta.url), ['serve'], { execArgv: ['--import', 'tsx'], env: { ...process.env, DATABASE_URL: postgres.url, ALIVE_MS: '3000', ...(commit === 'journal' ? { JOURNAL_DIR: folder } : {}) }, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    started.push(child);
    child.on('message', (told: Told) => {
      if (told.kind === 'settled') settled.push(told.requestId);
    });
    await once(child, 'message');
    return child;
  };
  const plan = (seed: number): CallPlan => ({ auth, budgets: [{ scope: 'tenant', scopeId: '', window: 'month', maxTokens: LIMIT, maxCostMicroUsd: null }], calls: 1_000_000, width: 16, tokens: [5, 15], usedPart: [50, 100], pauseMs: 4, seed, claims: true });
  let child = await start();
  child.send(plan(1));
  await expect.poll(() => settled.length, { timeout: 20_000 }).toBeGreaterThan(200);
  await postgres.kill();
  if (alsoTheProcess) {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  const before = settled.length;
  await startAgain();
  if (alsoTheProcess) {
    child = await start();
    child.send(plan(2));
  }
  await expect.poll(() => settled.length, { timeout: 30_000 }).toBeGreaterThan(before + 200);
  child.kill('SIGKILL');
  await once(child, 'exit');
  const last = await start();
  const database = await createDatabase({ url: postgres.url, applicationName: 'crash', role: null, max: 2 });
  try {
    const ids = async (table: string): Promise<string[]> => (await database.pool.query<{ request_id: string }>(`SELECT request_id FROM model_policy.${table} WHERE tenant_id = $1`, [auth.tenant_id])).rows.map((row) => row.request_id);
    for (const table of ['usage_entries', 'decisions']) {
      const found = await ids(table);
      expect(new Set(found).size, `none twice in ${table}`).toBe(found.length);
      expect(settled.filter((id) => !found.includes(id)), table).toEqual([]);
    }
    const { rows } = await database.pool.query<{ spent: number; booked: number }>(
      'SELECT b.spent_tokens::float8 AS spent, (SELECT sum(input_tokens)::float8 FROM model_policy.usage_entries e WHERE e.tenant_id = b.tenant_id) AS booked FROM model_policy.budgets b WHERE b.tenant_id = $1', [auth.tenant_id]);
    expect(rows[0]!.spent).toBe(rows[0]!.booked);
  } finally {
    await database.close();
    last.kill('SIGKILL');
    await once(last, 'exit');
  }
}

it('ledger and decisions have every call that was answered after the server has crashed, written to the database', verifies(['T08-01'], () => crash('database', false)), 90_000);
it('and written to a journal', verifies(['T08-01'], () => crash('journal', false)), 90_000);
it('and written to a journal by a process that is killed with the server', verifies(['T08-01'], () => crash('journal', true)), 90_000);
