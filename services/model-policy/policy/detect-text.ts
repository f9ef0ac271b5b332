/**
 * Finding secrets and e-mail addresses in text. Every pattern is bounded and starts at a fixed mark, so that no input
 * makes it slow.
 */
import type { Finding } from './detect.ts';

/** Prefixes of well-known credentials, and the shape of what follows. The prefix is searched first, so ordinary text costs next to nothing. */
const TOKEN_SHAPES: ReadonlyArray<readonly [prefix: string, shape: RegExp]> = [
  ['AKIA', /AKIA[0-9A-Z]{16}(?![0-9A-Za-z])/y],
  ['ASIA', /ASIA[0-9A-Z]{16}(?![0-9A-Za-z])/y],
  ['sk-', /sk-(?=[A-Za-z0-9_-]*\d)[A-Za-z0-9_-]{20,256}/y],
  ['sk_live_', /sk_live_[A-Za-z0-9]{16,128}/y],
  ['sk_test_', /sk_test_[A-Za-z0-9]{16,128}/y],
  ['rk_live_', /rk_live_[A-Za-z0-9]{16,128}/y],
  ['whsec_', /whsec_[A-Za-z0-9+/=]{16,128}/y],
  ['ghp_', /ghp_[A-Za-z0-9]{36,255}/y],
  ['gho_', /gho_[A-Za-z0-9]{36,255}/y],
  ['ghu_', /ghu_[A-Za-z0-9]{36,255}/y],
  ['ghs_', /ghs_[A-Za-z0-9]{36,255}/y],
  ['ghr_', /ghr_[A-Za-z0-9]{36,255}/y],
  ['github_pat_', /github_pat_[A-Za-z0-9_]{22,255}/y],
  ['glpat-', /glpat-[A-Za-z0-9_-]{20,128}/y],
  ['xox', /xox[abeoprs]-[A-Za-z0-9-]{10,255}/y],
  ['AIza', /AIza[A-Za-z0-9_-]{35}/y],
  ['ya29.', /ya29\.[A-Za-z0-9_-]{20,512}/y],
  ['npm_', /npm_[A-Za-z0-9]{36}/y],
  ['hf_', /hf_[A-Za-z0-9]{30,64}/y],
  ['SG.', /SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,128}/y],
  ['aos_live_', /aos_live_[A-Za-z0-9._-]{16,256}/y],
  ['eyJ', /eyJ[A-Za-z0-9_-]{10,4096}\.[A-Za-z0-9_-]{10,8192}\.[A-Za-z0-9_-]{10,2048}/y],
];

/** What one of the shapes begins with, in one pattern: twenty searches cost more than one. */
const TOKEN_BEGIN = /AKIA|ASIA|AIza|eyJ|ya29\.|SG\.|xox|sk[-_]|rk_|whsec_|gh[pousr]_|github_pat_|glpat-|npm_|hf_|aos_/;
/** Those that need a sign which ordinary words lack, and those that do not. */
const TOKEN_BEGIN_PLAIN = /AKIA|ASIA|AIza|eyJ|SG\.|xox|ya29/;
/** The words of the two patterns below, in part. */
const SECRET_WORD = /pass|pwd|secret|key|token/i;
const BEARER_WORD = /[Bb]earer/;

const URL_USERINFO = /:\/\/([^\s:/@"<>]{1,128}):([^\s/@"<>]{1,256})@/g;
const BEARER = /\b[Bb]earer\s{1,4}([A-Za-z0-9._~+/-]{20,4096}={0,2})/g;
const ASSIGNMENT =
  /\b(?:password|passwd|passphrase|pwd|secret|api[_ -]?key|access[_ -]?key|secret[_ -]?key|access[_ -]?token|auth[_ -]?token|refresh[_ -]?token|client[_ -]?secret|private[_ -]?key)["']?\s{0,4}(?:[:=]|\bis\b)\s{0,4}["']?([^\s"',;<>]{8,256})/gi;
const PLACEHOLDER = /^(?:\$|\{|\*+$|x+$|\.+$|process\.|os\.|env\.|your|example|changeme|change_me|redacted|\[redacted|required|none|null|undefined)/i;

export function findSecrets(text: string, out: Finding[]): void {
  findPrivateKeys(text, out);
  if (mayHoldToken(text)) findTokens(text, out);
  if (text.includes('://')) {
    for (const match of text.matchAll(URL_USERINFO)) {
      if (PLACEHOLDER.test(match[2]!)) continue;
      const start = match.index + 3 + match[1]!.length + 1;
      out.push({ kind: 'secret', start, end: start + match[2]!.length });
    }
  }
  if (BEARER_WORD.test(text)) for (const match of text.matchAll(BEARER)) out.push(tail('secret', match, match[1]!));
  if (!SECRET_WORD.test(text)) return;
  for (const match of text.matchAll(ASSIGNMENT)) {
    const value = match[1]!;
    // "password: required" is prose; a value worth hiding mixes kinds of characters.
    if (PLACEHOLDER.test(value) || !/[A-Za-z]/.test(value) || !/[\d!@#$%^&*+=?]/.test(value)) continue;
    out.push(tail('secret', match, value));
  }
}

function mayHoldToken(text: string): boolean {
  return (text.includes('_') || text.includes('-') ? TOKEN_BEGIN : TOKEN_BEGIN_PLAIN).test(text);
}

function findTokens(text: string, out: Finding[]): void {
  for (const [prefix, shape] of TOKEN_SHAPES) {
    for (let at = text.indexOf(prefix); at >= 0; at = text.indexOf(prefix, at + prefix.length)) {
      if (/[A-Za-z0-9]/.test(text.charAt(at - 1))) continue;
      shape.lastIndex = at;
      const match = shape.exec(text);
      if (match !== null) out.push({ kind: 'secret', start: at, end: at + match[0].length });
    }
  }
}

const KEY_BEGIN = '-----BEGIN ';
const KEY_END = '-----END ';

/** No private key is longer. */
const MAX_KEY = 16_384;

/** Private keys in PEM form that begin in `[from, to)`, from their first line to their last, or as far as a key may reach when the last is missing. */
export function privateKeySpans(text: string, from: number, to: number): readonly { readonly start: number; readonly end: number; readonly isOpen: boolean }[] {
  const spans: { start: number; end: number; isOpen: boolean }[] = [];
  let at = text.indexOf(KEY_BEGIN, from);
  while (at >= 0 && at < to) {
    let next = at + KEY_BEGIN.length;
    if (/^[A-Z0-9 ]{0,40}PRIVATE KEY/.test(text.slice(next, next + 64))) {
      const block = text.slice(at, Math.min(to, at + MAX_KEY));
      const last = block.indexOf(KEY_END);
      const close = last < 0 ? -1 : block.indexOf('-----', last + KEY_END.length);
      next = close < 0 ? at + block.length : at + close + 5;
      spans.push({ start: at, end: next, isOpen: close < 0 && block.length < MAX_KEY });
    }
    at = text.indexOf(KEY_BEGIN, next);
  }
  return spans;
}

function findPrivateKeys(text: string, out: Finding[]): void {
  for (const { start, end } of privateKeySpans(text, 0, text.length)) out.push({ kind: 'secret', start, end });
}

function tail(kind: 'secret', match: RegExpMatchArray, value: string): Finding {
  const start = match.index! + match[0].lastIndexOf(value);
  return { kind, start, end: start + value.length };
}

/** What ends in one of these is a file such as `icon@2x.png`. */
const FILE_ENDINGS = new Set(['png', 'jpg', 'jpeg', 'gif', 'svg', 'webp', 'ico', 'css', 'js', 'ts', 'mjs', 'json', 'html', 'md', 'txt', 'pdf', 'zip']);
const MAX_LOCAL = 64;
const MAX_DOMAIN = 253;
const LOCAL_CHARACTER = /[\p{L}\p{N}.!#$%&'*+/=?^_`{|}~-]/u;
const DOMAIN_CHARACTER = /[\p{L}\p{N}.-]/u;

export function findEmails(text: string, out: Finding[]): void {
  for (let at = text.indexOf('@'); at >= 0; at = text.indexOf('@', at + 1)) {
    let start = at;
    while (start > 0 && at - start < MAX_LOCAL && LOCAL_CHARACTER.test(text.charAt(start - 1))) start -= 1;
    let end = at + 1;
    while (end < text.length && end - at <= MAX_DOMAIN && DOMAIN_CHARACTER.test(text.charAt(end))) end += 1;
    const local = trimLocal(text.slice(start, at));
    const domain = text.slice(at + 1, end).replace(/[.-]+$/, '');
    if (local === '' || !isDomain(domain)) continue;
    // `git@host:path` is a repository, not a person.
    if (local === 'git' && text.charAt(at + 1 + domain.length) === ':') continue;
    out.push({ kind: 'email', start: at - local.length, end: at + 1 + domain.length });
  }
}

/** Marks that open a quotation or a list before an address do not belong to it. */
function trimLocal(local: string): string {
  const trimmed = local.replace(/^[^\p{L}\p{N}_+]+/u, '').replace(/^.*[=/'`{|}]/u, '');
  return trimmed.endsWith('.') || trimmed.includes('..') ? '' : trimmed;
}

function isDomain(domain: string): boolean {
  const labels = domain.split('.');
  if (labels.length < 2) return false;
  const last = labels.at(-1)!;
  if (!/^\p{L}{2,24}$/u.test(last) || FILE_ENDINGS.has(last.toLowerCase())) return false;
  return labels.every((label) => label.length > 0 && label.length <= 63 && !label.startsWith('-') && !label.endsWith('-'));
}
