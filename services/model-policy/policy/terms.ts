/**
 * Words that may not be said: found as whole words, without regard to case, width, invisible characters and the amount
 * of white space. The time is linear in the text however many terms there are: a text is walked word by word, and only
 * terms that begin with the word at hand are compared.
 */
import type { PolicyRuleTerms } from '../../../generated/types/index.ts';
import { withoutInvisible } from './readable.ts';

type Action = PolicyRuleTerms['action'];

interface Term {
  readonly action: Action;
  /** Place of its rule; the earlier rule decides where two terms overlap. */
  readonly order: number;
  readonly ruleId: string;
}

/** Words one after another, from the first of a term to its last. */
interface Node {
  readonly next: Map<string, Node>;
  readonly terms: Term[];
}

interface Token {
  /** With a space before it where the text has one. */
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

const TOKENS = / ?(?:[\p{L}\p{N}_]+|[^\p{L}\p{N}_\s])/gu;
const WORD_CHARACTER = /[\p{L}\p{N}_]/u;
// eslint-disable-next-line no-control-regex
const ASCII = /^[\u0000-\u007f]*$/;
const WIDE_SPACE = /[\t\n\v\f\r]| {2}/;

export function fold(text: string): string {
  // Nothing in ASCII has another form but letters in upper case and white space.
  if (ASCII.test(text)) {
    const lower = text.toLowerCase();
    return WIDE_SPACE.test(lower) ? lower.replace(/\s+/g, ' ') : lower;
  }
  return withoutInvisible(text.normalize('NFKC')).toLowerCase().replace(/\s+/g, ' ');
}

function tokensOf(folded: string): Token[] {
  const tokens: Token[] = [];
  for (const { 0: text, index } of folded.matchAll(TOKENS)) tokens.push({ text, start: text.startsWith(' ') ? index + 1 : index, end: index + text.length });
  return tokens;
}

const firstWord = ({ text }: Token): string => (text.startsWith(' ') ? text.slice(1) : text);

/** Up to here one pattern of all first words is faster than walking the words of a text. */
const MAX_PREFILTERED = 64;

export class TermMatcher {
  readonly #root: Node = { next: new Map(), terms: [] };
  /** Of texts without any of these no term can be said; null where there are too many. */
  readonly #firstWords: RegExp | null;
  /** Longest term of several words, in folded characters; 0 when there is none. */
  readonly longestPhrase: number;

  /** @param rules in order, those of one direction */
  constructor(rules: readonly PolicyRuleTerms[]) {
    let longest = 0;
    for (const [order, rule] of rules.entries()) {
      for (const written of rule.terms) {
        const tokens = tokensOf(fold(written).trim());
        if (tokens.length === 0) continue;
        let node = this.#root;
        for (const [place, token] of tokens.entries()) {
          const text = place === 0 ? firstWord(token) : token.text;
          let next = node.next.get(text);
          if (next === undefined) node.next.set(text, (next = { next: new Map(), terms: [] }));
          node = next;
        }
        node.terms.push({ action: rule.action, order, ruleId: rule.id });
        if (tokens.length > 1) longest = Math.max(longest, tokens.at(-1)!.end);
      }
    }
    this.longestPhrase = longest;
    const firstWords = [...this.#root.next.keys()];
    this.#firstWords = firstWords.length > MAX_PREFILTERED ? null : new RegExp(firstWords.map((word) => word.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')).join('|'), 'i');
  }

  get isEmpty(): boolean {
    return this.#root.next.size === 0;
  }

  /** Ids of the rules that block the text. */
  blocking(text: string): ReadonlySet<string> {
    const folded = this.#foldSpoken(text);
    if (folded === null) return NO_RULES;
    const tokens = tokensOf(folded);
    const found: { readonly term: Term; readonly start: number; readonly end: number }[] = [];
    for (const [place, { start }] of tokens.entries()) {
      let node = this.#root.next.get(firstWord(tokens[place]!));
      for (let last = place; node !== undefined; node = node.next.get(tokens[last]?.text ?? '')) {
        const { end } = tokens[last]!;
        if (node.terms.length > 0 && standsFree(folded, start, end)) for (const term of node.terms) found.push({ term, start, end });
        last += 1;
      }
    }
    const allowed = found.filter(({ term }) => term.action === 'allow');
    const blocked = found.filter(({ term, start, end }) => term.action === 'block'
      && !allowed.some((other) => other.term.order < term.order && other.start <= start && end <= other.end));
    return new Set(blocked.map(({ term }) => term.ruleId));
  }

  /** How many characters at the end of the text may be the beginning of a term that goes on behind it; 0 for none. */
  openAtEnd(text: string): number {
    const folded = this.#foldSpoken(text);
    if (folded === null) return 0;
    const tokens = tokensOf(folded);
    for (const [place, token] of tokens.entries()) {
      let node = this.#root.next.get(firstWord(token));
      let last = place + 1;
      while (node !== undefined && last < tokens.length) {
        node = node.next.get(tokens[last]!.text);
        last += 1;
      }
      // Where folding has moved the characters, the least is certain.
      if (node !== undefined && node.next.size > 0) return folded.length === text.length ? folded.length - token.start : 1;
    }
    return 0;
  }

  /** The text, folded; null where it holds none of the first words, which what is ASCII tells unfolded. */
  #foldSpoken(text: string): string | null {
    const firstWords = this.#firstWords;
    if (firstWords !== null && !firstWords.test(text) && ASCII.test(text)) return null;
    const folded = fold(text);
    return firstWords === null || firstWords.test(folded) ? folded : null;
  }
}

const NO_RULES: ReadonlySet<string> = new Set();

/** A term that begins or ends in a sign is no part of a word. */
function standsFree(folded: string, start: number, end: number): boolean {
  return !WORD_CHARACTER.test(folded.charAt(start - 1)) && !WORD_CHARACTER.test(folded.charAt(end));
}
