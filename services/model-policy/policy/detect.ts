/**
 * Finding personal data and secrets in text (PRS 6.3): own patterns, confirmed by checksums (Luhn, IBAN mod 97, the
 * phone numbering plans), behind prefilters that let ordinary text pass at the cost of a scan.
 */
import type { PiiKind } from '../ports/policy-rules.ts';
import { findCards, findIbans, findIps, findPhones, findSsns } from './detect-numbers.ts';
import { findEmails, findSecrets } from './detect-text.ts';
import { hasInvisible, readable, seen } from './readable.ts';

export interface Finding {
  readonly kind: PiiKind;
  /** UTF-16 offsets, end exclusive. */
  readonly start: number;
  readonly end: number;
}

/** Where two findings overlap, the one of the earlier kind stands. */
const PRECEDENCE: readonly PiiKind[] = ['secret', 'iban', 'card', 'ssn', 'email', 'ip', 'phone'];

const DIGIT = /\d/;
/** Seven digits with nothing but a few separators between them: the least that a number worth finding has. */
const DIGITS = /\d(?:[ .:()/-]{0,3}\d){6}/;

/** What is carried from one segment of a text to the next. */
export interface DetectState {
  /** Numbers that may still be confirmed by the numbering plans. */
  phonesLeft: number;
}

/**
 * Confirming a number by the numbering plans takes some 15 µs. Past this many in one text, what looks like a number
 * counts as one, so that a text full of them costs no more than a moment and hides none.
 */
const MAX_CONFIRMED = 2_000;

export function newDetectState(): DetectState {
  return { phonesLeft: MAX_CONFIRMED };
}

/** Findings of the wanted kinds, in the order of the text, none overlapping another. */
export function detect(written: string, wanted: ReadonlySet<PiiKind>, state: DetectState = newDetectState()): Finding[] {
  if (written.length < 5 || wanted.size === 0) return [];
  if (!hasInvisible(written)) return detectSeen(written, wanted, state);
  const { text, places } = seen(written);
  // What stands invisibly in a finding goes with it.
  return detectSeen(text, wanted, state).map(({ kind, start, end }) => ({ kind, start: places[start]!, end: places[end - 1]! + 1 }));
}

function detectSeen(visible: string, wanted: ReadonlySet<PiiKind>, state: DetectState): Finding[] {
  const text = readable(visible);
  const found: Finding[] = [];
  if (wanted.has('secret')) findSecrets(text, found);
  if (wanted.has('email') && text.includes('@')) findEmails(text, found);
  if (DIGIT.test(text)) findNumbers(text, wanted, found, state);
  return found.length < 2 ? found : withoutOverlaps(found);
}

/** Whatever is made of digits. */
function findNumbers(text: string, wanted: ReadonlySet<PiiKind>, found: Finding[], state: DetectState): void {
  if (wanted.has('iban')) findIbans(text, found);
  if (DIGITS.test(text)) {
    if (wanted.has('card')) findCards(text, found);
    if (wanted.has('ssn')) findSsns(text, found);
    if (wanted.has('phone')) findPhones(text, found, state);
  }
  if (wanted.has('ip')) findIps(text, found);
}

function withoutOverlaps(found: readonly Finding[]): Finding[] {
  const ordered = [...found].sort((a, b) => PRECEDENCE.indexOf(a.kind) - PRECEDENCE.indexOf(b.kind) || a.start - b.start || b.end - a.end);
  const taken: Finding[] = [];
  for (const kind of PRECEDENCE) {
    const earlier = [...taken].sort((a, b) => a.start - b.start);
    let lastEnd = -1;
    for (const finding of ordered) {
      if (finding.kind !== kind || finding.start < lastEnd || overlapsAny(earlier, finding)) continue;
      taken.push(finding);
      lastEnd = finding.end;
    }
  }
  return taken.sort((a, b) => a.start - b.start);
}

/** Binary search over disjoint findings in order. */
function overlapsAny(ordered: readonly Finding[], finding: Finding): boolean {
  let low = 0;
  let high = ordered.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ordered[middle]!.end <= finding.start) low = middle + 1;
    else high = middle;
  }
  return low < ordered.length && ordered[low]!.start < finding.end;
}
