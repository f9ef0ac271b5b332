/**
 * The Appendix's canonical payloads against the generated validators: each must pass as it is, and each negative twin
 * (a payload with one thing changed) must be refused. `examples/golden/README.md` describes the two files read here.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Validator } from '../../services/platform/http/operation-types.ts';
import type { GateResult } from './gate.ts';
import { repositoryRoot, specsFolder } from './paths.ts';
import { listSchemaFiles, schemaName } from './schema-library.ts';

export const goldenFolder = join(repositoryRoot, 'examples', 'golden');
const DATA_ABOUT_GOLDEN = new Set(['index.json', 'schemas.json', 'negative.json']);
const TWINS_PER_SCHEMA = 3;

export interface NegativeCase {
  readonly schema: string;
  readonly from: string;
  readonly at: string;
  readonly name: string;
  readonly op: 'remove' | 'set';
  readonly path: string;
  readonly value?: unknown;
}
interface Expectation {
  readonly schema: string;
  readonly at: string;
}
export type Validators = Readonly<Record<string, Validator>>;

function readJson<T>(file: string): T {
  return JSON.parse(readFileSync(file, 'utf8')) as T;
}

/** The part of a document that a JSON pointer names; undefined when there is none. */
export function at(document: unknown, pointer: string): unknown {
  let node = document;
  for (const key of pointerKeys(pointer)) node = (node as Record<string, unknown> | undefined | null)?.[key];
  return node;
}

function pointerKeys(pointer: string): string[] {
  if (pointer === '') return [];
  return pointer.slice(1).split('/').map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** A copy of the document with the one change made. */
export function mutate(document: unknown, change: Pick<NegativeCase, 'op' | 'path' | 'value'>): unknown {
  const keys = pointerKeys(change.path);
  const last = keys.pop();
  if (last === undefined) return change.op === 'set' ? change.value : undefined;
  const copy = structuredClone(document);
  const parent = at(copy, change.path.slice(0, change.path.lastIndexOf('/'))) as Record<string, unknown> | unknown[] | undefined;
  if (typeof parent !== 'object' || parent === null) throw new Error(`there is nothing at ${change.path}`);
  if (change.op === 'set') (parent as Record<string, unknown>)[last] = change.value;
  else if (!(last in parent)) throw new Error(`there is nothing to remove at ${change.path}`);
  else if (Array.isArray(parent)) parent.splice(Number(last), 1);
  else delete parent[last];
  return copy;
}

function firstError(validator: Validator): string {
  const error = validator.errors?.[0];
  return error === undefined ? 'no reason given' : `${error.instancePath === '' ? 'the whole' : error.instancePath} ${error.message ?? error.keyword}`;
}

function validatorOf(validators: Validators, schema: string): Validator {
  const found = validators[schemaName(schema)];
  if (found === undefined) throw new Error(`no validator is generated for ${schema}; run npm run generate`);
  return found;
}

export async function checkGolden(folder = goldenFolder): Promise<GateResult> {
  const { validators } = (await import('../../generated/validators/schemas.js')) as { validators: Validators };
  const index = readJson<{ files: Array<{ file: string; sha256: string }> }>(join(folder, 'index.json'));
  const { files } = readJson<{ files: Record<string, Expectation[]> }>(join(folder, 'schemas.json'));
  const problems = [...checkFiles(folder, index.files, files)];
  let checked = 0;
  for (const [file, expectations] of Object.entries(files)) {
    const document = readJson<unknown>(join(folder, file));
    for (const { schema, at: place } of expectations) {
      checked += 1;
      const validator = validatorOf(validators, schema);
      if (!validator(at(document, place))) problems.push(`examples/golden/${file} at ${place || 'its root'} is refused by ${schema}: ${firstError(validator)}`);
    }
  }
  return {
    gate: 'golden payloads',
    looked: `${index.files.length} files, ${checked} checks`,
    problems,
    notes: [],
    next: 'The Appendix wins: loosen the schema in specs/schemas/, then npm run generate.',
  };
}

/** Each payload is listed once, is where the list says, and has the value that the list was made from. */
function* checkFiles(folder: string, listed: ReadonlyArray<{ file: string; sha256: string }>, expectations: Readonly<Record<string, unknown>>): Generator<string> {
  for (const { file, sha256 } of listed) {
    if (!existsSync(join(folder, file))) {
      yield `examples/golden/${file} is listed in index.json and missing`;
      continue;
    }
    const actual = createHash('sha256').update(readFileSync(join(folder, file))).digest('hex');
    if (actual !== sha256) yield `examples/golden/${file} was changed: its SHA-256 is ${actual}, index.json says ${sha256}`;
    if (expectations[file] === undefined) yield `examples/golden/${file} has no schema in schemas.json`;
  }
  const names = new Set(listed.map(({ file }) => file));
  for (const file of readdirSync(folder)) {
    if (file.endsWith('.json') && !DATA_ABOUT_GOLDEN.has(file) && !names.has(file)) yield `examples/golden/${file} is not listed in index.json`;
  }
}

function readNegativeCases(folder = goldenFolder): NegativeCase[] {
  return readJson<{ cases: NegativeCase[] }>(join(folder, 'negative.json')).cases;
}

/** The document that a case starts from: a golden payload, or the first example of a schema file. */
function startingPoint(from: string, folder: string): unknown {
  if (!from.endsWith('.schema.json')) return readJson<unknown>(join(folder, from));
  const { examples } = readJson<{ examples?: unknown[] }>(join(specsFolder, 'schemas', from));
  if (examples === undefined || examples.length === 0) throw new Error(`specs/schemas/${from} has no examples to start from`);
  return examples[0];
}

export async function checkNegativeTwins(folder = goldenFolder): Promise<GateResult> {
  const { validators } = (await import('../../generated/validators/schemas.js')) as { validators: Validators };
  const cases = readNegativeCases(folder);
  const problems: string[] = [];
  const perSchema = new Map<string, number>();
  for (const entry of cases) {
    const problem = checkTwin(entry, validators, folder);
    if (problem !== null) problems.push(`${entry.schema}, "${entry.name}": ${problem}`);
    perSchema.set(schemaName(entry.schema), (perSchema.get(schemaName(entry.schema)) ?? 0) + 1);
  }
  const schemas = listSchemaFiles();
  for (const file of schemas) {
    const count = perSchema.get(schemaName(file)) ?? 0;
    if (count < TWINS_PER_SCHEMA) problems.push(`${basename(file)} has ${count} negative twins in examples/golden/negative.json; at least ${TWINS_PER_SCHEMA} are needed`);
  }
  return {
    gate: 'negative twins',
    looked: `${cases.length} twins of ${schemas.length} schemas`,
    problems,
    notes: [],
    next: 'A twin that passes shows a schema that is too loose: tighten it in specs/schemas/, then npm run generate.',
  };
}

function checkTwin(entry: NegativeCase, validators: Validators, folder: string): string | null {
  try {
    const validator = validatorOf(validators, entry.schema);
    const document = startingPoint(entry.from, folder);
    if (!validator(at(document, entry.at))) return `the payload is refused before the change: ${firstError(validator)}`;
    return validator(at(mutate(document, entry), entry.at)) ? 'the changed payload is accepted' : null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
