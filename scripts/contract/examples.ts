/** Every example in the contract must satisfy the schema it stands beside: of bodies, answers, parameters, and in schema files. */
import type { Ajv2020, ErrorObject } from 'ajv/dist/2020.js';
import { forAjv, newAjv } from './ajv.ts';
import type { Bundles } from './bundle.ts';
import { streamItem } from './client.ts';
import { dereference, isJson, type JsonSchema, listOperations, type MediaType, type OpenApiDocument } from './openapi.ts';
import { services } from './paths.ts';
import type { SchemaLibrary } from './schema-library.ts';

export interface ExamplesResult {
  readonly count: number;
  readonly problems: readonly string[];
}

interface Example {
  readonly where: string;
  readonly schema: JsonSchema;
  readonly value: unknown;
}

export function checkExamples(bundles: Bundles, library: SchemaLibrary): ExamplesResult {
  const problems: string[] = [];
  let count = 0;
  const everySchema = newAjv(library);
  for (const service of services) {
    const ajv = newAjv(bundles[service].components?.schemas ?? {});
    for (const example of documentExamples(bundles[service])) {
      count += 1;
      problems.push(...violations(ajv, example).map((text) => `${service}: ${text}`));
    }
    for (const frame of streamFrames(bundles[service])) {
      count += 1;
      problems.push(...violations(everySchema, frame).map((text) => `${service}: ${text}`));
    }
  }
  for (const [name, schema] of Object.entries(library)) {
    for (const [index, value] of ((schema['examples'] as unknown[] | undefined) ?? []).entries()) {
      count += 1;
      problems.push(...violations(everySchema, { where: `schema ${name}, example ${index}`, schema: { $ref: `#/components/schemas/${name}` }, value }));
    }
  }
  return { count, problems: [...new Set(problems)] };
}

/** Compiled once a schema: the error model alone stands in some three hundred places. */
const compiled = new WeakMap<Ajv2020, Map<string, ReturnType<Ajv2020['compile']>>>();

function violations(ajv: Ajv2020, { where, schema, value }: Example): string[] {
  const known = compiled.get(ajv) ?? new Map<string, ReturnType<Ajv2020['compile']>>();
  compiled.set(ajv, known);
  const key = JSON.stringify(schema);
  const validate = known.get(key) ?? ajv.compile(forAjv(schema));
  known.set(key, validate);
  if (validate(value)) return [];
  const error = (validate.errors as ErrorObject[])[0]!;
  return [`${where}: ${error.instancePath || 'the whole'} ${error.message ?? error.keyword}`];
}

function* documentExamples(document: OpenApiDocument): Generator<Example> {
  for (const operation of listOperations(document)) {
    for (const parameter of operation.parameters) {
      const { example } = parameter as { example?: unknown };
      if (example !== undefined) yield { where: `${operation.operationId}, parameter ${parameter.name}`, schema: parameter.schema ?? {}, value: example };
    }
    yield* contentExamples(document, operation.requestBody?.content ?? {}, `${operation.operationId}, request`);
    for (const [status, response] of operation.responses) yield* contentExamples(document, response.content ?? {}, `${operation.operationId}, ${status} answer`);
  }
}

/** Each `data:` line of a stream's examples, beside the schema that the operation names for its frames. */
function* streamFrames(document: OpenApiDocument): Generator<Example> {
  for (const operation of listOperations(document)) {
    const item = streamItem(operation);
    if (item === null || item === 'unknown') continue;
    for (const [status, response] of operation.responses) {
      for (const [name, entry] of Object.entries(response.content?.['text/event-stream']?.examples ?? {})) {
        const { value } = dereference<{ value?: unknown }>(document, entry as never);
        const lines = String(value).split('\n').filter((line) => line.startsWith('data:') && line.slice(5).trim() !== '[DONE]');
        for (const [index, line] of lines.entries()) {
          const where = `${operation.operationId}, ${status} answer, example ${name}, frame ${index}`;
          yield { where, schema: { $ref: `#/components/schemas/${item}` }, value: JSON.parse(line.slice(5)) as unknown };
        }
      }
    }
  }
}

function* contentExamples(document: OpenApiDocument, content: Readonly<Record<string, MediaType>>, where: string): Generator<Example> {
  for (const [contentType, media] of Object.entries(content)) {
    const schema = media.schema ?? {};
    if (media.example !== undefined && isJson(contentType)) yield { where, schema, value: media.example };
    for (const [name, entry] of Object.entries(media.examples ?? {})) {
      const { value } = dereference<{ value?: unknown }>(document, entry as never);
      if (isJson(contentType) || typeof value !== 'string') yield { where: `${where}, example ${name}`, schema, value };
    }
  }
}
