/** Reading prose without a model: items, sentences, clauses, words and stems. English; other languages pass through unstemmed. */

const STOP_WORDS = new Set(
  ('a about above after again all also although always am an and any are as at be became because been before being below between both but by ' +
    'can cannot could did do does doing done down during each either else even ever every few for from further get gets getting go goes going got ' +
    'had has have having he her here hers him his how however i if in into is it its itself just let like made make makes many may me might more ' +
    'most much must my myself never no nor not now of off often on once one only or other our ours out over own per quite rather really s same ' +
    'she should since so some still such t than that the their theirs them then there these they this those though through to too under until up ' +
    'upon us use used using very was we well were what when where which while who whom why will with within without would yet you your yours ' +
    "i'm i've i'd i'll it's that's don't didn't doesn't can't won't isn't wasn't aren't couldn't wouldn't shouldn't haven't hasn't you're they're " +
    'im ive dont didnt doesnt cant wont isnt wasnt thing things lot lots bit way day days week weeks month months year years time times first second ' +
    'two three four five six seven eight nine ten product item bought buy buying purchase purchased ordered order star stars review reviews rating ' +
    'said say says want wanted wants need needs needed think thought came come comes back went take takes took taken tell told know seem seems put ' +
    'new old big small long little half whole around almost already actually maybe probably definitely people someone everything nothing anything ' +
    'complain described describe expected please thank thanks hello hi ok okay yes').split(' '),
);

export function isStopWord(word: string): boolean {
  return STOP_WORDS.has(word);
}

const WORD = /[\p{L}\p{N}]+(?:['’][\p{L}]+)*/gu;

/** Lower-case words; an apostrophe stays inside its word. */
export function words(text: string): string[] {
  return text.toLowerCase().replaceAll('’', "'").match(WORD) ?? [];
}

/** Folds plurals and the commonest endings, so that "crashes", "crashed" and "crash" count as one. */
export function stem(word: string): string {
  if (word.length <= 3) return word;
  if (word.endsWith("'s")) return stem(word.slice(0, -2));
  if (word.endsWith('ies') && word.length > 4) return `${word.slice(0, -3)}y`;
  if (/(?:sh|ch|ss|x|z)es$/.test(word)) return word.slice(0, -2);
  if (word.endsWith('s') && !word.endsWith('ss') && !word.endsWith('us') && !word.endsWith('is')) return word.slice(0, -1);
  if (word.endsWith('ing') && word.length > 5) return undouble(word.slice(0, -3));
  if (word.endsWith('ed') && word.length > 4) return undouble(word.slice(0, -2));
  return word;
}

function undouble(word: string): string {
  return /([bdgmnprt])\1$/.test(word) ? word.slice(0, -1) : word;
}

/** Words that carry meaning, stemmed, in order. */
export function contentStems(text: string): string[] {
  const out: string[] = [];
  for (const word of words(text)) {
    if (word.length > 2 && !STOP_WORDS.has(word) && !/^\d+$/.test(word)) out.push(stem(word));
  }
  return out;
}

/**
 * The separate pieces of a text: paragraphs when blank lines part them into at least three, else lines when there
 * are at least three, else the whole text. One review, one note, one message each. A heading alone is no item.
 */
export function items(text: string): string[] {
  const normalized = text.replaceAll('\r\n', '\n').trim();
  if (normalized === '') return [];
  const paragraphs = nonEmpty(normalized.split(/\n[ \t]*\n/));
  if (paragraphs.length >= 3) return paragraphs.map((paragraph) => paragraph.replace(/\s*\n\s*/g, ' '));
  const lines = nonEmpty(normalized.split('\n'));
  return lines.length >= 3 ? lines : [normalized.replace(/\s*\n\s*/g, ' ')];
}

function nonEmpty(parts: readonly string[]): string[] {
  const out: string[] = [];
  for (const part of parts) {
    const trimmed = part.trim();
    if (/[\p{L}\p{N}]/u.test(trimmed)) out.push(trimmed);
  }
  return out;
}

const LEADING_MARKS =
  /^(?:(?:review\s*)?#?\d{1,4}\s*[.):\]|]\s*|[-*•>]\s+|\[?\d{4}-\d{2}-\d{2}\]?\s*[|,:–—-]?\s*|(?:rating:?\s*)?\d(?:\.\d)?\s*(?:\/\s*(?:5|10)|out of 5|stars?)\s*[|,:–—-]?\s*|[★☆⭐]+\s*[|,:–—-]?\s*|[|,:–—-]\s*)+/iu;

/** The prose of an item: numbering, bullets, dates and ratings at its head are left out. */
export function prose(item: string): string {
  return item.replace(LEADING_MARKS, '').trim() || item.trim();
}

/** Sentences of one piece of prose, with their end marks. Abbreviations such as "e.g." and decimals do not end one. */
export function sentences(text: string): string[] {
  const out: string[] = [];
  const boundary = /[.!?…]+["')\]]*\s+(?=["'(\[]?[\p{Lu}\p{N}])/gu;
  let start = 0;
  for (let match = boundary.exec(text); match !== null; match = boundary.exec(text)) {
    const end = match.index + match[0].trimEnd().length;
    if (text.charAt(match.index) === '.' && /(?:\b(?:e\.g|i\.e|mr|mrs|ms|dr|vs|etc|approx|no)|\b\p{Lu})\.$/iu.test(text.slice(Math.max(0, end - 8), end))) continue;
    out.push(text.slice(start, end).trim());
    start = match.index + match[0].length;
  }
  const rest = text.slice(start).trim();
  if (rest !== '') out.push(rest);
  return out;
}

/** Parts of a sentence that can each carry a judgement of their own ("great screen but the battery dies"). */
export function clauses(sentence: string): string[] {
  const parts = sentence.split(/\s*(?:[;,–—]|\s-\s|\.\s)\s*|\s+(?:but|although|though|however|while|whereas|yet|except)\s+/i);
  return parts.filter((part) => part.length > 2);
}
