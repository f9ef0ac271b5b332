/**
 * Standalone validators (ajv, 2020-12), compiled ahead of time and bundled without a dependency.
 *
 * Path, query and headers arrive as strings: their validators coerce to the declared types and fill in defaults, in
 * place. Bodies and answers stay exactly as they were sent. Formats hold as ajv-formats reads them.
 */
import standaloneModule from 'ajv/dist/standalone/index.js';
import { build } from 'esbuild';
import { forAjv, newAjv } from './ajv.ts';
import type { Bundles } from './bundle.ts';
import { isJson, type JsonSchema, listOperations, type OpenApiDocument, type OperationView } from './openapi.ts';
import { type GeneratedFiles, repositoryRoot, services, typescriptHeader } from './paths.ts';
import { COMPONENT_PREFIX, configSchemaNames, type SchemaLibrary } from './schema-library.ts';

// CommonJS: depending on who loads it, the function is the module or stands on its `default`.
type StandaloneCode = typeof standaloneModule;
const standaloneCode = (standaloneModule as StandaloneCode & { default?: StandaloneCode }).default ?? standaloneModule;

export async function generateValidators(bundles: Bundles, library: SchemaLibrary): Promise<GeneratedFiles> {
  const files: GeneratedFiles = new Map();
  const written = await Promise.all([
    ...services.map(async (service) => [service, await serviceModule(bundles[service])] as const),
    ...[['schemas', await schemasModule(library)] as const],
    ...[['config', await configModule(library)] as const],
  ]);
  for (const [name, text] of written) files.set(`generated/validators/${name}.js`, text);
  for (const service of services) files.set(`generated/validators/${service}.d.ts`, serviceDeclaration(bundles[service]));
  files.set('generated/validators/schemas.d.ts', schemasDeclaration());
  files.set('generated/validators/config.d.ts', configDeclaration(library));
  return files;
}

/** Schemas under export names; equal schemas share one function. */
class Compilation {
  private readonly byText = new Map<string, string>();
  private readonly schemas = new Map<string, JsonSchema>();
  private readonly coerce: boolean;

  constructor(coerce: boolean) {
    this.coerce = coerce;
  }

  add(name: string, schema: JsonSchema): string {
    const text = JSON.stringify(schema);
    const existing = this.byText.get(text);
    if (existing !== undefined) return existing;
    this.byText.set(text, name);
    this.schemas.set(name, schema);
    return name;
  }

  /** The source of one module that exports each validator by its name. */
  emit(components: SchemaLibrary): string {
    const ajv = newAjv(components, {
      code: { source: true, esm: true },
      coerceTypes: this.coerce ? 'array' : false,
      useDefaults: this.coerce,
    });
    const exports: Record<string, string> = {};
    for (const [name, schema] of this.schemas) {
      ajv.addSchema(forAjv(schema), `export-${name}`);
      exports[name] = `export-${name}`;
    }
    return standaloneCode(ajv, exports);
  }
}

async function serviceModule(document: OpenApiDocument): Promise<string> {
  const coercing = new Compilation(true);
  const plain = new Compilation(false);
  const members = listOperations(document).map((operation) => operationMember(operation, coercing, plain));
  const entry = `import * as coercing from 'validators:coercing';
import * as plain from 'validators:plain';
export const validators = {
${members.join('\n')}
};`;
  const components = document.components?.schemas ?? {};
  return bundleModule(entry, { coercing: coercing.emit(components), plain: plain.emit(components) });
}

function operationMember(operation: OperationView, coercing: Compilation, plain: Compilation): string {
  const id = operation.operationId;
  const place = (where: 'path' | 'query' | 'header'): string => {
    const schema = parametersSchema(operation, where);
    return schema === null ? 'null' : `coercing.${coercing.add(`${id}_${where}`, schema)}`;
  };
  const bodySchema = jsonSchemaOf(operation.requestBody?.content, `${id} request body`);
  const body = bodySchema === null ? 'null' : `plain.${plain.add(`${id}_body`, bodySchema)}`;
  const responses: string[] = [];
  for (const [status, response] of operation.responses) {
    const schema = jsonSchemaOf(response.content, `${id} ${status}`);
    if (schema !== null && /^\d+$/.test(status)) responses.push(`${status}: plain.${plain.add(`${id}_${status}`, schema)}`);
  }
  return `  ${id}: { validatePath: ${place('path')}, validateQuery: ${place('query')}, validateHeaders: ${place('header')}, validateBody: ${body}, validateResponse: { ${responses.join(', ')} } },`;
}

/** Header names are case-insensitive and node hands them over in lower case. OpenAPI ignores these three as parameters. */
const IGNORED_HEADERS = new Set(['accept', 'content-type', 'authorization']);

function parametersSchema(operation: OperationView, where: 'path' | 'query' | 'header'): JsonSchema | null {
  const parameters = operation.parameters.filter((parameter) => parameter.in === where);
  const properties: Record<string, JsonSchema> = {};
  const required: string[] = [];
  for (const parameter of parameters) {
    const name = where === 'header' ? parameter.name.toLowerCase() : parameter.name;
    if (where === 'header' && IGNORED_HEADERS.has(name)) continue;
    properties[name] = parameter.schema ?? {};
    if (parameter.required === true || where === 'path') required.push(name);
  }
  if (Object.keys(properties).length === 0) return null;
  return { type: 'object', properties, ...(required.length === 0 ? {} : { required }) };
}

function jsonSchemaOf(content: OperationView['responses'][number][1]['content'], where: string): JsonSchema | null {
  const schemas = Object.entries(content ?? {}).filter(([type]) => isJson(type)).map(([, media]) => media.schema ?? {});
  const different = new Set(schemas.map((schema) => JSON.stringify(schema)));
  if (different.size > 1) throw new Error(`${where} declares JSON content types with different schemas; one validator serves them all. Use one schema.`);
  return schemas[0] ?? null;
}

/** The files that operators write, apart from the rest, which a service that reads one need not load. */
async function configModule(library: SchemaLibrary): Promise<string> {
  const plain = new Compilation(false);
  const names = configSchemaNames();
  const members = names.map((name) => `  ${name}: plain.${plain.add(`schema_${name}`, { $ref: COMPONENT_PREFIX + name })},`);
  const known = Object.fromEntries(names.map((name) => [name, memberNames(library[name]!)]));
  const entry = `import * as plain from 'validators:plain';\nexport const validators = {\n${members.join('\n')}\n};\nexport const members = ${JSON.stringify(known)};`;
  return bundleModule(entry, { plain: plain.emit(library) });
}

/** Names of the members that a schema declares, at any depth, but not those of the schemas it refers to. */
function memberNames(schema: unknown): string[] {
  if (typeof schema !== 'object' || schema === null) return [];
  const { properties = {}, ...rest } = schema as { readonly properties?: Readonly<Record<string, unknown>> };
  const found = [...Object.keys(properties), ...Object.values(properties).flatMap(memberNames), ...Object.values(rest).flatMap(memberNames)];
  return [...new Set(found)].sort();
}

async function schemasModule(library: SchemaLibrary): Promise<string> {
  const plain = new Compilation(false);
  const members = Object.keys(library).map((name) => `  ${name}: plain.${plain.add(`schema_${name}`, { $ref: COMPONENT_PREFIX + name })},`);
  const entry = `import * as plain from 'validators:plain';\nexport const validators = {\n${members.join('\n')}\n};`;
  return bundleModule(entry, { plain: plain.emit(library) });
}

/**
 * ajv's standalone code still says `require(…)` for its two runtime functions, in ESM mode too; esbuild resolves them,
 * drops what is unused and leaves one module without imports.
 */
async function bundleModule(entry: string, modules: Readonly<Record<string, string>>): Promise<string> {
  const result = await build({
    stdin: { contents: entry, resolveDir: repositoryRoot, sourcefile: 'validators', loader: 'js' },
    bundle: true,
    format: 'esm',
    platform: 'neutral',
    mainFields: ['main'],
    target: 'node20',
    write: false,
    // Nobody reads these; a third of the size is easier to review as a whole and to load.
    minify: true,
    lineLimit: 160,
    legalComments: 'none',
    banner: { js: typescriptHeader().trimEnd() },
    plugins: [
      {
        name: 'validators',
        setup(pluginBuild) {
          pluginBuild.onResolve({ filter: /^validators:/ }, ({ path }) => ({ path, namespace: 'validators' }));
          pluginBuild.onLoad({ filter: /.*/, namespace: 'validators' }, ({ path }) => ({
            contents: modules[path.slice('validators:'.length)] ?? '',
            resolveDir: repositoryRoot,
            loader: 'js',
          }));
        },
      },
    ],
  });
  return result.outputFiles[0]!.text;
}

function serviceDeclaration(document: OpenApiDocument): string {
  const ids = listOperations(document).map((operation) => `  readonly ${operation.operationId}: OperationValidators;`);
  return `${typescriptHeader()}
import type { OperationRow } from '../../services/platform/http/operation-types.ts';

export type OperationValidators = Pick<OperationRow, 'validatePath' | 'validateQuery' | 'validateHeaders' | 'validateBody' | 'validateResponse'>;

/** By operationId. */
export declare const validators: {
${ids.join('\n')}
};
`;
}

function configDeclaration(library: SchemaLibrary): string {
  const type = (value: string): string => configSchemaNames().filter((name) => library[name] !== undefined).map((name) => `  readonly ${name}: ${value};`).join('\n');
  return `${typescriptHeader()}
import type { Validator } from '../../services/platform/http/operation-types.ts';

/** Of the files that operators write, by the name of the schema. */
export declare const validators: {
${type('Validator')}
};

/** Names of the members that each declares, for naming the nearest to an unknown one. */
export declare const members: {
${type('readonly string[]')}
};
`;
}

function schemasDeclaration(): string {
  return `${typescriptHeader()}
import type { Validator } from '../../services/platform/http/operation-types.ts';
import type { SchemaName } from '../types/index.ts';

/** By the name of the schema. */
export declare const validators: Readonly<Record<SchemaName, Validator>>;
`;
}

