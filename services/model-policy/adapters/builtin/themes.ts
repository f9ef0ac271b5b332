/** What a set of items is about: subjects with the number of items that mention them, and which way those lean. */
import { FEEDBACK_TOPICS } from './feedback-topics.ts';
import { isSentimentWord, sentiment } from './sentiment.ts';
import { clauses, isStopWord, sentences, stem, words } from './text.ts';

export interface Mention {
  readonly item: number;
  /** The clause that names the subject. */
  readonly clause: string;
  /** The whole sentence it stands in. */
  readonly sentence: string;
  readonly sentiment: number;
}

export interface Theme {
  readonly name: string;
  readonly remedy: string;
  /** One an item: the clause with the strongest judgement. */
  readonly mentions: readonly Mention[];
  readonly positive: number;
  readonly negative: number;
}

interface Clause {
  readonly item: number;
  readonly clause: string;
  readonly sentence: string;
  readonly sentiment: number;
  readonly forms: readonly string[];
  readonly stems: ReadonlySet<string>;
  readonly lower: string;
}

const TOPIC_BY_STEM = new Map<string, number>();
FEEDBACK_TOPICS.forEach((topic, index) => {
  for (const each of topic.stems) TOPIC_BY_STEM.set(each, index);
});
const YIELDS_TO = FEEDBACK_TOPICS.map((topic) => (topic.yieldsTo ?? []).map((name) => FEEDBACK_TOPICS.findIndex((other) => other.name === name)));
const TOPIC_PHRASES = FEEDBACK_TOPICS.flatMap((topic, index) => (topic.phrases ?? []).map((phrase) => ({ phrase, index })));

/**
 * Subjects that at least two items name, most mentioned first.
 * @param leanings how each item judges as a whole, from -1 to 1: it tips the clauses that say little by themselves
 */
export function findThemes(pieces: readonly string[], leanings: readonly number[], limit: number): Theme[] {
  const all = readClauses(pieces, leanings);
  const byTopic: Mention[][] = FEEDBACK_TOPICS.map(() => []);
  for (const clause of all) {
    for (const index of topicsOf(clause)) byTopic[index]!.push(clause);
  }
  const themes: Theme[] = [];
  FEEDBACK_TOPICS.forEach((topic, index) => {
    const theme = toTheme(topic.name, topic.remedy, byTopic[index]!);
    if (theme !== null) themes.push(theme);
  });
  themes.push(...frequentSubjects(all, pieces.length, themes));
  return themes
    .filter((theme) => theme.mentions.length >= 2)
    .sort((a, b) => b.mentions.length - a.mentions.length || compareNames(a.name, b.name))
    .slice(0, limit);
}

/** `mostly negative`, `mostly positive`, `mixed` or `neutral`. */
export function leaning(theme: Theme): string {
  const judged = theme.positive + theme.negative;
  if (judged === 0 || judged < theme.mentions.length * 0.25) return 'neutral';
  if (theme.negative >= judged * 0.65) return 'mostly negative';
  if (theme.positive >= judged * 0.65) return 'mostly positive';
  return 'mixed';
}

const LEANING_WEIGHT = 0.5;

function readClauses(pieces: readonly string[], leanings: readonly number[]): Clause[] {
  const out: Clause[] = [];
  pieces.forEach((piece, item) => {
    for (const sentence of sentences(piece)) {
      for (const clause of clauses(sentence)) {
        const forms = words(clause);
        const stems = new Set<string>(forms);
        for (const word of forms) stems.add(stem(word));
        const own = sentiment(clause);
        out.push({ item, clause, sentence, sentiment: own + (leanings[item] ?? 0) * LEANING_WEIGHT, forms, stems, lower: clause.toLowerCase() });
      }
    }
  });
  return out;
}

function topicsOf(clause: Clause): Set<number> {
  const found = new Set<number>();
  for (const each of clause.stems) {
    const index = TOPIC_BY_STEM.get(each);
    if (index !== undefined) found.add(index);
  }
  for (const { phrase, index } of TOPIC_PHRASES) if (clause.lower.includes(phrase)) found.add(index);
  for (const index of found) {
    if (YIELDS_TO[index]!.some((other) => found.has(other))) found.delete(index);
  }
  return found;
}

function toTheme(name: string, remedy: string, mentions: readonly Mention[]): Theme | null {
  if (mentions.length === 0) return null;
  const strongest = new Map<number, Mention>();
  const sums = new Map<number, number>();
  for (const mention of mentions) {
    sums.set(mention.item, (sums.get(mention.item) ?? 0) + mention.sentiment);
    const best = strongest.get(mention.item);
    if (best === undefined || Math.abs(mention.sentiment) > Math.abs(best.sentiment)) strongest.set(mention.item, mention);
  }
  let positive = 0;
  let negative = 0;
  for (const sum of sums.values()) {
    if (sum > 0.2) positive += 1;
    else if (sum < -0.2) negative += 1;
  }
  return { name, remedy, mentions: [...strongest.values()], positive, negative };
}

/**
 * Content words outside the listed topics that at least 5 % of the items (three at the least) share. A word that
 * mostly stands where one topic is spoken of is a part of that topic and no subject of its own.
 */
function frequentSubjects(all: readonly Clause[], itemCount: number, topics: readonly Theme[]): Theme[] {
  const topicItems = topics.map((topic) => new Set(topic.mentions.map((mention) => mention.item)));
  const byStem = new Map<string, { items: Set<number>; forms: Map<string, number>; mentions: Mention[] }>();
  for (const clause of all) {
    for (const form of new Set(clause.forms)) {
      if (form.length < 4 || isStopWord(form) || isSentimentWord(form) || !/^\p{L}+$/u.test(form) || /ly$/.test(form)) continue;
      const key = stem(form);
      if (TOPIC_BY_STEM.has(key) || TOPIC_BY_STEM.has(form) || isSentimentWord(key)) continue;
      let entry = byStem.get(key);
      if (entry === undefined) byStem.set(key, (entry = { items: new Set(), forms: new Map(), mentions: [] }));
      entry.items.add(clause.item);
      entry.forms.set(form, (entry.forms.get(form) ?? 0) + 1);
      entry.mentions.push(clause);
    }
  }
  const least = Math.max(3, Math.ceil(itemCount * 0.05));
  const out: Theme[] = [];
  for (const entry of byStem.values()) {
    if (entry.items.size < least || topicItems.some((items) => sharedShare(entry.items, items) >= 0.7)) continue;
    const name = [...entry.forms].sort((a, b) => b[1] - a[1] || compareNames(a[0], b[0]))[0]![0];
    const theme = toTheme(name, `Look into what people say about “${name}”`, entry.mentions);
    if (theme !== null) out.push(theme);
  }
  return out.sort((a, b) => b.mentions.length - a.mentions.length || compareNames(a.name, b.name)).slice(0, 4);
}

function sharedShare(items: ReadonlySet<number>, others: ReadonlySet<number>): number {
  let shared = 0;
  for (const item of items) if (others.has(item)) shared += 1;
  return shared / items.size;
}

/** By code units, so that the order does not depend on the machine's locale. */
export function compareNames(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
