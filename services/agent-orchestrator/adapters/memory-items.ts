/** What both families of MemoryPort share: bounds, and the words that a search finds. */
import { AgentOsError } from '../../platform/errors.ts';

export const MAX_KEY_CHARACTERS = 256;
export const MAX_VALUE_BYTES = 64 * 1024;

/** The JSON of the value. @throws AgentOsError invalid_request when key or value are out of bounds. */
export function checkedValue(item: { readonly namespace: string; readonly key: string; readonly value: unknown; readonly metadata?: unknown }): string {
  for (const [member, text] of [['namespace', item.namespace], ['key', item.key]] as const) {
    if (text.length === 0 || text.length > MAX_KEY_CHARACTERS) {
      throw new AgentOsError('invalid_request', {
        message: `The ${member} of a memory item has 1 to ${MAX_KEY_CHARACTERS} characters; this one has ${text.length}.`,
        details: { reason: `${member}_out_of_bounds`, limit: MAX_KEY_CHARACTERS },
      });
    }
    checkText(member, JSON.stringify(text));
  }
  const json = JSON.stringify(item.value ?? null);
  checkText('value', json);
  checkText('metadata', JSON.stringify(item.metadata ?? {}));
  const bytes = Buffer.byteLength(json);
  if (bytes > MAX_VALUE_BYTES) {
    throw new AgentOsError('invalid_request', {
      message: `The value of a memory item takes at most ${MAX_VALUE_BYTES} bytes as JSON; this one takes ${bytes}.`,
      details: { reason: 'value_too_large', limit: MAX_VALUE_BYTES, used: bytes },
    });
  }
  return json;
}

/** JSON.stringify writes NUL and lone surrogates as escapes; a backslash of the text itself is doubled. */
function checkText(member: string, json: string): void {
  if (!/(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/.test(json)) return;
  throw new AgentOsError('invalid_request', {
    message: `The ${member} of a memory item holds a NUL or half of a surrogate pair, which no text store can keep. Remove it or encode it.`,
    details: { reason: `${member}_not_storable` },
  });
}

/** Lower-cased words of letters and digits. */
export function wordsOf(text: string): readonly string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
}

/** All words of key and value with one space around each, so that ` word ` finds whole words and nothing else. */
export function searchableWords(key: string, valueJson: string): string {
  // `\n` and its like in JSON would glue an n to the next word.
  return ` ${wordsOf(`${key} ${valueJson.replaceAll(/\\[bfnrt]/g, ' ')}`).join(' ')} `;
}

/** How often the words occur; the more, the better the match. */
export function matchScore(words: string, wanted: readonly string[]): number {
  let score = 0;
  for (const word of wanted) {
    const count = words.split(` ${word} `).length - 1;
    if (count === 0) return 0;
    score += count;
  }
  return score;
}
