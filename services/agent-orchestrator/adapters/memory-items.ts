/** What both families of MemoryPort share of an item: its bounds, and what it counts. */
import { AgentOsError } from '../../platform/errors.ts';
import { textOfJson } from '../memory/text.ts';
import type { MemoryEmbedding, MemoryWrite } from '../ports/memory.ts';
import { searchableWords } from './memory-ranking.ts';

const MAX_KEY_CHARACTERS = 256;
const MAX_VALUE_BYTES = 64 * 1024;
const MAX_TEXT_BYTES = 64 * 1024;
const MAX_METADATA_BYTES = 4 * 1024;
const MAX_DIMENSION = 4096;
/** A hundred years: longer than anybody waits, short of what the database's clock can hold. */
const MAX_TTL_SECONDS = 100 * 366 * 86_400;

/** A write that is within bounds, as it is stored. */
export interface CheckedWrite {
  readonly valueJson: string;
  readonly metadataJson: string;
  /** All words between spaces, see `searchableWords`. */
  readonly words: string;
  readonly bytes: number;
  readonly ttlSeconds: number | null;
  readonly embedding: MemoryEmbedding | null;
  readonly maxBytes: number | null;
}

/** @throws AgentOsError invalid_request when a part of the item is out of bounds. */
export function checkedWrite(item: MemoryWrite): CheckedWrite {
  checkName('namespace', item.namespace);
  checkName('key', item.key);
  const valueJson = jsonOf('value', item.value, MAX_VALUE_BYTES);
  const metadataJson = jsonOf('metadata', checkedMetadata(item.metadata ?? {}), MAX_METADATA_BYTES);
  if (item.text !== undefined) jsonOf('text', item.text, MAX_TEXT_BYTES);
  checkTtl(item.ttlSeconds);
  checkEmbedding(item.embedding);
  const bytes = Buffer.byteLength(item.key) + Buffer.byteLength(valueJson) + Buffer.byteLength(metadataJson)
    + Buffer.byteLength(item.text ?? '') + 4 * (item.embedding?.vector.length ?? 0);
  return {
    valueJson,
    metadataJson,
    words: searchableWords(item.key, item.text ?? textOfJson(valueJson)),
    bytes,
    ttlSeconds: item.ttlSeconds ?? null,
    embedding: item.embedding ?? null,
    maxBytes: item.maxBytes ?? null,
  };
}

/** @throws AgentOsError quota_exceeded, always. */
export function refuseForRoom(limit: number, used: number, requested: number): never {
  throw new AgentOsError('quota_exceeded', {
    // Waiting alone makes no room.
    retryable: false,
    message: `The memory of this tenant takes ${used} of ${limit} bytes; this item takes ${requested}. Delete items, let them expire, or ask for a larger limit.`,
    details: { reason: 'memory_bytes_exceeded', limit, used, requested },
  });
}

function checkName(member: 'namespace' | 'key', text: string): void {
  if (text.length === 0 || text.length > MAX_KEY_CHARACTERS) {
    throw outOfBounds(`${member}_out_of_bounds`, `The ${member} of a memory item has 1 to ${MAX_KEY_CHARACTERS} characters; this one has ${text.length}.`, { limit: MAX_KEY_CHARACTERS, used: text.length });
  }
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(text)) throw outOfBounds(`${member}_not_storable`, `The ${member} of a memory item holds a control character.`);
  checkStorable(member, JSON.stringify(text));
}

function jsonOf(member: string, value: unknown, limit: number): string {
  let json: string;
  try {
    json = JSON.stringify(value ?? null);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw outOfBounds(`${member}_too_deep`, `The ${member} of a memory item is nested too deep.`);
  }
  checkStorable(member, json);
  const bytes = Buffer.byteLength(json);
  if (bytes > limit) throw outOfBounds(`${member}_too_large`, `The ${member} of a memory item takes at most ${limit} bytes as JSON; this one takes ${bytes}.`, { limit, used: bytes });
  return json;
}

/** JSON.stringify writes NUL and lone surrogates as escapes; a backslash of the text itself is doubled. */
function checkStorable(member: string, json: string): void {
  if (!/(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/.test(json)) return;
  throw outOfBounds(`${member}_not_storable`, `The ${member} of a memory item holds a NUL or half of a surrogate pair, which no text store can keep. Remove it or encode it.`);
}

function checkedMetadata(metadata: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  for (const [name, value] of Object.entries(metadata)) {
    if (typeof value === 'string' || typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))) continue;
    throw outOfBounds('metadata_out_of_bounds', `Metadata of a memory item are strings, numbers and booleans; ${JSON.stringify(name)} is none.`, { member: name });
  }
  return metadata;
}

function checkTtl(ttlSeconds: number | undefined): void {
  if (ttlSeconds === undefined || (ttlSeconds > 0 && ttlSeconds <= MAX_TTL_SECONDS)) return;
  throw outOfBounds('ttl_out_of_bounds', `A memory item lives for more than 0 and at most ${MAX_TTL_SECONDS} seconds, not ${ttlSeconds}.`, { limit: MAX_TTL_SECONDS });
}

/** A vector without direction is near nothing. @throws AgentOsError invalid_request */
export function checkEmbedding(embedding: MemoryEmbedding | undefined): void {
  if (embedding === undefined) return;
  const { model, vector } = embedding;
  if (model.length === 0 || model.length > MAX_KEY_CHARACTERS) throw outOfBounds('embedding_out_of_bounds', `The model of a vector has 1 to ${MAX_KEY_CHARACTERS} characters.`);
  const sound = vector.length >= 1 && vector.length <= MAX_DIMENSION && vector.every(Number.isFinite) && vector.some((number) => number !== 0);
  if (!sound) throw outOfBounds('embedding_out_of_bounds', `A vector has 1 to ${MAX_DIMENSION} finite numbers that are not all 0.`, { limit: MAX_DIMENSION, used: vector.length });
}

const outOfBounds = (reason: string, message: string, details: Readonly<Record<string, unknown>> = {}): AgentOsError =>
  new AgentOsError('invalid_request', { message, details: { reason, ...details } });
