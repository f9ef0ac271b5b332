/**
 * No committed run without its audit record, and no record without its run, whatever the process dies of: kill -9 of the
 * orchestrator under load, and its database connections cut, again and again. The chains stay sound, and so does what was
 * signed of them.
 */
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readAuditPublicKeys } from '../../services/platform/audit/audit-key.ts';
import { PostgresAudit } from '../../services/platform/audit/audit-postgres.ts';
import { readCheckpoints } from '../../services/platform/audit/checkpoint.ts';
import { verifyLog } from '../../services/platform/audit/verify-log.ts';
import { createDatabase } from '../../services/platform/db/pool.ts';
import { planProcesses, type ProcessNode } from '../harness/processes.ts';
import { verifies } from '../http/verifies.ts';
import { Burst, type BurstAnswer } from './burst.ts';
import { chance, isLongForm } from './seeded.ts';

const ROUNDS = isLongForm ? 10 : 3;
const CLIENTS = 24;
const ACKNOWLEDGED = 50;
const LONGEST_MS = 30_000;
const { seed, between } = chance();
let node: ProcessNode;
let folder: string;
let burst: Burst;

beforeAll(async () => {
  process.stderr.write(`faults/audit: seed ${seed} (AGENTOS_CHAOS_SEED=${seed} repeats it)\n`);
  folder = await mkdtemp(join(tmpdir(), 'agentos-audit-'));
  node = await planProcesses({ AGENTOS_DATA_DIR: folder, AGENTOS_LEASE_MS: '1000' });
  burst = new Burst([node.urls['agent-orchestrator']], { connections: 32, answerMs: 5_000 });
  await node.start('model-policy');
}, 120_000);
afterAll(async () => {
  await burst?.close();
  await node?.stop();
  await rm(folder, { recursive: true, force: true });
}, 180_000);

/** Clients that create run after run until they are stopped, or a bound is reached. */
function startLoad(answers: BurstAnswer[]): { until(acknowledged: number): Promise<void>; stop(): Promise<void> } {
  let [going, created] = [true, 0];
  const deadline = performance.now() + LONGEST_MS;
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (going && performance.now() < deadline) {
      const answer = await burst.create({ tenantId: 'tnt_demo' });
      answers.push(answer);
      if (answer.status === 201) created += 1;
      else await sleep(5);
    }
  });
  return {
    async until(acknowledged) {
      while (created < acknowledged && performance.now() < deadline) await sleep(5);
      expect(created, 'runs acknowledged in time').toBeGreaterThanOrEqual(acknowledged);
    },
    async stop() {
      going = false;
      await Promise.all(clients);
    },
  };
}

describe('kill -9 under load', () => {
  it('leaves as many records as runs, in chains that verify', verifies(['PRS-4.3-14', 'PRS-10.3-01'], async () => {
    const answers: BurstAnswer[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      await node.start('agent-orchestrator');
      const load = startLoad(answers);
      await load.until(between(5, ACKNOWLEDGED));
      await node.database.severConnections();
      await load.until(ACKNOWLEDGED + between(5, ACKNOWLEDGED));
      await node.kill('agent-orchestrator', 'SIGKILL');
      await load.stop();
    }
    await node.start('agent-orchestrator');
    const last = startLoad(answers);
    await last.until(ACKNOWLEDGED);
    await last.stop();
    await node.kill('agent-orchestrator', 'SIGTERM');

    const acknowledged = answers.filter(({ status }) => status === 201).map(({ runId }) => runId!);
    expect(answers.filter(({ status }) => status === 0).length, 'the faults hit requests under way').toBeGreaterThan(0);
    const { rows } = await node.database.asSuperuser((client) => client.query<{ runs: string[]; records: string[] }>(`
      SELECT (SELECT array_agg(run_id ORDER BY run_id) FROM orchestrator.runs) AS runs,
        (SELECT array_agg(entry->'resource'->>'id' ORDER BY entry->'resource'->>'id' COLLATE "C") FROM audit.records WHERE entry->>'action' = 'run.create') AS records`));
    expect(rows[0]!.records, 'a record for each run, once, and for nothing else').toEqual(rows[0]!.runs);
    expect(acknowledged.filter((runId) => !rows[0]!.records.includes(runId))).toEqual([]);

    const keys = readAuditPublicKeys(join(folder, 'secrets', 'audit-key.pem'));
    const checkpoints = readCheckpoints(await readFile(join(folder, 'audit', 'checkpoints.jsonl'), 'utf8'), keys);
    expect((await stat(join(folder, 'secrets', 'audit-key.pem'))).mode & 0o777).toBe(0o600);
    expect(checkpoints.bad).toEqual([]);
    expect(checkpoints.good.some(({ tenantId, service }) => tenantId === 'tnt_demo' && service === 'agent-orchestrator')).toBe(true);
    const database = await createDatabase({ url: node.database.url, applicationName: 'judge', max: 2 });
    try {
      const report = await verifyLog(new PostgresAudit(database.pool), { tenantId: null, checkpoints });
      expect(report.faults).toEqual([]);
      const chain = report.chains.find(({ tenantId, service }) => tenantId === 'tnt_demo' && service === 'agent-orchestrator');
      expect(chain!.checkpoint, 'a service that stops signs how far it came').toBe(chain!.sequence);
    } finally {
      await database.close();
    }
  }), 180_000);
});
