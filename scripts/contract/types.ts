/** TypeScript types of the services and of every schema, and the friendly alias of each (`import type { Run } from …`). */
import openapiTS, { astToString } from 'openapi-typescript';
import type { Bundles } from './bundle.ts';
import { type GeneratedFiles, services, typescriptHeader } from './paths.ts';
import type { SchemaLibrary } from './schema-library.ts';

export async function generateTypes(bundles: Bundles, library: SchemaLibrary): Promise<GeneratedFiles> {
  const files: GeneratedFiles = new Map();
  for (const service of services) {
    files.set(`generated/types/${service}.ts`, await toTypescript(bundles[service]));
  }
  const everySchema = { openapi: '3.1.0', info: { title: 'schemas', version: '1' }, paths: {}, components: { schemas: library } };
  files.set('generated/types/schemas.ts', await toTypescript(everySchema));
  files.set('generated/types/index.ts', aliases(library));
  return files;
}

/**
 * `defaultNonNullable: false`: a member with a default stays optional, because bodies are taken as they were sent and
 * clients need not send it.
 */
async function toTypescript(document: object): Promise<string> {
  const ast = await openapiTS(withoutExamples(document) as never, { alphabetize: true, defaultNonNullable: false, emptyObjectsUnknown: true });
  return `${typescriptHeader()}\n${astToString(ast)}`;
}

/** A copy without examples, which would make up half of each file as comments; the bundles keep them. */
function withoutExamples(document: object): object {
  return JSON.parse(JSON.stringify(document, (key, value: unknown) => (key === 'examples' && isExamples(value) ? undefined : value))) as object;
}

/** An array of values, a map of OpenAPI example objects; a property that happens to have this name is a schema. */
function isExamples(value: unknown): boolean {
  if (Array.isArray(value)) return true;
  if (typeof value !== 'object' || value === null) return false;
  return Object.values(value).every((entry) => typeof entry === 'object' && entry !== null && ('value' in entry || '$ref' in entry));
}

function aliases(library: SchemaLibrary): string {
  const rows = Object.keys(library).map((name) => `export type ${name} = Schemas['${name}'];`);
  return `${typescriptHeader()}
import type { components } from './schemas.ts';

type Schemas = components['schemas'];

${rows.join('\n')}

/** The name of every schema, as \`generated/validators/schemas.js\` keys its validators. */
export type SchemaName = keyof Schemas;
`;
}
