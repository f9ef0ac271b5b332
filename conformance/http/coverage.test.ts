import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { judgeCoverage, scanCitations } from './citations.ts';
import { requirements } from './requirements.ts';
import { verifies } from './verifies.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const gaps = JSON.parse(readFileSync(new URL('./known-gaps.json', import.meta.url), 'utf8')) as Record<string, string>;

describe('requirements', () => {
  const scan = scanCitations(root);
  const verdict = judgeCoverage(scan.citations, gaps);

  it('are cited by ids that exist', () => {
    expect(verdict.unknown).toEqual([]);
    expect(scan.unreadable).toEqual([]);
  });

  it('are not listed as gaps once a test cites them', () => {
    expect(verdict.staleGaps).toEqual([]);
    expect(verdict.unknownGaps).toEqual([]);
  });

  it('have a test or a reason', () => {
    expect(verdict.missing.map((requirement) => requirement.id)).toEqual([]);
    expect(Object.entries(gaps).filter(([, reason]) => reason.trim().length < 10)).toEqual([]);
  });

  it('have distinct ids', () => {
    expect(new Set(requirements.map((requirement) => requirement.id)).size).toBe(requirements.length);
  });
});

describe('the judgement itself', () => {
  const first = requirements[0]!.id;

  it('sees an unknown id, a stale gap and a missing test', () => {
    const verdict = judgeCoverage([{ id: first, where: 'a:1' }, { id: 'PRS-99-99', where: 'b:2' }], { [first]: 'no test yet' });
    expect(verdict.unknown.map((citation) => citation.id)).toEqual(['PRS-99-99']);
    expect(verdict.staleGaps).toEqual([first]);
    expect(verdict.missing).toHaveLength(requirements.length - 1);
  });

  it('refuses a typo where it stands', () => {
    // @ts-expect-error the id is not in the list, so this must not compile either
    expect(() => verifies(['PRS-4.2-99'], () => {})).toThrow(/PRS-4\.2-99/);
  });
});
