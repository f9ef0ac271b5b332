/** How well personal data is found, over the labelled corpus: precision at least 0.98, recall at least 0.95. */
import { describe, expect, it } from 'vitest';
import { verifies } from '../../../conformance/http/verifies.ts';
import { piiCorpus, type LabelledText } from '../../../conformance/vectors/pii/corpus.ts';
import { PII_KINDS } from '../ports/policy-rules.ts';
import { detect } from './detect.ts';

const PRECISION = 0.98;
const RECALL = 0.95;

interface Score {
  readonly found: number;
  readonly right: number;
  readonly labelled: number;
}

/** A finding is right when it has the kind and covers exactly the labelled text. */
function score(texts: readonly LabelledText[], kind: string | null, misses: string[] = []): Score {
  let [found, right, labelled] = [0, 0, 0];
  for (const { text, findings, heldOut } of texts) {
    const key = (each: { kind: string; start: number; end: number }): string => `${each.kind} ${each.start} ${each.end}`;
    const got = detect(text, new Set(PII_KINDS)).filter((each) => kind === null || each.kind === kind);
    const wanted = findings.filter((each) => kind === null || each.kind === kind);
    const keys = new Set(wanted.map(key));
    const hits = got.filter((each) => keys.has(key(each))).length;
    found += got.length;
    right += hits;
    labelled += wanted.length;
    if (!heldOut && (hits < got.length || hits < wanted.length)) misses.push(`${text}  →  ${got.map((each) => `${each.kind}:${text.slice(each.start, each.end)}`).join(' | ')}`);
  }
  return { found, right, labelled };
}

const ratio = (part: number, whole: number): number => (whole === 0 ? 1 : part / whole);
const row = (name: string, { found, right, labelled }: Score): string =>
  `${name.padEnd(12)} precision ${ratio(right, found).toFixed(3)}  recall ${ratio(right, labelled).toFixed(3)}  (${labelled} labelled, ${found} found)`;

describe('personal data in the corpus', () => {
  const corpus = piiCorpus();

  it('has texts enough, and as many without findings as with', () => {
    expect(corpus.length).toBeGreaterThanOrEqual(300);
    expect(corpus.filter(({ findings }) => findings.length === 0).length).toBeGreaterThan(corpus.length / 3);
  });

  it.each([['all', corpus], ['held out', corpus.filter(({ heldOut }) => heldOut)]] as const)('is found: %s', verifies(['PRS-6.3-02'], (name: string, texts: readonly LabelledText[]) => {
    const misses: string[] = [];
    const overall = score(texts, null, misses);
    const report = [`PII, ${name}, ${texts.length} texts`, ...PII_KINDS.map((kind) => row(kind, score(texts, kind))), row('overall', overall)].join('\n');
    // Held-out texts are counted, never shown: patterns must not be tuned on them.
    console.log(report);
    if (process.env['PII_MISSES'] !== undefined) console.log(misses.join('\n'));
    expect(ratio(overall.right, overall.found), report).toBeGreaterThanOrEqual(PRECISION);
    expect(ratio(overall.right, overall.labelled), report).toBeGreaterThanOrEqual(RECALL);
  }));
});
