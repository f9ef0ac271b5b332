/**
 * JSON that Postgres takes: NUL and lone surrogates, which a caller's words may hold, have no place in a text of the
 * database and are replaced by U+FFFD. JSON.stringify writes both as escapes, so looking for those is enough.
 */
export function storableText(json: string): string {
  if (!json.includes('\\u') || (!json.includes('\\u0000') && !/\\ud[89a-f]/.test(json))) return json;
  return json.replace(/\\\\|\\u0000|\\ud[89a-f][0-9a-f]{2}/g, (match) => (match === '\\\\' ? match : '\\ufffd'));
}

export const storableJson = (value: unknown): string => storableText(JSON.stringify(value));
