/** Keeps secrets out of what is printed, reported and shown as evidence. */
const PATTERNS: ReadonlyArray<readonly [RegExp, string]> = [
  // user:password@ in any address
  [/([a-z][a-z0-9+.-]*:\/\/[^\s/:@]*):[^\s/@]+@/gi, '$1:***@'],
  [/(bearer\s+)[A-Za-z0-9._~+/=-]{8,}/gi, '$1***'],
  [/\b(aos_(?:live|test)_)[A-Za-z0-9._-]+/g, '$1***'],
  [/\b(sk-)[A-Za-z0-9_-]{8,}/g, '$1***'],
  [/((?:password|passwd|secret|api[_-]?key|token|authorization)["']?\s*[:=]\s*["']?)[^\s"',}]{4,}/gi, '$1***'],
];

/** The text with credentials replaced by `***`; `known` are secrets to look for literally. */
export function redact(text: string, known: readonly string[] = []): string {
  let out = text;
  for (const secret of known) {
    if (secret.length >= 6) out = out.split(secret).join('***');
  }
  for (const [pattern, replacement] of PATTERNS) out = out.replace(pattern, replacement);
  return out;
}
