/**
 * A JSON Schema of the contract → values that satisfy it, more often than not: what a schema says by `not` or by conditions on
 * several members is left to the validator, which the caller filters by.
 */
import fc from 'fast-check';
import { COMPONENT_PREFIX, type SchemaLibrary } from '../../../scripts/contract/schema-library.ts';

type Schema = Readonly<Record<string, unknown>>;
type Values = fc.Arbitrary<unknown>;

/** By the name of a member: values that mean something to the node, such as the ids of what stands there. */
export type KnownValues = Readonly<Record<string, readonly unknown[]>>;

interface Place {
  readonly library: SchemaLibrary;
  readonly known: KnownValues;
  readonly demanded: KnownValues;
  readonly depth: number;
  /** Of the member that the value is for; '' at the top and in lists. */
  readonly name: string;
}

const DEPTH_LIMIT = 6;
/** Longer texts are the business of mutations. */
const TEXT_LENGTH = 40;
const LIST_LENGTH = 3;

/** @param demanded values of members that are refused with almost every other value that the schema allows. */
export function arbitraryOf(schema: unknown, library: SchemaLibrary, known: KnownValues, name = '', demanded: KnownValues = {}): Values {
  return valuesOf(schema as Schema, { library, known, demanded, depth: 0, name });
}

function valuesOf(schema: Schema | true, place: Place): Values {
  if (schema === true) return anything();
  const demanded = place.demanded[place.name] ?? [];
  if (demanded.length > 0) return fc.oneof({ weight: 24, arbitrary: fc.constantFrom(...demanded) }, { weight: 1, arbitrary: valuesOf(schema, { ...place, demanded: {} }) });
  const flat = flatten(schema, place.library);
  const branches = (flat['anyOf'] ?? flat['oneOf']) as readonly Schema[] | undefined;
  if (branches !== undefined) {
    const { anyOf: _any, oneOf: _one, ...rest } = flat;
    return fc.oneof(...branches.map((branch) => valuesOf(merge(rest, flatten(branch, place.library)), place)));
  }
  const conditions = conditionsOf(flat);
  if (conditions.length > 0) {
    const { allOf: _all, if: _if, then: _then, ...rest } = flat;
    const fulfilled = conditions.map(({ if: premise, then }) => merge(merge(rest, flatten(premise, place.library)), flatten(then, place.library)));
    // Where the premise is not met the rest alone holds; the validator says whether it does.
    return fc.oneof(valuesOf(rest, place), ...fulfilled.map((each) => valuesOf(each, place)));
  }
  const plain = plainValues(flat, place);
  const known = place.known[place.name];
  return known === undefined || known.length === 0 || (flat['type'] === 'object' && typeof known[0] !== 'object') ? plain : fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...known) }, { weight: 2, arbitrary: plain });
}

function plainValues(schema: Schema, place: Place): Values {
  if ('const' in schema) return fc.constant(schema['const']);
  if (Array.isArray(schema['enum'])) return fc.constantFrom(...(schema['enum'] as unknown[]));
  const types = typesOf(schema);
  if (types.length === 0) return anything();
  return fc.oneof(...types.map((type) => ofType(type, schema, place)));
}

function typesOf(schema: Schema): readonly string[] {
  const declared = schema['type'];
  if (Array.isArray(declared)) return declared as string[];
  if (typeof declared === 'string') return [declared];
  return schema['properties'] === undefined && schema['required'] === undefined ? [] : ['object'];
}

function ofType(type: string, schema: Schema, place: Place): Values {
  switch (type) {
    case 'object':
      return objects(schema, place);
    case 'array':
      return lists(schema, place);
    case 'string':
      return texts(schema);
    case 'integer':
      return fc.integer({ min: numberOf(schema, 'minimum', -1_000), max: Math.min(numberOf(schema, 'maximum', 1_000_000), 2_147_483_647) });
    case 'number':
      return fc.double({ min: numberOf(schema, 'minimum', -1_000), max: numberOf(schema, 'maximum', 1_000_000), noNaN: true, noDefaultInfinity: true }).map((value) => (Object.is(value, -0) ? 0 : value));
    case 'boolean':
      return fc.boolean();
    default:
      return fc.constant(null);
  }
}

function numberOf(schema: Schema, keyword: string, otherwise: number): number {
  return typeof schema[keyword] === 'number' ? schema[keyword] : otherwise;
}

function objects(schema: Schema, place: Place): Values {
  const members = Object.entries((schema['properties'] ?? {}) as Record<string, Schema | true>);
  const required = (schema['required'] ?? []) as string[];
  const deep = place.depth >= DEPTH_LIMIT;
  const model: Record<string, Values> = {};
  for (const [name, member] of members) {
    if (deep && !required.includes(name)) continue;
    model[name] = valuesOf(member, { ...place, depth: place.depth + 1, name });
  }
  const record = fc.record(model, { requiredKeys: required.filter((name) => name in model), noNullPrototype: true });
  const extra = schema['additionalProperties'];
  // Members that nobody declared are the business of mutations, unless names are all there is.
  if (deep || extra === false || (members.length > 0 && typeof extra !== 'object')) return record;
  const names = schema['propertyNames'] === undefined ? memberName() : texts(schema['propertyNames'] as Schema).filter(isSafeName);
  const values = typeof extra === 'object' ? valuesOf(extra as Schema, { ...place, depth: place.depth + 1, name: '' }) : anything();
  const most = Math.min(LIST_LENGTH, numberOf(schema, 'maxProperties', LIST_LENGTH));
  const more = fc.dictionary(names, values, { minKeys: Math.min(most, numberOf(schema, 'minProperties', 0)), maxKeys: most, noNullPrototype: true });
  return fc.tuple(more, record).map(([left, right]) => ({ ...left, ...right }));
}

function lists(schema: Schema, place: Place): Values {
  const least = numberOf(schema, 'minItems', 0);
  const most = Math.min(numberOf(schema, 'maxItems', least + LIST_LENGTH), least + LIST_LENGTH);
  const items = (schema['items'] ?? true) as Schema | true;
  return fc.array(valuesOf(items, { ...place, depth: place.depth + 1 }), { minLength: least, maxLength: place.depth >= DEPTH_LIMIT ? least : most });
}

function texts(schema: Schema): fc.Arbitrary<string> {
  const least = numberOf(schema, 'minLength', 0);
  const most = Math.min(numberOf(schema, 'maxLength', TEXT_LENGTH), Math.max(least, TEXT_LENGTH));
  if (typeof schema['pattern'] === 'string') {
    const maxLength = numberOf(schema, 'maxLength', 4_096);
    return fc.stringMatching(new RegExp(schema['pattern'], 'u')).filter(({ length }) => length >= least && length <= maxLength);
  }
  const length = { minLength: least, maxLength: most };
  return fc.oneof(
    { weight: 4, arbitrary: fc.string({ unit: fc.constantFrom(...'abcdefgh_-. 0123456789'), ...length }) },
    { weight: 1, arbitrary: fc.string({ unit: 'grapheme', minLength: least, maxLength: Math.max(least, Math.floor(most / 4)) }) },
  );
}

function memberName(): fc.Arbitrary<string> {
  return fc.string({ unit: fc.constantFrom(...'abcdefgh_'), minLength: 1, maxLength: 12 }).filter(isSafeName);
}

function isSafeName(name: string): boolean {
  return !['__proto__', 'constructor', 'prototype'].includes(name);
}

function anything(): Values {
  return fc.jsonValue({ maxDepth: 2 });
}

interface Condition {
  readonly if: Schema;
  readonly then: Schema;
}

function conditionsOf(schema: Schema): readonly Condition[] {
  const all = ((schema['allOf'] ?? []) as readonly Schema[]).filter((part) => part['if'] !== undefined);
  const own = schema['if'] === undefined ? [] : [schema];
  return [...all, ...own].filter((part) => part['then'] !== undefined) as unknown as Condition[];
}

/** The schema with its references followed and the parts of `allOf` that are no conditions merged into it. */
function flatten(schema: Schema, library: SchemaLibrary): Schema {
  let current = schema;
  while (typeof current['$ref'] === 'string') {
    const { $ref, ...siblings } = current as Schema & { readonly $ref: string };
    const target = library[$ref.slice(COMPONENT_PREFIX.length)];
    if (target === undefined) throw new Error(`${$ref} leads nowhere.`);
    current = merge(target, siblings);
  }
  const parts = (current['allOf'] ?? []) as readonly Schema[];
  const conditional = parts.filter((part) => part['if'] !== undefined);
  let merged: Schema = { ...current, allOf: conditional };
  for (const part of parts) if (part['if'] === undefined) merged = merge(merged, flatten(part, library));
  return merged;
}

/** What both say of an object, and of everything else what the second says where it says anything. */
function merge(left: Schema, right: Schema): Schema {
  const properties = { ...(left['properties'] as object | undefined), ...(right['properties'] as object | undefined) };
  const required = [...new Set([...((left['required'] ?? []) as string[]), ...((right['required'] ?? []) as string[])])];
  const allOf = [...((left['allOf'] ?? []) as Schema[]), ...((right['allOf'] ?? []) as Schema[])];
  return {
    ...left,
    ...right,
    ...(Object.keys(properties).length === 0 ? {} : { properties }),
    ...(required.length === 0 ? {} : { required }),
    ...(allOf.length === 0 ? {} : { allOf }),
  };
}
