/** tool.text.stats: counts what can be counted in a text, so that a model need not guess numbers. */
import type { BuiltinTool } from './builtin-tool.ts';

export interface TextStats {
  readonly characters: number;
  readonly words: number;
  readonly unique_words: number;
  readonly lines: number;
  readonly non_empty_lines: number;
  readonly sentences: number;
  readonly average_words_per_sentence: number;
}

function textStats(text: string): TextStats {
  const words = text.match(/[\p{L}\p{N}]+(?:['’-][\p{L}\p{N}]+)*/gu) ?? [];
  const sentences = text.split(/[.!?…]+(?=\s|$)|\n+/u).filter((part) => /[\p{L}\p{N}]/u.test(part)).length;
  const lines = text === '' ? [] : text.split(/\r\n|\r|\n/);
  return {
    // Code points: what a reader would call a character, more nearly than UTF-16 units.
    characters: [...text].length,
    words: words.length,
    unique_words: new Set(words.map((word) => word.toLowerCase())).size,
    lines: lines.length,
    non_empty_lines: lines.filter((line) => line.trim() !== '').length,
    sentences,
    average_words_per_sentence: sentences === 0 ? 0 : Math.round((words.length / sentences) * 10) / 10,
  };
}

const FIGURES: readonly (keyof TextStats)[] = ['characters', 'words', 'unique_words', 'lines', 'non_empty_lines', 'sentences', 'average_words_per_sentence'];

export const textStatsTool: BuiltinTool = {
  toolId: 'tool.text.stats',
  name: 'text_stats',
  description: 'Counts the characters, words, unique words, lines and sentences of a text.',
  inputSchema: {
    type: 'object',
    properties: { text: { type: 'string', maxLength: 200_000, description: 'The text to count.' } },
    required: ['text'],
    additionalProperties: false,
  },
  outputSchema: {
    type: 'object',
    properties: Object.fromEntries(FIGURES.map((name) => [name, { type: 'number', minimum: 0 }])),
    required: FIGURES,
  },
  sideEffects: false,
  run: async (_auth, input) => textStats((input as { text: string }).text),
};
