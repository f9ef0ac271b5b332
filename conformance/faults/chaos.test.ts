/** The chaos gate; see chaos.ts. Short here, long by `npm run chaos` (three seeds, a minute each). */
import { describe, expect, it } from 'vitest';
import { verifies } from '../http/verifies.ts';
import { runChaos, toothless, type ChaosReport } from './chaos.ts';
import { chance, isLongForm } from './seeded.ts';

const MINIMUM_RUNS_PER_SECOND = 30;

async function gate(seed: number): Promise<ChaosReport> {
  process.stderr.write(`faults/chaos: seed ${seed} (AGENTOS_CHAOS_SEED=${seed} repeats it)\n`);
  const report = await runChaos({
    seed,
    durationMs: isLongForm ? 60_000 : 22_000,
    atMostMs: isLongForm ? 90_000 : 60_000,
    runsPerSecond: 44,
    leaseMs: 1_000,
    lostCommitShare: 0.03,
    postgresKills: isLongForm ? 3 : 1,
    ...(isLongForm ? { say: (line: string) => void process.stderr.write(`  ${line}\n`) } : {}),
  });
  const { violations: _violations, faults, unexpectedExits: _exits, ...figures } = report;
  process.stderr.write(`faults/chaos: ${JSON.stringify({ ...figures, faults: faults.length })}\n`);
  return report;
}

describe('two APIs, three workers, and faults that do not stop', () => {
  const { seed } = chance();
  for (const one of isLongForm ? [seed, seed + 1, seed + 2] : [seed]) {
    it(`lose nothing, repeat nothing, leave nothing open (seed ${one})`, verifies(['PRS-3.1-03', 'PRS-1-02', 'PRS-12.1-01', 'PRS-4.3-04'], async () => {
      const report = await gate(one);
      expect(report.violations, JSON.stringify(report.faults)).toEqual([]);
      expect(report.unexpectedExits).toEqual([]);
      expect(toothless(report, MINIMUM_RUNS_PER_SECOND), 'INVALID: this run proves nothing').toEqual([]);
    }), 240_000);
  }
});
