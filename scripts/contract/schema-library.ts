/**
 * Every JSON Schema of `specs/schemas/**` under one name each: `auth-context.schema.json` is `AuthContext`, its local
 * definition `#/$defs/Principal` is `Principal`. References are rewritten to `#/components/schemas/<Name>`, the place
 * where the bundled OpenAPI documents keep the same schema under the same name.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import type { JsonSchema } from './openapi.ts';
import { pascalCase, specsFolder } from './paths.ts';

export type SchemaLibrary = Readonly<Record<string, JsonSchema>>;

export const COMPONENT_PREFIX = '#/components/schemas/';
const FILE_ENDING = '.schema.json';

export function listSchemaFiles(folder = specsFolder): string[] {
  return (readdirSync(join(folder, 'schemas'), { recursive: true }) as string[])
    .filter((file) => file.endsWith(FILE_ENDING))
    .map((file) => join(folder, 'schemas', file))
    .sort();
}

/** Names of the schemas of `specs/schemas/config/`, their local definitions included. */
export function configSchemaNames(folder = specsFolder): string[] {
  const files = listSchemaFiles(folder).filter((file) => dirname(relative(join(folder, 'schemas'), file)) === 'config');
  return files.flatMap((file) => [schemaName(file), ...Object.keys((JSON.parse(readFileSync(file, 'utf8')) as { $defs?: object }).$defs ?? {}).map(pascalCase)]).sort();
}

export function schemaName(file: string): string {
  return pascalCase(basename(file, FILE_ENDING));
}

/** Names sorted, references internal, `$id` and `$schema` gone. */
export function readSchemaLibrary(folder = specsFolder): SchemaLibrary {
  const library: Record<string, JsonSchema> = {};
  const origin: Record<string, string> = {};
  const add = (name: string, from: string, schema: JsonSchema): void => {
    if (origin[name] !== undefined) {
      throw new Error(`Two schemas are named ${name}: ${origin[name]} and ${from}. A name is global over files and $defs; rename one.`);
    }
    origin[name] = from;
    library[name] = schema;
  };
  for (const file of listSchemaFiles(folder)) {
    const source = relative(folder, file);
    const { $defs = {}, ...schema } = JSON.parse(readFileSync(file, 'utf8')) as JsonSchema & { $defs?: Record<string, JsonSchema> };
    add(schemaName(file), source, rewrite(schema, file));
    for (const [name, definition] of Object.entries($defs)) {
      add(pascalCase(name), `${source}#/$defs/${name}`, rewrite(definition, file));
    }
  }
  const sorted = Object.fromEntries(Object.keys(library).sort().map((name) => [name, library[name]!]));
  refuseDangling(sorted);
  return sorted;
}

/** The reference as it stands in a file → the component it names. */
function componentRef(ref: string, file: string): string {
  const [target = '', pointer = ''] = ref.split('#');
  const owner = target === '' ? file : resolve(dirname(file), target);
  if (pointer === '' || pointer === '/') return COMPONENT_PREFIX + schemaName(owner);
  const local = /^\/\$defs\/([^/]+)$/.exec(pointer);
  if (local !== null) return COMPONENT_PREFIX + pascalCase(local[1]!);
  throw new Error(`${file}: $ref ${ref} points inside another schema. Refer to a file or to #/$defs/<Name>, which have names.`);
}

function rewrite(node: JsonSchema, file: string): JsonSchema {
  return mapSchema(node, (member, value) => {
    if (member === '$ref' && typeof value === 'string') return componentRef(value, file);
    return value;
  });
}

/** Members whose content is data, not schema: a `$ref` in there is a value like any other. */
const DATA_MEMBERS = new Set(['const', 'default', 'enum', 'example', 'examples']);

/** Members whose keys are names that somebody chose, so that a property called `default` is not taken for the keyword. */
const NAME_MAPS = new Set(['properties', 'patternProperties', 'dependentSchemas', '$defs', 'schemas', 'responses', 'parameters', 'headers', 'paths']);

/** A deep copy with `$id`, `$schema` and `$comment` dropped and every scalar member passed through `change`. */
export function mapSchema(node: JsonSchema, change: (member: string, value: unknown) => unknown): JsonSchema {
  const visit = (member: string, value: unknown, holdsNames: boolean): unknown => {
    if (Array.isArray(value)) return value.map((item) => visit(member, item, false));
    if (typeof value !== 'object' || value === null) return change(member, value);
    const copy: Record<string, unknown> = {};
    for (const [key, child] of Object.entries(value)) {
      if (typeof child === 'string' && (key === '$id' || key === '$schema' || key === '$comment')) continue;
      const isData = DATA_MEMBERS.has(key) && !holdsNames;
      copy[key] = isData ? child : visit(key, child, !holdsNames && NAME_MAPS.has(key) && !Array.isArray(child));
    }
    return copy;
  };
  return visit('', node, false) as JsonSchema;
}

/** Names that a schema refers to directly. */
export function referencedNames(schema: unknown): Set<string> {
  const names = new Set<string>();
  mapSchema({ schema }, (member, value) => {
    if (member === '$ref' && typeof value === 'string' && value.startsWith(COMPONENT_PREFIX)) names.add(value.slice(COMPONENT_PREFIX.length));
    return value;
  });
  return names;
}

function refuseDangling(library: SchemaLibrary): void {
  for (const [name, schema] of Object.entries(library)) {
    for (const target of referencedNames(schema)) {
      if (library[target] === undefined) throw new Error(`Schema ${name} refers to ${target}, which no file in specs/schemas defines.`);
    }
  }
}
