/**
 * Holds inputs and outputs of tools against their JSON Schemas. The schemas come from tenants and from MCP servers:
 * they are bounded in size and depth, cannot name each other, and their patterns run under a time limit, because one
 * pattern can keep a process busy for as long as it likes.
 */
import { Script, createContext } from 'node:vm';
import { Ajv, type Options, type ValidateFunction } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formatsModule, { type FormatsPlugin } from 'ajv-formats';
import { AgentOsError } from '../../../platform/errors.ts';

export type JsonSchema = Readonly<Record<string, unknown>>;

export interface SchemaProblem {
  /** JSON pointer below `/input` or `/output`. */
  readonly path: string;
  readonly message: string;
}

const MAX_SCHEMA_CHARACTERS = 64 * 1024;
const MAX_SCHEMA_DEPTH = 48;
const MAX_COMPILED = 1_000;
/** For all patterns of one check. */
const PATTERNS_MS = 100;
const MAX_PROBLEMS = 10;

const OPTIONS: Options = {
  strict: false, allErrors: false, addUsedSchema: false, logger: false, messages: true, unicodeRegExp: true,
  code: { regExp: Object.assign(boundedRegExp, { code: 'boundedRegExp' }) },
};

/** A pattern with nothing in it that can be tried in two ways needs no watch. */
const HARMLESS = /^[^*+?{(|]*$|^\^?\[[^\]]*\](?:[*+]|\{\d+(?:,\d*)?\})?\$?$/;

const watched = createContext({ regExp: /x/, text: '' });
const run = new Script('regExp.test(text)');
let patternsMsLeft = PATTERNS_MS;

const ajv = withFormats(new Ajv2020(OPTIONS));
const ajvOfDraft7 = withFormats(new Ajv(OPTIONS));

/** By the schema's text, the one used longest ago first. */
const compiled = new Map<string, ValidateFunction>();

/** Why a schema cannot be used, or null. */
export function schemaProblem(schema: JsonSchema): string | null {
  try {
    compile(schema);
    return null;
  } catch (error) {
    return (error as Error).message.slice(0, 500);
  }
}

/** Where `value` does not fit; empty when it does. @throws Error for a schema that `schemaProblem` would have named. */
export function problemsOf(schema: JsonSchema, value: unknown, root: '/input' | '/output'): readonly SchemaProblem[] {
  const validate = compile(schema);
  patternsMsLeft = PATTERNS_MS;
  try {
    if (validate(value)) return [];
  } catch (error) {
    return [{ path: root, message: (error as Error).message }];
  }
  return (validate.errors ?? []).slice(0, MAX_PROBLEMS).map((error) => ({
    path: root + error.instancePath,
    message: `${error.message ?? error.keyword}${error.keyword === 'additionalProperties' ? ` ('${String(error.params['additionalProperty'])}')` : ''}`,
  }));
}

/** @throws AgentOsError invalid_request with the pointers. */
export function checkInput(toolId: string, schema: JsonSchema, input: unknown): void {
  const problems = problemsOf(schema, input, '/input');
  if (problems.length === 0) return;
  throw new AgentOsError('invalid_request', { message: `The input of ${toolId} does not fit its schema: ${written(problems)}.`, details: { tool_id: toolId, errors: problems } });
}

/** @throws AgentOsError tool_failed with the pointers. */
export function checkOutput(toolId: string, schema: JsonSchema | null, output: unknown): void {
  const problems = schema === null ? [] : problemsOf(schema, output, '/output');
  if (problems.length === 0) return;
  throw new AgentOsError('tool_failed', { message: `${toolId} answered something that does not fit its output schema: ${written(problems)}.`, details: { tool_id: toolId, reason: 'output_does_not_fit', errors: problems } });
}

const written = (problems: readonly SchemaProblem[]): string => problems.map((problem) => `${problem.path} ${problem.message}`).join('; ');

function compile(schema: JsonSchema): ValidateFunction {
  const text = JSON.stringify(schema);
  const known = compiled.get(text);
  if (known !== undefined) {
    compiled.delete(text);
    compiled.set(text, known);
    return known;
  }
  if (text.length > MAX_SCHEMA_CHARACTERS) throw new Error(`A schema of a tool has at most ${MAX_SCHEMA_CHARACTERS} characters; this one has ${text.length}.`);
  if (depthOf(schema) > MAX_SCHEMA_DEPTH) throw new Error(`A schema of a tool is nested at most ${MAX_SCHEMA_DEPTH} deep.`);
  const { $schema: dialect, $id: _id, ...own } = JSON.parse(text) as Record<string, unknown>;
  const compiler = typeof dialect === 'string' && /draft-0[67]/.test(dialect) ? ajvOfDraft7 : ajv;
  let validate: ValidateFunction;
  try {
    validate = compiler.compile(own);
  } finally {
    // The compiler would keep every schema it has ever seen.
    compiler.removeSchema(own);
  }
  if (compiled.size >= MAX_COMPILED) compiled.delete(compiled.keys().next().value!);
  compiled.set(text, validate);
  return validate;
}

function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let deepest = 0;
  for (const member of Object.values(value)) deepest = Math.max(deepest, depthOf(member));
  return deepest + 1;
}

/**
 * Formats (`email`, `uri`, `date-time`, …) hold as ajv-formats reads them, under the same watch as patterns, since most of
 * them are patterns. A format that it does not know is a remark, as the dialect has it.
 */
function withFormats<Compiler extends Ajv>(compiler: Compiler): Compiler {
  // CommonJS: depending on who loads it, the plugin is the module or stands on its `default`.
  const addFormats = (formatsModule as unknown as { default?: FormatsPlugin }).default ?? (formatsModule as unknown as FormatsPlugin);
  addFormats(compiler);
  for (const [name, format] of Object.entries(compiler.formats)) {
    if (format instanceof RegExp) compiler.addFormat(name, boundedFormat(format));
  }
  return compiler;
}

function boundedFormat(format: RegExp): (text: string) => boolean {
  const bounded = boundedRegExp(format.source, format.flags);
  return (text) => bounded.test(text);
}

function boundedRegExp(pattern: string, flags: string): { test(text: string): boolean; toString(): string } {
  const regExp = new RegExp(pattern, flags);
  if (HARMLESS.test(pattern)) return regExp;
  return {
    // The compiler tells patterns apart by this.
    toString: () => String(regExp),
    test(text) {
      const startedAt = performance.now();
      Object.assign(watched, { regExp, text });
      try {
        return run.runInContext(watched, { timeout: Math.max(1, Math.ceil(patternsMsLeft)) }) as boolean;
      } catch {
        throw new Error(`the patterns of the schema take more than ${PATTERNS_MS} ms on this value`);
      } finally {
        patternsMsLeft -= performance.now() - startedAt;
      }
    },
  };
}
