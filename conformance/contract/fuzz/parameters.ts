/**
 * Whether what stands in the path and the query of a request fits the contract, by a validator of its own: compiled here from the
 * document, sharing nothing with what the services serve by.
 */
import { Ajv2020 } from 'ajv/dist/2020.js';
import formatsModule, { type FormatsPlugin } from 'ajv-formats';
import type { JsonSchema, OpenApiDocument, OperationView } from '../../../scripts/contract/openapi.ts';
import type { FuzzRequest, RawMember } from './request-arbitrary.ts';

// CommonJS: depending on who loads it, the plugin is the module or stands on its `default`.
const addFormats = (formatsModule as unknown as { default?: FormatsPlugin }).default ?? (formatsModule as unknown as FormatsPlugin);

export type ParametersJudge = (request: Pick<FuzzRequest, 'path' | 'query'>) => boolean;

/** Answers whether every declared parameter that the request has fits; names that nobody declared are not looked at. */
export function parametersJudge(document: OpenApiDocument, operation: OperationView): ParametersJudge {
  const rules = operation.parameters
    .filter((parameter) => parameter.in === 'path' || parameter.in === 'query')
    .map(({ name, in: where, schema = {} }) => ({ name, where: where as 'path' | 'query', fits: compiled(document, schema) }));
  return (request) => rules.every(({ name, where, fits }) => {
    const given = request[where].filter((member) => textOf(member.name) === name).map(textOfRaw);
    return given.length === 0 || readingsOf(given).some((reading) => fits(reading));
  });
}

type Fits = (value: unknown) => boolean;

/** By document and schema: parameters share a few. */
const known = new WeakMap<OpenApiDocument, Map<string, Fits>>();

function compiled(document: OpenApiDocument, schema: JsonSchema): Fits {
  const ofDocument = known.get(document) ?? new Map<string, Fits>();
  known.set(document, ofDocument);
  const text = JSON.stringify(schema);
  const present = ofDocument.get(text);
  if (present !== undefined) return present;
  const ajv = new Ajv2020({ strict: false });
  addFormats(ajv);
  const fits = ajv.compile<unknown>(text.includes('"$ref"') ? { ...schema, components: { schemas: document.components?.schemas ?? {} } } : schema) as Fits;
  ofDocument.set(text, fits);
  return fits;
}

function textOfRaw({ raw }: RawMember): string | null {
  return textOf(raw);
}

/** null where it is no UTF-8, which fits nothing. */
function textOf(raw: string): string | null {
  try {
    return decodeURIComponent(raw.replaceAll('+', ' '));
  } catch {
    return null;
  }
}

/** What the texts may be meant as: one value of each type they can be read as, or a list of them. */
function readingsOf(texts: readonly (string | null)[]): unknown[] {
  if (texts.some((text) => text === null)) return [];
  const values = (texts as readonly string[]).map((text): unknown[] => [text, ...(text.trim() !== '' && Number.isFinite(Number(text)) ? [Number(text)] : []), ...(text === 'true' || text === 'false' ? [text === 'true'] : [])]);
  const lists = [0, 1].map((place) => values.map((each) => each[place] ?? each[0]));
  return values.length === 1 ? [...values[0]!, ...lists] : lists;
}

