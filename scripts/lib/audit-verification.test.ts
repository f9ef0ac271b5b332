import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { exportLine } from '../../services/platform/audit/audit-record.ts';
import { GENESIS_HASH, chainTexts } from '../../services/platform/audit/chain.ts';
import type { CheckpointsRead } from '../../services/platform/audit/checkpoint.ts';
import { remarksOf, verifyExport } from './audit-verification.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'agentos-audit-export-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const name = { tenantId: 'tnt_one', service: 'agent-orchestrator' };
const records = chainTexts(name, GENESIS_HASH, 0, '2026-01-01T00:00:00.000000Z', ['a', 'b', 'c'].map((id) => JSON.stringify({ audit_id: id, action: 'run.create', outcome: 'allowed' })));
const signed: CheckpointsRead = { good: [{ ...name, sequence: 3, hash: records[2]!.hash, at: '2026-01-01T00:00:10.000Z', signature: '' }], bad: [] };

async function verified(count: number, checkpoints: CheckpointsRead): Promise<{ readonly faults: number; readonly remarks: readonly string[] }> {
  const file = path.join(folder, `${count}.jsonl`);
  writeFileSync(file, records.slice(0, count).map((record) => `${exportLine(name, record)}\n`).join(''));
  const report = await verifyExport(file, checkpoints, false);
  return { faults: report.faults.length, remarks: remarksOf(report, checkpoints, true) };
}

describe('an export', () => {
  it('that is whole leaves nothing to say', async () => {
    expect(await verified(3, signed)).toEqual({ faults: 0, remarks: [] });
  });

  it('that ends before what was signed says so: it may be older, or cut off', async () => {
    const { faults, remarks } = await verified(2, signed);
    expect([faults, remarks]).toEqual([0, [expect.stringMatching(/ends at record 2 of tnt_one agent-orchestrator, and 3 were signed/)]]);
  });

  it('of a chain that no checkpoint attests says so', async () => {
    expect((await verified(3, { good: [], bad: [] })).remarks).toEqual([expect.stringMatching(/No checkpoint attests tnt_one agent-orchestrator/)]);
  });
});
