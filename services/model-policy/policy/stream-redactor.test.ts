/** A text in pieces becomes what it becomes as a whole, wherever it is split. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { verifies } from '../../../conformance/http/verifies.ts';
import { piiCorpus } from '../../../conformance/vectors/pii/corpus.ts';
import type { PolicyRule, PolicyRuleSet } from '../ports/policy-rules.ts';
import { detect } from './detect.ts';
import { Judgement, placeholder } from './evaluate.ts';
import { PII_KINDS } from '../ports/policy-rules.ts';

const set = (...rules: PolicyRule[]): PolicyRuleSet => ({ policyId: 'pol_test', version: 1, source: 'tenant', description: null, rules, updatedAtMs: null });
const REDACT_ALL = set({ id: 'all', kind: 'pii', types: 'all', action: 'redact' });
const SEED = 20_24;

/** By the patterns alone, without any cut. */
function redacted(text: string): string {
  let out = '';
  let from = 0;
  for (const { kind, start, end } of detect(text, new Set(PII_KINDS))) {
    out += text.slice(from, start) + placeholder(kind);
    from = end;
  }
  return out + text.slice(from);
}

function inPieces(rules: PolicyRuleSet, text: string, sizes: readonly number[]): { readonly out: string; readonly judgement: Judgement; readonly maxHeld: number } {
  const judgement = new Judgement(rules);
  const redactor = judgement.redactor('/out');
  let out = '';
  let maxHeld = 0;
  for (let from = 0, piece = 0; from < text.length; piece += 1) {
    const size = Math.max(1, sizes.length === 0 ? text.length : sizes[piece % sizes.length]!);
    out += redactor.feed(text.slice(from, from + size));
    maxHeld = Math.max(maxHeld, redactor.held);
    from += size;
  }
  return { out: out + redactor.flush(), judgement, maxHeld };
}

const corpus = piiCorpus().map(({ text }) => text);
const filler = fc.constantFrom('the parcel arrived ', 'and so on. ', 'phone ', 'password is ', 'api ', 'call us at ', 'version ', 'ssn number ', 'Bearer ', 'DE89 3704 ', '4111 ', '+49 30 ', '\n', '  ', '"', '<', ', ', 'a@b', '.com ', '10.', '2001:db8::', '-----BEGIN ', 'RSA PRIVATE KEY-----', '-----END X-----', '、', '１２３', 'AKIA', 'x'.repeat(40));
const fragment = fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...corpus) }, { weight: 3, arbitrary: filler }, { weight: 1, arbitrary: fc.string({ maxLength: 12 }) }, { weight: 1, arbitrary: fc.string({ unit: fc.constantFrom(...'0123456789 .-+()@:/aZ"'), maxLength: 40 }) });
const document = fc.array(fragment, { minLength: 1, maxLength: 14 }).map((parts) => parts.join(''));
const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 12 });

describe('StreamRedactor', () => {
  it('gives, joined, the redaction of the whole: any text, any split', verifies(['PRS-6.2-07'], () => {
    fc.assert(fc.property(document, sizes, (text, pieces) => {
      expect(inPieces(REDACT_ALL, text, pieces).out).toBe(redacted(text));
    }), { seed: SEED, numRuns: 1_500 });
  }));

  it('gives it on the corpus, in single characters and around every border', () => {
    for (const text of corpus) {
      const whole = redacted(text);
      expect(inPieces(REDACT_ALL, text, [1]).out, text).toBe(whole);
      for (let at = 1; at < text.length; at += 1) expect(inPieces(REDACT_ALL, text, [at, text.length]).out, `${text} at ${at}`).toBe(whole);
    }
    const all = corpus.join(' and then ');
    expect(inPieces(REDACT_ALL, all, [7]).out).toBe(redacted(all));
  });

  it('reads a text that has no end to cut at as the whole would be read', () => {
    const mail = 'someone@example.com';
    fc.assert(fc.property(fc.integer({ min: 32_740, max: 32_790 }), fc.integer({ min: 500, max: 9_000 }), (before, size) => {
      const text = `${'1,'.repeat(before / 2)};${mail};${'2;'.repeat(30_000)}`;
      const whole = new Judgement(REDACT_ALL).text(text, '/out');
      expect(whole).not.toContain(mail);
      const { out, maxHeld } = inPieces(REDACT_ALL, text, [size]);
      expect(out === whole).toBe(true);
      expect(maxHeld).toBeLessThanOrEqual(32_768 + 16_384 + size);
    }), { seed: SEED, numRuns: 12 });
  });

  it('holds prose for no more than a few words', () => {
    const prose = 'We looked into the delay, and the courier says that the box was left with a neighbour on the second floor. '.repeat(40);
    expect(inPieces(REDACT_ALL, prose, [5]).maxHeld).toBeLessThan(32);
  });

  it.each([
    ['words with numbers', (each: number) => `word${each}, `, 48], ['the same without commas', (each: number) => `word${each} `, 48], ['numbers with commas', (each: number) => `${each * 37}, `, 48],
    ['numbers in lines', (each: number) => `${each * 37}\n`, 48], ['identifiers', (each: number) => `id${each}, `, 48], ['bare numbers', (each: number) => `${each * 37} `, 2_048], ['dotted numbers', (each: number) => `${each}. `, 2_048],
  ])('holds a list of %s for no more than it must', (_name, item, most) => {
    const text = Array.from({ length: 2_000 }, (_, each) => item(each)).join('');
    const { out, maxHeld } = inPieces(REDACT_ALL, text, [5, 9, 3]);
    expect(out === redacted(text)).toBe(true);
    expect(maxHeld).toBeLessThan(most);
  });

  it('gives it on long runs of numbers, some of them findings', () => {
    const number = fc.oneof({ weight: 12, arbitrary: fc.integer({ min: 0, max: 99_999 }).map(String) }, { weight: 1, arbitrary: fc.constantFrom('4111 1111 1111 1111', '+49 30 901820', '202 555 0143', '123-45-6789', 'DE89 3704 0044 0532 0130 00', '(202) 555-0143', '10.1.2.3', 'phone', 'word7') });
    fc.assert(fc.property(fc.array(number, { minLength: 500, maxLength: 900 }), sizes, (numbers, pieces) => {
      const text = numbers.join(' ');
      expect(inPieces(REDACT_ALL, text, pieces).out === redacted(text)).toBe(true);
    }), { seed: SEED, numRuns: 60 });
  });

  it('ends at a denied phrase before any of it is out', () => {
    const rules = set({ id: 'names', kind: 'terms', terms: ['project nightingale launch'], action: 'block' });
    const text = 'As you asked, the Project  Nightingale launch is in May, and the project goes well.';
    fc.assert(fc.property(sizes, (pieces) => {
      const judgement = new Judgement(rules);
      const redactor = judgement.redactor('/out');
      let out = '';
      for (let from = 0, piece = 0; from < text.length && !judgement.isBlocked; piece += 1) {
        const size = pieces[piece % pieces.length]!;
        const given = redactor.feed(text.slice(from, from + size));
        from += size;
        if (!judgement.isBlocked) out += given;
      }
      redactor.flush();
      expect(judgement.verdict()).toMatchObject({ decision: 'blocked', reasons: ['denied_term', 'rule:names'] });
      expect(out).not.toMatch(/project/i);
    }), { seed: SEED, numRuns: 200 });
  });

  it('counts what it took out as the whole does', () => {
    const text = corpus.slice(0, 60).join('. ');
    const whole = new Judgement(REDACT_ALL);
    whole.text(text, '/out');
    expect(inPieces(REDACT_ALL, text, [3]).judgement.verdict()).toEqual(whole.verdict());
  });

  it('is not slowed by hostile text', () => {
    const size = 128 * 1024;
    for (const bomb of ['1 ', '@', 'password=', 'a', '-----BEGIN PRIVATE KEY-----', '+1 ', '4111 1111 ', 'DE89 ', 'phone ']) {
      const text = bomb.repeat(Math.ceil(size / bomb.length)).slice(0, size);
      const times = [1, 2].map(() => {
        const before = process.cpuUsage();
        inPieces(REDACT_ALL, text, [64]);
        return process.cpuUsage(before).user / 1000;
      });
      expect(Math.min(...times), JSON.stringify(bomb)).toBeLessThan(400);
    }
  });
});
