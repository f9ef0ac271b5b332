/**
 * Fills a tool's input from plain text, by its JSON Schema. Understands the subset that tool inputs use: types,
 * properties, required, additionalProperties, enum, const, default, lengths, ranges and patterns.
 */
import { isRecord } from './conversation.ts';

type Schema = Readonly<Record<string, unknown>>;

export interface FillSource {
  /** Where named values such as `key=colour` are looked for. */
  readonly text: string;
  /** What a free-text property gets. */
  readonly main: string;
}

/** Names of properties that stand for an identifier rather than for prose. */
const KEY_LIKE = /^(?:key|id|name|title|slug|topic|path|field|namespace)$/i;

/** An input for the schema, or the name of the first required property that the text holds no value for. */
export function fillInput(schema: Schema, source: FillSource): { readonly input: unknown } | { readonly missing: string } {
  const properties = isRecord(schema['properties']) ? schema['properties'] : {};
  const required = Array.isArray(schema['required']) ? schema['required'].filter((name) => typeof name === 'string') : [];
  const names = [...new Set([...Object.keys(properties), ...required])];
  const pair = names.some((name) => KEY_LIKE.test(name)) && names.includes('value') ? loosePair(source.text, names) : null;
  const input: Record<string, unknown> = {};
  for (const name of names) {
    const property = isRecord(properties[name]) ? properties[name] : {};
    const named = namedValue(source.text, name) ?? (pair === null ? undefined : name === 'value' ? pair.value : KEY_LIKE.test(name) ? pair.key : undefined);
    if (named === undefined && !required.includes(name)) continue;
    const value = fillValue(name, property, named, source);
    if (value !== undefined && fits(property, value)) input[name] = value;
    else if (required.includes(name)) return { missing: name };
  }
  return fits(schema, input) ? { input } : { missing: 'input' };
}

function fillValue(name: string, schema: Schema, named: string | undefined, source: FillSource): unknown {
  if ('const' in schema) return schema['const'];
  if (Array.isArray(schema['enum'])) {
    const text = (named ?? source.text).toLowerCase();
    return schema['enum'].find((each) => typeof each === 'string' && text.includes(each.toLowerCase())) ?? schema['enum'][0];
  }
  const type = Array.isArray(schema['type']) ? schema['type'][0] : schema['type'];
  switch (type) {
    case 'number':
    case 'integer':
      return fillNumber(schema, named ?? /-?\d+(?:\.\d+)?/.exec(source.text)?.[0], type === 'integer');
    case 'boolean':
      return named === undefined ? (schema['default'] ?? false) : /^(?:true|yes|on|1)$/i.test(named);
    case 'array': {
      const items = isRecord(schema['items']) ? schema['items'] : {};
      const parts = (named ?? source.main).split(/\s*,\s*/).filter((part) => part !== '');
      return parts.map((part) => fillValue(name, items, part, source));
    }
    case 'object': {
      const filled = fillInput(schema, source);
      return 'input' in filled ? filled.input : undefined;
    }
    case 'null':
      return null;
    default:
      return fillString(name, schema, named, source);
  }
}

function fillNumber(schema: Schema, text: string | undefined, integer: boolean): unknown {
  const low = typeof schema['minimum'] === 'number' ? schema['minimum'] : 0;
  const parsed = text === undefined ? Number.NaN : Number(text);
  const value = Number.isFinite(parsed) ? parsed : typeof schema['default'] === 'number' ? schema['default'] : low;
  return integer ? Math.trunc(value) : value;
}

function fillString(name: string, schema: Schema, named: string | undefined, source: FillSource): string | undefined {
  if (named === undefined && typeof schema['default'] === 'string') return schema['default'];
  const text = named ?? (KEY_LIKE.test(name) ? firstWord(source.main) : source.main);
  const max = typeof schema['maxLength'] === 'number' ? schema['maxLength'] : Number.MAX_SAFE_INTEGER;
  return text.slice(0, max);
}

function firstWord(text: string): string {
  return /[\p{L}\p{N}][\p{L}\p{N}_.:-]*/u.exec(text)?.[0].replace(/[.:-]+$/, '') ?? '';
}

/** `name=value`, `name: value`, `name "some words"`; quotes are taken off. */
function namedValue(text: string, name: string): string | undefined {
  const escaped = name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll('_', '[_ ]');
  const match = new RegExp(`(?<![\\p{L}\\p{N}_.])["']?${escaped}["']?(?:\\s*[=:]\\s*|\\s+(?:is\\s+|of\\s+)?(?=["'“\`]))(?:"([^"]*)"|'([^']*)'|“([^”]*)”|\`([^\`]*)\`|([^\\s,;{}]+))`, 'iu').exec(text);
  if (match === null) return undefined;
  return match[1] ?? match[2] ?? match[3] ?? match[4] ?? match[5]!.replace(/[.,;!?]+$/, '');
}

/** A single `left=right` whose left side is none of the properties' own names: `put colour=blue`. */
function loosePair(text: string, names: readonly string[]): { readonly key: string; readonly value: string } | null {
  const match = /(?<![\p{L}\p{N}_.-])([\p{L}\p{N}_.-]{1,128})\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s,;]+))/u.exec(text);
  if (match === null || names.includes(match[1]!.toLowerCase())) return null;
  return { key: match[1]!, value: match[2] ?? match[3] ?? match[4]!.replace(/[.,;!?]+$/, '') };
}

/** True when the value satisfies the subset of JSON Schema named at the head of this module. */
export function fits(schema: Schema, value: unknown): boolean {
  if ('const' in schema && JSON.stringify(schema['const']) !== JSON.stringify(value)) return false;
  if (Array.isArray(schema['enum']) && !schema['enum'].some((each) => JSON.stringify(each) === JSON.stringify(value))) return false;
  const types = schema['type'] === undefined ? null : Array.isArray(schema['type']) ? schema['type'] : [schema['type']];
  if (types !== null && !types.some((type) => hasType(type, value))) return false;
  if (typeof value === 'string') return fitsString(schema, value);
  if (typeof value === 'number') return within(schema['minimum'], schema['maximum'], value);
  if (Array.isArray(value)) {
    const items = isRecord(schema['items']) ? schema['items'] : {};
    return within(schema['minItems'], schema['maxItems'], value.length) && value.every((item) => fits(items, item));
  }
  return !isRecord(value) || fitsObject(schema, value);
}

function fitsString(schema: Schema, value: string): boolean {
  if (!within(schema['minLength'], schema['maxLength'], value.length)) return false;
  if (typeof schema['pattern'] !== 'string') return true;
  // A pattern is foreign input: long texts are not run through it, so that a costly one cannot hold the process.
  if (value.length > 512) return false;
  try {
    return new RegExp(schema['pattern'], 'u').test(value);
  } catch {
    return false;
  }
}

function fitsObject(schema: Schema, value: Record<string, unknown>): boolean {
  const properties = isRecord(schema['properties']) ? schema['properties'] : {};
  const required = Array.isArray(schema['required']) ? schema['required'] : [];
  if (!required.every((name) => typeof name === 'string' && Object.hasOwn(value, name))) return false;
  return Object.entries(value).every(([name, member]) => {
    const property = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (property === undefined) return schema['additionalProperties'] !== false;
    return !isRecord(property) || fits(property, member);
  });
}

function hasType(type: unknown, value: unknown): boolean {
  switch (type) {
    case 'integer': return Number.isInteger(value);
    case 'number': return typeof value === 'number';
    case 'array': return Array.isArray(value);
    case 'object': return isRecord(value);
    case 'null': return value === null;
    default: return typeof value === type;
  }
}

function within(low: unknown, high: unknown, value: number): boolean {
  return !(typeof low === 'number' && value < low) && !(typeof high === 'number' && value > high);
}
