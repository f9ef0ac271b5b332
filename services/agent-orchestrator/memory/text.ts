/** Which words a memory item is found by. Adapters and the embedding of an item read the same text. */

/** A string or number of the value that is no member's name; JSON.stringify puts a colon right behind names. */
const LEAVES = /"((?:[^"\\]|\\.)*)"(:?)|-?\d[\d.eE+-]*/g;

/** The strings and numbers of a value, from its JSON as JSON.stringify writes it, whatever their depth. */
export function textOfJson(json: string): string {
  const parts: string[] = [];
  for (const [whole, text, colon] of json.matchAll(LEAVES)) {
    if (text === undefined) parts.push(whole);
    else if (colon === '') parts.push(text.includes('\\') ? (JSON.parse(`"${text}"`) as string) : text);
  }
  return parts.join(' ');
}

/**
 * Words of letters, marks and digits in lower case, in the compatibility form of Unicode; what is longer than 128
 * characters, which no language has, is cut into pieces of that length.
 */
export function wordsOf(text: string): readonly string[] {
  return text.normalize('NFKC').toLowerCase().match(/[\p{L}\p{M}\p{N}]{1,128}/gu) ?? [];
}
