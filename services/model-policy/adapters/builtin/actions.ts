/**
 * The action list: what the items ask for and complain about, most mentioned first, each with a quotation.
 * Three sources: themes people complain about ("Fix …"), explicit wishes ("Add …"), and tasks written as such
 * ("Please …", "Anna will …", and what stands behind the usual markers), which are taken over in their own words.
 */
import { compareNames, type Theme } from './themes.ts';
import { sentences, words } from './text.ts';

export interface Action {
  readonly title: string;
  /** Number of items behind it. */
  readonly mentions: number;
  readonly quote: string | null;
}

const WISH =
  /\b(?:please add|would (?:be (?:nice|great|good)|love|like) (?:to (?:have|see)|if (?:it|there|you) (?:had|were|was|added))|(?:i )?wish (?:it|there|they|the app) (?:had|were|was|came with|included|supported|offered)|should (?:have|include|come with|support|offer)|could use|needs? (?:a|an|more|better|some)|lacks?|missing)\s+((?:an?|the|some|more|better)\s+)?([^.,;!?()]{3,60})/iu;

const TASK = /^(?:(?:todo|action(?: item)?|task)\s*[:\-–]\s*|please\s+(?=\p{L}))(.{4,160})$/iu;
const PROMISE = /^(?:\p{Lu}[\p{L}'’-]+(?: \p{Lu}[\p{L}'’-]+)?|we|they)\s+(?:will|must|needs? to|has to|have to|should)\s+(?!have|be\b|not\b)(\p{L}.{3,140})$/u;

/** At most `limit` actions. */
export function listActions(pieces: readonly string[], themes: readonly Theme[], limit: number): Action[] {
  const complaints = themes.filter((theme) => theme.negative >= 1 && theme.negative >= theme.positive * 0.5).map(fromComplaints);
  const all = [...complaints, ...wishes(pieces), ...tasks(pieces)];
  return all.sort((a, b) => b.mentions - a.mentions || compareNames(a.title, b.title)).slice(0, limit);
}

function fromComplaints(theme: Theme): Action {
  const complaints = theme.mentions.filter((mention) => mention.sentiment < 0);
  const best = [...complaints].sort((a, b) => quality(b.sentence, b.sentiment) - quality(a.sentence, a.sentiment) || a.item - b.item)[0];
  return { title: theme.remedy, mentions: theme.negative, quote: best === undefined ? null : quotable(best.sentence) };
}

/** A good quotation is plainly negative and neither a fragment nor an essay. */
function quality(sentence: string, score: number): number {
  const length = sentence.length;
  return -score - (length < 25 ? 1.5 : 0) - Math.max(0, length - 110) / 40;
}

/** At most 140 characters, cut between words. */
export function quotable(sentence: string): string {
  if (sentence.length <= 140) return sentence;
  const cut = sentence.lastIndexOf(' ', 137);
  return `${sentence.slice(0, cut > 80 ? cut : 137).trimEnd()}…`;
}

function wishes(pieces: readonly string[]): Action[] {
  const byObject = new Map<string, { title: string; items: Set<number>; quote: string }>();
  pieces.forEach((piece, item) => {
    for (const sentence of sentences(piece)) {
      const match = WISH.exec(sentence);
      if (match === null) continue;
      const object = objectOf(match[2]!);
      if (object === '') continue;
      const article = (match[1] ?? '').toLowerCase();
      const entry = byObject.get(object);
      if (entry === undefined) byObject.set(object, { title: `Add ${article}${object}`, items: new Set([item]), quote: quotable(sentence) });
      else entry.items.add(item);
    }
  });
  return [...byObject.values()].map((entry) => ({ title: entry.title, mentions: entry.items.size, quote: entry.quote }));
}

/** The thing wished for, up to where the clause turns to something else; at most six words. */
function objectOf(text: string): string {
  const cut = text.split(/\s+(?:and|but|because|so|since|when|which|that|for me|to be|in the box|instead|at this|at the|on my)\b/i)[0]!;
  const list = words(cut);
  return list.length === 0 || /^(?:to|it|this|in|from|of|out)$/.test(list[0]!) ? '' : list.slice(0, 6).join(' ');
}

function tasks(pieces: readonly string[]): Action[] {
  const out: Action[] = [];
  const seen = new Set<string>();
  for (const piece of pieces) {
    for (const sentence of sentences(piece)) {
      const bare = sentence.replace(/[.!]+$/, '');
      if (WISH.test(bare)) continue;
      const match = TASK.exec(bare);
      const title = match !== null ? capitalize(match[1]!.trim()) : PROMISE.test(bare) ? bare : null;
      if (title === null || seen.has(title.toLowerCase())) continue;
      seen.add(title.toLowerCase());
      out.push({ title: quotable(title), mentions: 1, quote: null });
    }
  }
  return out;
}

function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
