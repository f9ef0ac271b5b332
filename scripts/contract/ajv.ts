/** The one way schemas are compiled, ahead of time for the services and on the spot for the gates. */
import { Ajv2020, type Options } from 'ajv/dist/2020.js';
import formatsModule, { type FormatsPlugin } from 'ajv-formats';
import type { JsonSchema } from './openapi.ts';
import { COMPONENT_PREFIX, mapSchema, type SchemaLibrary } from './schema-library.ts';

/** Keywords that say nothing about validity, removed so that strict mode can catch the ones that are misspelt. */
const ANNOTATIONS = new Set(['description', 'title', 'example', 'examples', 'deprecated', 'readOnly', 'writeOnly', 'discriminator', 'xml', 'externalDocs']);
const NAME_MAPS = new Set(['properties', 'patternProperties', 'dependentSchemas', '$defs']);
const DATA_MEMBERS = new Set(['const', 'enum', 'default']);

// CommonJS: depending on who loads it, the plugin is the module or stands on its `default`.
const addFormats = (formatsModule as unknown as { default?: FormatsPlugin }).default ?? (formatsModule as unknown as FormatsPlugin);

/** An ajv that knows every schema of the library by its name. */
export function newAjv(components: SchemaLibrary, options: Options = {}): Ajv2020 {
  const ajv = new Ajv2020({
    strict: true,
    strictTypes: false,
    strictRequired: false,
    allowUnionTypes: true,
    // A referenced schema stays one function instead of being copied into each place that refers to it.
    inlineRefs: false,
    ...options,
  });
  addFormats(ajv);
  for (const [name, schema] of Object.entries(components)) ajv.addSchema(forAjv(schema), name);
  return ajv;
}

/** References become the names under which the components are known; annotations go. */
export function forAjv(schema: JsonSchema): JsonSchema {
  const withNames = mapSchema(schema, (member, value) =>
    member === '$ref' && typeof value === 'string' && value.startsWith(COMPONENT_PREFIX) ? value.slice(COMPONENT_PREFIX.length) : value,
  );
  return withoutAnnotations(withNames, false) as JsonSchema;
}

function withoutAnnotations(node: unknown, holdsNames: boolean): unknown {
  if (Array.isArray(node)) return node.map((item) => withoutAnnotations(item, false));
  if (typeof node !== 'object' || node === null) return node;
  const copy: Record<string, unknown> = {};
  for (const [key, child] of Object.entries(node)) {
    if (!holdsNames && (ANNOTATIONS.has(key) || key.startsWith('x-'))) continue;
    const isData = !holdsNames && DATA_MEMBERS.has(key);
    copy[key] = isData ? child : withoutAnnotations(child, !holdsNames && NAME_MAPS.has(key));
  }
  return copy;
}
