/** Finding personal data that is made of digits: cards, bank accounts, US social security numbers, addresses, phones. */
import isIBAN from 'validator/lib/isIBAN.js';
import isIP from 'validator/lib/isIP.js';
import isLuhnNumber from 'validator/lib/isLuhnNumber.js';
import { parsePhoneNumberFromString, type CountryCode } from 'libphonenumber-js/min';
import type { DetectState, Finding } from './detect.ts';

const CARD_LENGTHS = { min: 13, max: 19 } as const;
/** Issuer ranges: Visa, Mastercard, American Express, Discover, JCB, Diners, UnionPay, Maestro. */
const CARD_ISSUER = /^(?:4|5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)|3[47]|6(?:011|4[4-9]|5)|35(?:2[89]|[3-8])|3(?:0[0-5]|[689])|62|50|5[6-8])/;
/** How cards are written in groups. */
const CARD_GROUPS = new Set(['4,4,4,4', '4,4,4,4,3', '4,6,5', '4,6,4', '4,4,4,1', '8,8']);

interface DigitGroup {
  readonly start: number;
  readonly end: number;
}

/** The shortest group that a card written in groups begins with. */
const FIRST_GROUP_DIGITS = 4;
const MAX_GROUPS = 5;

export function findCards(text: string, out: Finding[]): void {
  const groups: DigitGroup[] = [];
  for (const match of text.matchAll(/\d+/g)) groups.push({ start: match.index, end: match.index + match[0].length });
  for (let first = 0; first < groups.length; first += 1) {
    const start = groups[first]!;
    if (start.end - start.start < FIRST_GROUP_DIGITS) continue;
    let digits = '';
    let shape = '';
    for (let last = first; last < groups.length && last < first + MAX_GROUPS; last += 1) {
      const group = groups[last]!;
      if (last > first && group.end - group.start > 8) break;
      if (last > first && !isGroupGap(text, groups[last - 1]!.end, group.start)) break;
      digits += text.slice(group.start, group.end);
      shape += `${last === first ? '' : ','}${group.end - group.start}`;
      if (digits.length > CARD_LENGTHS.max) break;
      if (last > first && !CARD_GROUPS.has(shape)) continue;
      if (!isCard(digits) || !standsFree(text, start.start, group.end)) continue;
      out.push({ kind: 'card', start: start.start, end: group.end });
      first = last;
      break;
    }
  }
}

function isGroupGap(text: string, end: number, next: number): boolean {
  return next - end === 1 && (text[end] === ' ' || text[end] === '-');
}

function isCard(digits: string): boolean {
  return digits.length >= CARD_LENGTHS.min && CARD_ISSUER.test(digits) && !/^(\d)\1+$/.test(digits) && isLuhnNumber(digits);
}

/** Part of an identifier, a decimal or a longer number is no card. */
function standsFree(text: string, start: number, end: number): boolean {
  const before = text.charAt(start - 1);
  if (/[\p{L}\p{N}_]/u.test(before) || (before === '.' && /\d/.test(text.charAt(start - 2)))) return false;
  return !/^(?:[\p{L}\p{N}_]|[.,]\d|-[\p{L}\d])/u.test(text.slice(end, end + 2));
}

/** Length of an account number by country, as registered with SWIFT. */
const IBAN_LENGTHS = new Map(
  ('AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 ' +
    'GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 ' +
    'PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20').split(' ').map((each) => [each.slice(0, 2), Number(each.slice(2))] as const),
);

export function findIbans(text: string, out: Finding[]): void {
  for (const match of text.matchAll(/(?<![\p{L}\p{N}])[A-Za-z]{2}\d{2}(?=[ -]?[A-Za-z0-9])/gu)) {
    const length = IBAN_LENGTHS.get(match[0].slice(0, 2).toUpperCase());
    if (length === undefined) continue;
    let compact = '';
    let end = match.index;
    while (end < text.length && compact.length < length) {
      const char = text.charAt(end);
      if (/[A-Za-z0-9]/.test(char)) compact += char;
      else if (!(char === ' ' || char === '-') || /[ -]/.test(text.charAt(end + 1))) break;
      end += 1;
    }
    if (compact.length === length && !/[\p{L}\p{N}]/u.test(text.charAt(end)) && isIBAN(compact)) out.push({ kind: 'iban', start: match.index, end });
  }
}

const SSN_DASHED = /(?<![\p{L}\p{N}-])(\d{3})-(\d{2})-(\d{4})(?![\p{L}\p{N}]|-\d)/gu;
/** Without dashes nine digits mean anything, so the words must say it. */
const SSN_NAMED = /\b(?:ssn|social security(?: (?:number|no\.?|#))?)\b[^\d\n]{0,12}(\d{3})[ ]?(\d{2})[ ]?(\d{4})(?!\d)/gi;

export function findSsns(text: string, out: Finding[]): void {
  for (const match of text.matchAll(SSN_DASHED)) {
    if (isSsn(match)) out.push({ kind: 'ssn', start: match.index, end: match.index + match[0].length });
  }
  for (const match of text.matchAll(SSN_NAMED)) {
    const start = match.index + match[0].search(/\d/);
    if (isSsn(match)) out.push({ kind: 'ssn', start, end: match.index + match[0].length });
  }
}

/** Areas 000, 666 and 9xx, group 00 and serial 0000 are never issued. */
function isSsn([, area, group, serial]: RegExpMatchArray): boolean {
  return area !== '000' && area !== '666' && !area!.startsWith('9') && group !== '00' && serial !== '0000';
}

const IPV4 = /(?<![\p{L}\p{N}_.-])\d{1,3}(?:\.\d{1,3}){3}(?![\p{L}\p{N}_]|\.\d|-[\p{L}\d])/gu;
const IPV6 = /(?<![\p{L}\p{N}_:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3})?(?![\p{L}\p{N}_:])/gu;
/** What the two must hold somewhere. */
const DOTTED = /\d\.\d/;
const COLONS = /:[0-9A-Fa-f]{0,4}:/;
/** Addresses that point at nobody. */
const NOBODY = /^(?:127\.|0\.|255\.255\.255\.255$|::1?$)/;

export function findIps(text: string, out: Finding[]): void {
  if (DOTTED.test(text)) findIpv4(text, out);
  if (!COLONS.test(text)) return;
  for (const match of text.matchAll(IPV6)) {
    if (/\d/.test(match[0]) && match[0].length >= 6 && isIP(match[0], 6) && !NOBODY.test(match[0])) {
      out.push({ kind: 'ip', start: match.index, end: match.index + match[0].length });
    }
  }
}

function findIpv4(text: string, out: Finding[]): void {
  for (const match of text.matchAll(IPV4)) {
    if (!isIP(match[0], 4) || NOBODY.test(match[0])) continue;
    if (/\b(?:v|ver|version|release|build|firmware|chapter|section)\.?\s*$/i.test(text.slice(Math.max(0, match.index - 12), match.index))) continue;
    out.push({ kind: 'ip', start: match.index, end: match.index + match[0].length });
  }
}

const PHONE_INTERNATIONAL = /(?<![\p{L}\p{N}+])\+\d(?:[ .()/-]{0,2}\d){6,14}(?!\d)/gu;
const PHONE_US = /(?<![\p{L}\p{N}.+-])(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\p{L}\p{N}]|[.-]\d)/gu;
const PHONE_NAMED = /\b(?:tel(?:ephone)?|phone|mobile|cell|fax|call(?: me| us)?|whatsapp|text me|ring)\b(?: (?:number|no\.?))?(?: (?:is|at|on))?[:. ]{0,3}(\(?\d(?:[ .()/-]{0,2}\d){6,13})(?!\d)/gi;
const NAMED_COUNTRIES = ['US', 'GB', 'DE', 'FR', 'IN', 'AU', 'ES', 'IT'] as const;

/** Whatever the patterns take for a number, confirmed or not: where they go on looking depends on it. Bank accounts are left out. */
export function numberSpans(text: string): readonly { readonly start: number; readonly end: number }[] {
  if (!/\d/.test(text)) return [];
  const spans: Finding[] = [];
  findCards(text, spans);
  for (const pattern of [PHONE_INTERNATIONAL, PHONE_US, PHONE_NAMED, SSN_DASHED, SSN_NAMED]) {
    for (const match of text.matchAll(pattern)) spans.push({ kind: 'phone', start: match.index, end: match.index + match[0].length });
  }
  return spans;
}

interface Candidate {
  readonly start: number;
  readonly text: string;
  readonly countries: readonly (CountryCode | undefined)[];
}

export function findPhones(text: string, out: Finding[], state: DetectState): void {
  const candidates: Candidate[] = [];
  for (const { index, 0: number } of text.matchAll(PHONE_INTERNATIONAL)) candidates.push({ start: index, text: number, countries: [undefined] });
  for (const { index, 0: number } of text.matchAll(PHONE_US)) candidates.push({ start: index, text: number, countries: ['US'] });
  for (const match of text.matchAll(PHONE_NAMED)) candidates.push({ start: match.index + match[0].length - match[1]!.length, text: match[1]!, countries: NAMED_COUNTRIES });
  // In the order of the text, so that a text in pieces spends its confirmations on the same numbers.
  candidates.sort((a, b) => a.start - b.start || a.countries.length - b.countries.length);
  for (const { start, text: number, countries } of candidates) {
    state.phonesLeft -= 1;
    if (state.phonesLeft < 0 || countries.some((country) => parsePhoneNumberFromString(number, country)?.isValid() === true)) out.push({ kind: 'phone', start, end: start + number.length });
  }
}
