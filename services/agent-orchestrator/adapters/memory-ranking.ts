/**
 * How memory items are ranked: by formulas that both families of adapters compute to the same number, so that they
 * answer in the same order. The database's own ranks are not used: its words depend on the locale that it was made
 * with, and its scores on its version.
 */
import { wordsOf } from '../memory/text.ts';
import type { MemoryFilter, MemoryMetadata } from '../ports/memory.ts';

/** Of the items that match, this many are ranked, the first by key. */
export const MAX_RANKED = 10_000;

/**
 * The words of key and text with one space around each, so that ` word ` finds whole words and nothing else. Of equal
 * words in a row every second one is counted.
 */
export const searchableWords = (key: string, text: string): string => {
  const words = wordsOf(`${key} ${text}`);
  return words.length === 0 ? ' ' : ` ${words.join(' ')} `;
};

/** The distinct words of a question. */
export const wantedWords = (text: string): readonly string[] => [...new Set(wordsOf(text))];

/**
 * BM25 with k1 = 1.2, b = 0.75 against a text of 100 words, summed over the words; 0 when one of them is missing. No
 * word weighs more for being rare: a match has all of them.
 */
export function keywordScore(words: string, wanted: readonly string[]): number {
  const count = words.split(' ').length - 2;
  let score = 0;
  for (const word of wanted) {
    const found = words.split(` ${word} `).length - 1;
    if (found === 0) return 0;
    score += (found * 2.2) / (found + 1.2 * (0.25 + (0.75 * count) / 100));
  }
  return sixDecimals(score);
}

/** `keywordScore` in SQL. `words` is the column, `wanted` an array of distinct words. Every step is that of the function above. */
export const keywordScoreSql = (words: string, wanted: string): string => `(SELECT floor(sum((f.found * 2.2::float8) / (f.found + 1.2::float8 * (0.25::float8 + (0.75::float8 * f.count) / 100))) * 1000000 + 0.5::float8) / 1000000
    FROM (SELECT ((length(${words}) - length(replace(${words}, ' ' || w.word || ' ', ''))) / (length(w.word) + 2))::float8 AS found,
      (length(${words}) - length(replace(${words}, ' ', '')) - 1)::float8 AS count
      FROM unnest(${wanted}) WITH ORDINALITY AS w (word, place) ORDER BY w.place OFFSET 0) f)`;

/** Cosine similarity to `question`, -1 to 1. */
export function cosineTo(question: Float32Array): (vector: Float32Array) => number {
  const norm = Math.sqrt(dot(question, question));
  return (vector) => {
    let product = 0;
    let square = 0;
    for (let i = 0; i < question.length; i += 1) {
      const number = vector[i]!;
      product += question[i]! * number;
      square += number * number;
    }
    return sixDecimals(product / (norm * Math.sqrt(square)));
  };
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += a[i]! * b[i]!;
  return sum;
}

/** Rounded in steps that SQL can repeat; what is equal to six decimals goes by key. */
const sixDecimals = (score: number): number => Math.floor(score * 1_000_000 + 0.5) / 1_000_000;

/** By UTF-8 bytes, as the database's C collation has it. */
export const compareKeys = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** Best first, equal ones by key. */
const compareRanks = (a: Ranked, b: Ranked): number => b.score - a.score || compareKeys(a.key, b.key);

export interface Ranked {
  readonly key: string;
  readonly score: number;
}

/** The best `limit` of what is offered, without keeping the rest. */
export class Best {
  readonly #limit: number;
  readonly #ranked: Ranked[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  offer(candidate: Ranked): void {
    const ranked = this.#ranked;
    if (ranked.length >= this.#limit) {
      if (this.#limit === 0 || compareRanks(candidate, ranked.at(-1)!) >= 0) return;
      ranked.pop();
    }
    let place = ranked.length;
    while (place > 0 && compareRanks(candidate, ranked[place - 1]!) < 0) place -= 1;
    ranked.splice(place, 0, candidate);
  }

  get ranked(): readonly Ranked[] {
    return this.#ranked;
  }
}

/** Every member of the filter holds. */
export function passes(metadata: MemoryMetadata, filter: MemoryFilter | undefined): boolean {
  return Object.entries(filter ?? {}).every(([name, wanted]) => Object.hasOwn(metadata, name) && [wanted].flat().includes(metadata[name]!));
}

/** The same filter for the database: each member a list of values. */
export const filterJson = (filter: MemoryFilter | undefined): string => JSON.stringify(Object.fromEntries(Object.entries(filter ?? {}).map(([name, wanted]) => [name, [wanted].flat()])));
