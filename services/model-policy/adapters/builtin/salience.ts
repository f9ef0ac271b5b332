/**
 * Extractive summary: the sentences that say most about what the whole text talks about. A sentence scores by the
 * mean weight of its content words (logarithm of how many items use the word), damped for very short and very long
 * ones, with a small bonus for coming early; picking goes greedily and discounts what earlier picks have said.
 * Ties go to the earlier sentence, so equal input gives equal output.
 */
import { contentStems, sentences } from './text.ts';
import type { Theme } from './themes.ts';

interface Scored {
  readonly text: string;
  readonly order: number;
  readonly stems: ReadonlySet<string>;
  readonly score: number;
}

const EARLY_BONUS = 0.15;
const REDUNDANCY_WEIGHT = 1.2;
/** Picking is quadratic in picks times candidates; beyond this only the best-scored take part. */
const MAX_CANDIDATES = 400;

/** At most `count` sentences of the items, in the order they stand in. */
export function salientSentences(pieces: readonly string[], count: number): string[] {
  return pick(scoreSentences(pieces), count).sort((a, b) => a.order - b.order).map((each) => each.text);
}

/**
 * One sentence a subject, then the most salient others: what a reader of many opinions wants to know first is what
 * most of them are about. Of a subject's sentences those that judge as most of them do come first, then salience.
 */
export function salientByTheme(pieces: readonly string[], themes: readonly Theme[], count: number): string[] {
  const scored = scoreSentences(pieces);
  const scoreOf = new Map(scored.map((each) => [each.text, each]));
  const picked = new Map<string, Scored>();
  for (const theme of themes) {
    if (picked.size >= count) break;
    const direction = Math.sign(theme.positive - theme.negative);
    let best: Scored | undefined;
    let bestValue = -1;
    for (const mention of theme.mentions) {
      const sentence = scoreOf.get(mention.sentence);
      if (sentence === undefined || picked.has(sentence.text)) continue;
      const agreement = direction === 0 ? 0 : Math.max(-1, Math.min(2, mention.sentiment * direction));
      const value = sentence.score * (1 + agreement) * (sentence.text.length > 140 ? 0.6 : 1);
      if (value > bestValue) {
        best = sentence;
        bestValue = value;
      }
    }
    if (best !== undefined) picked.set(best.text, best);
  }
  for (const other of pick(scored, count * 2)) if (picked.size < count) picked.set(other.text, other);
  return [...picked.keys()];
}

function scoreSentences(pieces: readonly string[]): Scored[] {
  const read: { text: string; stems: string[]; item: number }[] = [];
  pieces.forEach((piece, item) => {
    for (const text of sentences(piece)) {
      const stems = contentStems(text);
      if (stems.length > 0) read.push({ text, stems, item });
    }
  });
  const usage = new Map<string, Set<number>>();
  read.forEach(({ stems, item }, index) => {
    const unit = pieces.length > 1 ? item : index;
    for (const each of stems) {
      let users = usage.get(each);
      if (users === undefined) usage.set(each, (users = new Set()));
      users.add(unit);
    }
  });
  return read.map(({ text, stems }, order): Scored => {
    const distinct = new Set(stems);
    let weight = 0;
    for (const each of distinct) weight += Math.log2(1 + usage.get(each)!.size);
    const length = distinct.size;
    const damping = length < 4 ? length / 4 : length > 24 ? 24 / length : 1;
    const early = EARLY_BONUS * (1 - order / read.length);
    return { text, order, stems: distinct, score: (weight / length) * damping * (1 + early) };
  });
}

function pick(scored: readonly Scored[], count: number): Scored[] {
  const candidates = [...scored].sort((a, b) => b.score - a.score || a.order - b.order).slice(0, MAX_CANDIDATES);
  const picked: Scored[] = [];
  while (picked.length < count) {
    let best: Scored | null = null;
    let bestValue = 0;
    for (const candidate of candidates) {
      if (picked.includes(candidate)) continue;
      let overlap = 0;
      for (const earlier of picked) overlap = Math.max(overlap, jaccard(candidate.stems, earlier.stems));
      const value = candidate.score * (1 - Math.min(1, overlap * REDUNDANCY_WEIGHT));
      if (value > bestValue + 1e-12) {
        best = candidate;
        bestValue = value;
      }
    }
    if (best === null) break;
    picked.push(best);
  }
  return picked;
}

function jaccard(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  let shared = 0;
  for (const each of a) if (b.has(each)) shared += 1;
  return shared === 0 ? 0 : shared / (a.size + b.size - shared);
}
