/**
 * Finding personal data and secrets in text (PRS 6.3): own patterns, confirmed by checksums (Luhn, IBAN mod 97, the
 * phone numbering plans), behind prefilters that let ordinary text pass at the cost of a scan.
 */
import type { PiiKind } from '../ports/policy-rules.ts';
import { findCards, findIbans, findIps, findPhones, findSsns } from './detect-numbers.ts';
import { findEmails, findSecrets } from './detect-text.ts';

export interface Finding {
  readonly kind: PiiKind;
  /** UTF-16 offsets, end exclusive. */
  readonly start: number;
  readonly end: number;
}

/** Where two findings overlap, the one of the earlier kind stands. */
const PRECEDENCE: readonly PiiKind[] = ['secret', 'iban', 'card', 'ssn', 'email', 'ip', 'phone'];

/** Seven digits with nothing but a few separators between them: the least that a number worth finding has. */
const DIGITS = /\d(?:[ .:()/-]{0,2}\d){6}/;

/** Findings of the wanted kinds, in the order of the text, none overlapping another. */
export function detect(text: string, wanted: ReadonlySet<PiiKind>): Finding[] {
  if (text.length < 5 || wanted.size === 0) return [];
  const readable = withAsciiDigits(text);
  const found: Finding[] = [];
  if (wanted.has('secret')) findSecrets(readable, found);
  if (wanted.has('email') && readable.includes('@')) findEmails(readable, found);
  if (DIGITS.test(readable)) {
    if (wanted.has('iban')) findIbans(readable, found);
    if (wanted.has('card')) findCards(readable, found);
    if (wanted.has('ssn')) findSsns(readable, found);
    if (wanted.has('phone')) findPhones(readable, found);
  }
  if (wanted.has('ip') && (readable.includes('.') || readable.includes(':'))) findIps(readable, found);
  return found.length < 2 ? found : withoutOverlaps(found);
}

/** Full-width digits and signs become their ASCII twins, one unit each, so that offsets stay. */
function withAsciiDigits(text: string): string {
  return /[\uff01-\uff5e]/.test(text) ? text.replace(/[\uff01-\uff5e]/g, (char) => String.fromCharCode(char.charCodeAt(0) - 0xfee0)) : text;
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
