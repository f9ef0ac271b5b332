/**
 * Embeddings by feature hashing (Weinberger et al. 2009): words, pairs of words and character n-grams are hashed
 * into 256 signed buckets and the vector is scaled to length 1. Texts that share wording end up close; texts that
 * share only meaning do not, since nothing here was learnt.
 */
import { isStopWord, stem, words } from './text.ts';

export const EMBEDDING_DIMENSIONS = 256;

const WORD_WEIGHT = 1;
const STOP_WORD_WEIGHT = 0.15;
const PAIR_WEIGHT = 0.6;
const GRAM_WEIGHT = 0.25;

/** A unit vector; equal texts give equal vectors. */
export function embedText(text: string): number[] {
  const vector = new Float64Array(EMBEDDING_DIMENSIONS);
  const list = words(text.normalize('NFKC'));
  let previous: string | null = null;
  for (const word of list) {
    const root = stem(word);
    const stop = isStopWord(word);
    add(vector, `w:${root}`, stop ? STOP_WORD_WEIGHT : WORD_WEIGHT);
    if (stop) continue;
    if (previous !== null) add(vector, `p:${previous} ${root}`, PAIR_WEIGHT);
    previous = root;
    const padded = `^${root}$`;
    for (let size = 3; size <= 4; size += 1) {
      for (let start = 0; start + size <= padded.length; start += 1) add(vector, `g:${padded.slice(start, start + size)}`, GRAM_WEIGHT);
    }
  }
  return toUnit(vector, text);
}

function add(vector: Float64Array, feature: string, weight: number): void {
  const hash = fnv1a(feature);
  const sign = (hash & 0x100) === 0 ? 1 : -1;
  vector[hash & 0xff]! += sign * weight;
}

function toUnit(vector: Float64Array, text: string): number[] {
  let sum = 0;
  for (const value of vector) sum += value * value;
  // A text without words (empty, or marks alone) still needs a direction of its own.
  if (sum === 0) {
    vector[fnv1a(`e:${text}`) & 0xff] = 1;
    sum = 1;
  }
  const scale = 1 / Math.sqrt(sum);
  const out = new Array<number>(EMBEDDING_DIMENSIONS);
  for (let i = 0; i < EMBEDDING_DIMENSIONS; i += 1) out[i] = Math.round(vector[i]! * scale * 1e8) / 1e8;
  return out;
}

/** 32-bit FNV-1a over UTF-16 units, with a final mix so that the low bits depend on every unit. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) {
    hash ^= text.charCodeAt(i);
    hash = Math.imul(hash, 0x01000193);
  }
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0x2c1b3c6d);
  return (hash ^ (hash >>> 13)) >>> 0;
}
