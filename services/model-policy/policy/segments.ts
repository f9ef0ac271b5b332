/**
 * Where a text may be cut so that judging the pieces finds what judging the whole would.
 *
 * A cut is a place behind white space (or another mark that stands in no finding) with nothing before it that a finding
 * could begin with or depend on: no digit close by, no beginning of a bank account number, no word such as "password"
 * or "phone" that gives what follows its meaning, no open private key, no beginning of a phrase that is denied. Whether
 * a place is a cut depends on the text before it alone, so a stream knows its cuts as it goes.
 *
 * A text without a cut for `MAX_SEGMENT` characters is cut there all the same, beside the findings around that place.
 * The same places result whether a text is read whole or in pieces.
 */
import { detect, type DetectState } from './detect.ts';
import { privateKeySpans } from './detect-text.ts';
import { readable } from './readable.ts';
import { fold } from './terms.ts';
import type { CompiledText } from './compile-rules.ts';

/** Characters before a place that say whether it is a cut. */
export const LOOKBACK = 96;
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
const ACCOUNT_BEGIN = /(?<![\p{L}\p{N}])[A-Za-z]{2}\d{2}/u;
/** Separators between the digits of one number, at most. */
const DIGIT_DISTANCE = 6;

/** Whether the text may be cut before `at`. */
function isCut(text: string, at: number): boolean {
  if (!BREAK.test(text.charAt(at - 1))) return false;
  const tail = readable(text.slice(Math.max(0, at - LOOKBACK), at));
  for (let i = tail.length - 1; i >= Math.max(0, tail.length - DIGIT_DISTANCE); i -= 1) if (isDigit(tail.charCodeAt(i))) return false;
  const near = tail.slice(-CONTEXT_LENGTH);
  if (CONTEXT.test(near) || CONTEXT_END.test(near) || ACCOUNT_BEGIN.test(tail)) return false;
  return true;
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

/** Where a segment without a cut ends. `text` must reach `REACH` behind it, or be complete. */
export function forcedCut(text: string, from: number, compiled: CompiledText, state: DetectState): number {
  const at = from + MAX_SEGMENT;
  const window = text.slice(from, at + REACH);
  const across = detect(window, compiled.kinds, { ...state }).find(({ start, end }) => from + start < at && at < from + end);
  if (across === undefined) return at;
  return across.start > 0 ? from + across.start : from + across.end;
}
