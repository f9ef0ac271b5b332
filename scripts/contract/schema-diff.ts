/**
 * What breaks between two versions of a JSON Schema.
 *
 * A schema is `in` where callers send it, `out` where the platform emits it, often both. Whatever narrows what is valid
 * breaks in every direction: callers are refused, and stored or forwarded documents no longer fit. What widens it breaks
 * only readers: a member that may now be missing, a value they have never seen. Members may always be added.
 */
import type { JsonSchema } from './openapi.ts';
import { COMPONENT_PREFIX, type SchemaLibrary } from './schema-library.ts';

export interface Direction {
  readonly in: boolean;
  readonly out: boolean;
}

export interface DiffContext {
  readonly base: SchemaLibrary;
  readonly next: SchemaLibrary;
  readonly direction: Direction;
  /** Values that a `type` member can have had in the base; a condition on any other one touches nothing that exists. */
  readonly knownEventTypes: ReadonlySet<string>;
  /** Called with e.g. `property-removed /run_id`. */
  readonly report: (change: string) => void;
}

type Schema = JsonSchema | boolean;

const ALL_TYPES = ['array', 'boolean', 'integer', 'null', 'number', 'object', 'string'];
const LOWER_BOUNDS = ['minimum', 'exclusiveMinimum', 'minLength', 'minItems', 'minProperties', 'minContains'];
const UPPER_BOUNDS = ['maximum', 'exclusiveMaximum', 'maxLength', 'maxItems', 'maxProperties', 'maxContains'];
/** Rarely used, hard to order: any change counts. Additions and changes narrow; a removal widens. */
const OPAQUE = ['pattern', 'multipleOf', 'not', 'contains', 'propertyNames', 'dependentRequired', 'dependentSchemas', 'patternProperties', 'unevaluatedItems', 'contentEncoding'];
const ANNOTATIONS = new Set(['description', 'title', 'example', 'examples', 'deprecated', 'format', 'default', 'readOnly', 'writeOnly']);

const DEPTH_LIMIT = 40;

export function diffSchema(base: Schema, next: Schema, path: string, context: DiffContext, depth = 0): void {
  if (canonical(base) === canonical(next)) return;
  if (depth > DEPTH_LIMIT) return;
  const from = expand(base, next, context.base);
  const to = expand(next, base, context.next);
  if (canonical(from) === canonical(to)) return;
  const left = alternatives(from);
  const right = alternatives(to);
  if (left.length > 1 || right.length > 1) {
    diffAlternatives(left, right, path, context, depth);
    return;
  }
  diffTypes(from, to, path, context);
  diffValues(from, to, path, context);
  diffBounds(from, to, path, context);
  diffOpaque(from, to, path, context);
  diffDefault(from, to, path, context);
  diffRequired(from, to, path, context);
  diffProperties(from, to, path, context, depth);
  diffAdditional(from, to, path, context, depth);
  diffItems(from, to, path, context, depth);
  for (const keyword of ['anyOf', 'oneOf'] as const) diffNested(from, to, keyword, path, context, depth);
  diffAllOf(from, to, path, context, depth);
  diffConditional(from, to, path, context, depth);
}

/** Key order and annotations do not count. */
function canonical(schema: unknown, holdsNames = false): string {
  if (Array.isArray(schema)) return `[${schema.map((item) => canonical(item)).join(',')}]`;
  if (typeof schema !== 'object' || schema === null) return JSON.stringify(schema) ?? 'undefined';
  const members = Object.entries(schema)
    .filter(([key]) => holdsNames || key === 'default' || (!ANNOTATIONS.has(key) && !key.startsWith('x-')))
    .map(([key, value]) => `${JSON.stringify(key)}:${canonical(value, !holdsNames && key === 'properties')}`);
  return `{${members.sort().join(',')}}`;
}

function object(schema: Schema): Record<string, unknown> {
  if (schema === true) return {};
  if (schema === false) return { not: {} };
  return schema as Record<string, unknown>;
}

/** Follows a reference, unless the other side refers to the same name: then that schema is compared under its own name. */
function expand(schema: Schema, other: Schema, library: SchemaLibrary): JsonSchema {
  let current = object(schema);
  const otherRef = object(other)['$ref'];
  for (let hops = 0; typeof current['$ref'] === 'string' && hops < DEPTH_LIMIT; hops += 1) {
    const { $ref: ref, ...siblings } = current as { $ref: string };
    if (ref === otherRef) return siblings;
    const target = library[ref.slice(COMPONENT_PREFIX.length)];
    if (target === undefined) return current;
    current = { ...target, ...siblings };
  }
  return current;
}

/** The branches of a schema that is nothing but a choice, else the schema itself. */
function alternatives(schema: JsonSchema): JsonSchema[] {
  const keys = Object.keys(schema).filter((key) => !ANNOTATIONS.has(key) && !key.startsWith('x-'));
  const only = keys.length === 1 ? keys[0] : undefined;
  if (only !== 'anyOf' && only !== 'oneOf') return [schema];
  return schema[only] as JsonSchema[];
}

/** Pairs equal branches first, then those that refer to the same schema or pin the same constant, then those of the same type, then by place. */
function pair(left: readonly JsonSchema[], right: readonly JsonSchema[]): { pairs: Array<[JsonSchema, JsonSchema]>; removed: JsonSchema[]; added: JsonSchema[] } {
  const pairs: Array<[JsonSchema, JsonSchema]> = [];
  let removed = [...left];
  let added = [...right];
  for (const key of [canonical, branchIdentity, branchType]) {
    for (const branch of [...removed]) {
      const identity = key(branch);
      const partner = identity === '' ? undefined : added.find((candidate) => key(candidate) === identity);
      if (partner === undefined) continue;
      pairs.push([branch, partner]);
      removed = removed.filter((other) => other !== branch);
      added = added.filter((other) => other !== partner);
    }
  }
  return { pairs, removed, added };
}

function branchIdentity(branch: JsonSchema): string {
  if (typeof branch['$ref'] === 'string') return branch['$ref'];
  if (branch['if'] !== undefined) return `if ${canonical(branch['if'])}`;
  const pinned = Object.entries((branch['properties'] ?? {}) as Record<string, JsonSchema>).filter(([, member]) => member?.['const'] !== undefined);
  return pinned.map(([name, member]) => `${name}=${JSON.stringify(member['const'])}`).sort().join(' ');
}

function branchType(branch: JsonSchema): string {
  return branch['type'] === undefined ? '' : JSON.stringify(branch['type']);
}

function diffAlternatives(left: readonly JsonSchema[], right: readonly JsonSchema[], path: string, context: DiffContext, depth: number): void {
  const { pairs, removed, added } = pair(left, right);
  for (const [from, to] of pairs) diffSchema(from, to, path, context, depth + 1);
  for (const branch of removed) context.report(`alternative-removed ${path} ${describe(branch)}`);
  if (context.direction.out) for (const branch of added) context.report(`alternative-added-to-answer ${path} ${describe(branch)}`);
}

function describe(branch: JsonSchema): string {
  return branchIdentity(branch).replace(COMPONENT_PREFIX, '') || String(branch['type'] ?? 'unnamed');
}

function typesOf(schema: JsonSchema): Set<string> {
  const declared = schema['type'];
  const types = declared === undefined ? ALL_TYPES : Array.isArray(declared) ? (declared as string[]) : [String(declared)];
  return new Set(types.includes('number') ? [...types, 'integer'] : types);
}

function diffTypes(from: JsonSchema, to: JsonSchema, path: string, context: DiffContext): void {
  if (from['type'] === undefined && impliedByValues(from)) return;
  const before = typesOf(from);
  const after = typesOf(to);
  const lost = [...before].filter((type) => !after.has(type));
  const gained = [...after].filter((type) => !before.has(type));
  if (lost.length > 0) context.report(`type-narrowed ${path}`);
  else if (gained.length > 0 && context.direction.out) context.report(`type-widened-in-answer ${path}`);
}

function impliedByValues(schema: JsonSchema): boolean {
  return schema['enum'] !== undefined || schema['const'] !== undefined;
}

function diffValues(from: JsonSchema, to: JsonSchema, path: string, context: DiffContext): void {
  const before = valuesOf(from);
  const after = valuesOf(to);
  if (after === null) {
    if (before !== null && context.direction.out) context.report(`enum-opened-in-answer ${path}`);
    return;
  }
  if (before === null) {
    context.report(`enum-added ${path}`);
    return;
  }
  for (const value of before) if (!after.includes(value)) context.report(`enum-value-removed ${path} ${value}`);
  if (context.direction.out) for (const value of after) if (!before.includes(value)) context.report(`enum-value-added-to-answer ${path} ${value}`);
}

function valuesOf(schema: JsonSchema): string[] | null {
  if (schema['const'] !== undefined) return [JSON.stringify(schema['const'])];
  return Array.isArray(schema['enum']) ? schema['enum'].map((value) => JSON.stringify(value)) : null;
}

function diffBounds(from: JsonSchema, to: JsonSchema, path: string, context: DiffContext): void {
  const compare = (keyword: string, before: number, after: number, tighter: string): void => {
    if (before === after) return;
    const isTighter = tighter === 'raised' ? after > before : after < before;
    if (isTighter) context.report(`${keyword}-${tighter} ${path}`);
    else if (context.direction.out) context.report(`${keyword}-loosened-in-answer ${path}`);
  };
  for (const keyword of LOWER_BOUNDS) compare(keyword, Number(from[keyword] ?? -Infinity), Number(to[keyword] ?? -Infinity), 'raised');
  for (const keyword of UPPER_BOUNDS) compare(keyword, Number(from[keyword] ?? Infinity), Number(to[keyword] ?? Infinity), 'lowered');
  if (to['uniqueItems'] === true && from['uniqueItems'] !== true) context.report(`uniqueItems-added ${path}`);
}

function diffOpaque(from: JsonSchema, to: JsonSchema, path: string, context: DiffContext): void {
  for (const keyword of OPAQUE) {
    if (canonical(from[keyword]) === canonical(to[keyword])) continue;
    if (to[keyword] !== undefined) context.report(`${keyword}-${from[keyword] === undefined ? 'added' : 'changed'} ${path}`);
    else if (context.direction.out && keyword !== 'multipleOf') context.report(`${keyword}-removed-from-answer ${path}`);
  }
  if (from['format'] !== undefined && to['format'] !== undefined && from['format'] !== to['format']) context.report(`format-changed ${path}`);
}

/** A default is what a caller gets who says nothing: another one changes what their request means. */
function diffDefault(from: JsonSchema, to: JsonSchema, path: string, context: DiffContext): void {
  if (context.direction.in && from['default'] !== undefined && JSON.stringify(from['default']) !== JSON.stringify(to['default'])) {
    context.report(`default-changed ${path}`);
  }
}

function diffRequired(from: JsonSchema, to: JsonSchema, path: string, context: DiffContext): void {
  const before = (from['required'] ?? []) as string[];
  const after = (to['required'] ?? []) as string[];
  if (context.direction.in) for (const name of after) if (!before.includes(name)) context.report(`newly-required ${path}/${name}`);
  if (context.direction.out) for (const name of before) if (!after.includes(name)) context.report(`no-longer-required ${path}/${name}`);
}

function diffProperties(from: JsonSchema, to: JsonSchema, path: string, context: DiffContext, depth: number): void {
  const before = (from['properties'] ?? {}) as Record<string, Schema>;
  const after = (to['properties'] ?? {}) as Record<string, Schema>;
  for (const [name, schema] of Object.entries(before)) {
    if (after[name] === undefined) context.report(`property-removed ${path}/${name}`);
    else diffSchema(schema, after[name], `${path}/${name}`, context, depth + 1);
  }
}

function diffAdditional(from: JsonSchema, to: JsonSchema, path: string, context: DiffContext, depth: number): void {
  for (const keyword of ['additionalProperties', 'unevaluatedProperties']) {
    const before = (from[keyword] ?? true) as Schema;
    const after = (to[keyword] ?? true) as Schema;
    if (before === false || canonical(object(before)) === canonical(object(after))) continue;
    if (after === false || before === true) context.report(`${keyword}-tightened ${path}`);
    else diffSchema(before, after, `${path}/*`, context, depth + 1);
  }
}

function diffItems(from: JsonSchema, to: JsonSchema, path: string, context: DiffContext, depth: number): void {
  const before = from['items'] as Schema | undefined;
  const after = to['items'] as Schema | undefined;
  if (after !== undefined && canonical(object(after)) !== '{}') {
    if (before === undefined) context.report(`items-narrowed ${path}`);
    else diffSchema(before, after, `${path}/[]`, context, depth + 1);
  } else if (before !== undefined && context.direction.out) context.report(`items-widened-in-answer ${path}`);
  if (canonical(from['prefixItems']) !== canonical(to['prefixItems'])) context.report(`prefixItems-changed ${path}`);
}

function diffNested(from: JsonSchema, to: JsonSchema, keyword: 'anyOf' | 'oneOf', path: string, context: DiffContext, depth: number): void {
  const before = from[keyword] as JsonSchema[] | undefined;
  const after = to[keyword] as JsonSchema[] | undefined;
  if (before === undefined && after === undefined) return;
  if (before === undefined) context.report(`${keyword}-added ${path}`);
  else if (after === undefined) {
    if (context.direction.out) context.report(`${keyword}-removed-from-answer ${path}`);
  } else diffAlternatives(before, after, path, context, depth);
}

function diffAllOf(from: JsonSchema, to: JsonSchema, path: string, context: DiffContext, depth: number): void {
  const { pairs, removed, added } = pair((from['allOf'] ?? []) as JsonSchema[], (to['allOf'] ?? []) as JsonSchema[]);
  for (const [before, after] of pairs) diffSchema(before, after, path, context, depth + 1);
  for (const branch of added) if (!concernsNewEventType(branch, context)) context.report(`condition-added ${path} ${describe(branch)}`);
  if (context.direction.out) for (const branch of removed) context.report(`condition-removed-from-answer ${path} ${describe(branch)}`);
}

/** `if` the type is one that did not exist `then` …: nothing that was valid before can be meant. */
function concernsNewEventType(branch: JsonSchema, context: DiffContext): boolean {
  const condition = branch['if'] as { properties?: { type?: { const?: unknown } } } | undefined;
  const type = condition?.properties?.type?.const;
  return typeof type === 'string' && context.knownEventTypes.size > 0 && !context.knownEventTypes.has(type) && branch['else'] === undefined;
}

function diffConditional(from: JsonSchema, to: JsonSchema, path: string, context: DiffContext, depth: number): void {
  if (canonical(from['if']) !== canonical(to['if'])) {
    const kind = from['if'] === undefined ? 'added' : to['if'] === undefined ? 'removed' : 'changed';
    if (kind !== 'removed' || context.direction.out) context.report(`condition-${kind} ${path}`);
    return;
  }
  if (from['if'] === undefined) return;
  for (const keyword of ['then', 'else'] as const) {
    diffSchema((from[keyword] ?? true) as Schema, (to[keyword] ?? true) as Schema, path, context, depth + 1);
  }
}
