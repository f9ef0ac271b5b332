/**
 * Where a text may be cut so that judging the pieces finds what judging the whole would.
 *
 * A cut is a place behind white space (or another mark that stands in no finding) with nothing before it that a finding
 * could begin with or depend on: no number that may go on, no beginning of a bank account number, no word such as
 * "password" or "phone" that gives what follows its meaning, no open private key, no beginning of a phrase that is
 * denied. Whether a place is a cut depends on the text before it alone, so a stream knows its cuts as it goes.
 *
 * Where numbers follow one another without an end, what comes after a place says whether it lies in one of them, so
 * such a text is cut a little before its end (`lateCut`).
 *
 * A text without a cut for `MAX_SEGMENT` characters is cut there all the same, beside the findings around that place.
 * The same places result whether a text is read whole or in pieces.
 */
import { detect, type DetectState } from './detect.ts';
import { numberSpans } from './detect-numbers.ts';
import { privateKeySpans } from './detect-text.ts';
import { hasInvisible, readable, withoutInvisible } from './readable.ts';
import { fold } from './terms.ts';
import type { CompiledText } from './compile-rules.ts';

/** Characters before a place that say whether it is a cut. */
export const LOOKBACK = 96;
/** The same where some of them are not seen. */
const INVISIBLE_LOOKBACK = 4_096;
export const MAX_SEGMENT = 32_768;
/** Longer than any finding. */
export const REACH = 16_384;
/** Characters before a place in which a denied phrase may have begun. */
const TERM_LOOKBACK = 1_024;

const BREAK = /[\s"<>\u3001\u3002]/;
/** Words that give meaning to what follows, as the patterns know them or more. */
const CONTEXT = /\b(?:bearer|basic|pass(?:word|wd|phrase|code)|pwd|secret|credentials?|key|token|tel|telephone|phone|mobile|cell|fax|call|ring|dial|whatsapp|ssn|social security)\b|text me|[_-](?:key|token|secret|password)|(?:api|access|secret|private|auth|client)(?:key|token|secret)|-----BEGIN/i;
/** Those that need what comes right behind them. */
const CONTEXT_END = /\b(?:api|access|secret|auth|client|private|refresh|social|text|v|ver|version|release|build|firmware|chapter|section|git)[.:]?\s*$/i;
const CONTEXT_LENGTH = 48;
const ACCOUNT_BEGIN = /(?<![\p{L}\p{N}])[A-Za-z]{2}\d{2}/gu;
/** Letters and digits of the longest bank account number, and one. */
const ACCOUNT_LENGTH = 34;
/** Marks that end no password. */
const WIDE_BREAK = /[\u3001\u3002]/;
/** What a password or a URL with one begins with, in part, and how far before such a mark that may stand. */
const SECRET_BEGIN = /pass|pwd|secret|key|token|:\/\//i;
const SECRET_REACH = 420;
/** What may stand between the digits of one number, and how much of it; a comma or a line break ends a number. */
const BETWEEN_DIGITS = ' .()/-';
const MAX_BETWEEN = 3;
const LETTER = /[\p{L}\p{N}_]/u;

/** Whether the text may be cut before `at`. */
function isCut(text: string, at: number): boolean {
  return isQuiet(text, at) && !isOpenNumber(tailOf(text, at));
}

function tailOf(text: string, at: number): string {
  const tail = text.slice(Math.max(0, at - LOOKBACK), at);
  return readable(hasInvisible(tail) ? withoutInvisible(text.slice(Math.max(0, at - INVISIBLE_LOOKBACK), at)).slice(-LOOKBACK) : tail);
}

/** As `isCut`, but for numbers. */
function isQuiet(text: string, at: number): boolean {
  const mark = text.charAt(at - 1);
  if (!BREAK.test(mark)) return false;
  if (WIDE_BREAK.test(mark) && SECRET_BEGIN.test(text.slice(Math.max(0, at - SECRET_REACH), at))) return false;
  const tail = tailOf(text, at);
  const near = tail.slice(-CONTEXT_LENGTH);
  return !CONTEXT.test(near) && !CONTEXT_END.test(near) && !isOpenAccount(tail);
}

/** Whether a bank account number may go on behind the end: nothing has ended it, and it is no longer than any. */
function isOpenAccount(tail: string): boolean {
  let at = tail.length;
  let isGap = false;
  for (let length = 0; at > 0 && length < ACCOUNT_LENGTH; at -= 1) {
    const mark = tail[at - 1]!;
    const isSeparator = mark === ' ' || mark === '-';
    if (isSeparator ? isGap : !isAlphanumeric(mark.charCodeAt(0))) break;
    isGap = isSeparator;
    if (!isSeparator) length += 1;
  }
  ACCOUNT_BEGIN.lastIndex = at;
  return ACCOUNT_BEGIN.test(tail);
}

/** Whether a number may go on behind the end: digits, few separators, and no letter that the digits belong to. */
function isOpenNumber(tail: string): boolean {
  let last = tail.length - 1;
  while (last >= 0 && BETWEEN_DIGITS.includes(tail[last]!)) last -= 1;
  if (last < 0 || tail.length - 1 - last > MAX_BETWEEN || !isDigit(tail.charCodeAt(last))) return false;
  while (last >= 0 && isDigit(tail.charCodeAt(last))) last -= 1;
  return last < 0 || !LETTER.test(tail[last]!);
}

/** How far back from `at` a denied phrase may have begun that goes on behind it; 0 for none. */
function openPhrase(text: string, at: number, { terms }: CompiledText): number {
  if (terms.longestPhrase === 0) return 0;
  const near = text.slice(Math.max(0, at - 2 * terms.longestPhrase), at);
  // White space and invisible characters may stretch a phrase.
  const isStretched = near.length > 0 && fold(near).length < near.length;
  return terms.openAtEnd(isStretched ? text.slice(Math.max(0, at - TERM_LOOKBACK), at) : near);
}

const isDigit = (code: number): boolean => code >= 48 && code <= 57;
const isAlphanumeric = (code: number): boolean => isDigit(code) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122);

/** The last cut in `(searched, end]`, null when there is none. `from` is where the segment begins. */
export function lastCut(text: string, from: number, searched: number, end: number, compiled: CompiledText): number | null {
  const keys = privateKeySpans(readable(text), from, end);
  for (let at = end; at > searched; at -= 1) {
    const key = keys.find(({ start, end: keyEnd, isOpen }) => start < at && (at < keyEnd || (isOpen && at <= keyEnd)));
    if (key !== undefined) {
      at = Math.max(searched, key.start) + 1;
      continue;
    }
    if (!isCut(text, at)) continue;
    const open = openPhrase(text, at, compiled);
    if (open === 0) return at;
    // What begins a phrase up to here begins it up to every place in between too.
    at -= open - 1;
  }
  return null;
}

/** Longer than any number with what belongs to it. */
const NUMBER_REACH = 128;
/** Places that are looked at. */
const LATE_PLACES = 512;

/** A cut that no number lies across, so far before the end of the text that all of such a number would be seen; null when there is none. */
export function lateCut(text: string, from: number, compiled: CompiledText): number | null {
  const end = text.length - NUMBER_REACH;
  const held = readable(text.slice(from));
  const across = [...numberSpans(held), ...privateKeySpans(held, 0, held.length)];
  for (let at = end; at > Math.max(from, end - LATE_PLACES); at -= 1) {
    if (!isQuiet(text, at) || openPhrase(text, at, compiled) > 0) continue;
    if (!across.some(({ start, end: spanEnd }) => from + start < at && at < from + spanEnd)) return at;
  }
  return null;
}

/** Where a segment without a cut ends. `text` must reach `REACH` behind it, or be complete. */
export function forcedCut(text: string, from: number, compiled: CompiledText, state: DetectState): number {
  const at = from + MAX_SEGMENT;
  const window = text.slice(from, at + REACH);
  const across = detect(window, compiled.kinds, { ...state }).find(({ start, end }) => from + start < at && at < from + end);
  if (across === undefined) return at;
  return across.start > 0 ? from + across.start : from + across.end;
}
