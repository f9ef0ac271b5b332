/**
 * Configuration: flag, then environment, then `.agentos.env`, then defaults (PRS 8.1).
 *
 * A name of ours that nobody knows is reported with the nearest known one, because a mistyped setting that is
 * silently ignored is the most expensive kind; a value that does not fit its type stops the start.
 */
import { existsSync, readFileSync } from 'node:fs';
import { fixedSecrets, type ConfigSecrets } from '../secrets/config-secrets.ts';
import { isReference } from '../secrets/reference.ts';
import { parseEnvFile } from './env-file.ts';
import { VARIABLES, type ConfigValues, type Variable, type VariableName } from './variables.ts';

export type ConfigSource = 'flag' | 'environment' | 'file' | 'default' | 'unset';

export interface LoadOptions {
  /** From the command line, by variable name. undefined means that the flag was not given. */
  readonly flags?: Readonly<Partial<Record<VariableName, string | number | boolean | undefined>>>;
  /** `process.env` when absent. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Path of `.agentos.env`; null reads none; absent: AGENTOS_ENV_FILE, or `.agentos.env` here. */
  readonly envFile?: string | null;
  /** In place of the table's defaults. */
  readonly defaults?: Readonly<Partial<Record<VariableName, string | number | boolean>>>;
  /** What the references among the secrets stand for; `openConfig` finds it out. */
  readonly resolved?: Readonly<Partial<Record<VariableName, string>>>;
}

export interface Config {
  readonly values: ConfigValues;
  readonly sources: Readonly<Record<VariableName, ConfigSource>>;
  /** Files that secrets were read from, by variable. */
  readonly secretFiles: Readonly<Partial<Record<VariableName, string>>>;
  /** References that secrets hold in place of their values, by variable. Unless they are resolved, those have no value. */
  readonly references: Readonly<Partial<Record<VariableName, string>>>;
  /** The secrets as they are now, for whoever lives longer than one of them. */
  readonly secrets: ConfigSecrets;
  /** Sentences for the reader: unknown names, unreadable lines. */
  readonly warnings: readonly string[];
}

/** A variable has a value that it cannot have. The value of a secret is not shown. */
export class ConfigError extends Error {
  readonly variable: string;
  /** Of the process that ends for it: 3 where the configuration is wrong, 4 where what it names is away. */
  readonly exitCode: 3 | 4;
  constructor(variable: string, message: string, exitCode: 3 | 4 = 3) {
    super(message);
    this.name = 'ConfigError';
    this.variable = variable;
    this.exitCode = exitCode;
  }
}

/** These name files themselves, so NAME_FILE is another spelling of NAME and not a file that holds it (C-31). */
const FILE_SPELLING = /^AGENTOS_FED_(SERVER_CERT|SERVER_KEY|CA_CERT|CLIENT_CERT|CLIENT_KEY|JWT_PUBLIC_KEY)$/;

/** @throws ConfigError */
export function loadConfig(options: LoadOptions = {}): Config {
  const env = options.env ?? process.env;
  const warnings: string[] = [];
  const file = readFileVariables(options, env, warnings);
  const values: Record<string, unknown> = {};
  const sources: Record<string, ConfigSource> = {};
  const secretFiles: Partial<Record<VariableName, string>> = {};
  const references: Partial<Record<VariableName, string>> = {};
  for (const variable of VARIABLES as readonly Variable[]) {
    const found = find(variable, options, env, file);
    values[variable.name] = found.value;
    sources[variable.name] = found.source;
    if (found.file !== undefined) secretFiles[variable.name as VariableName] = found.file;
    if (found.reference !== undefined) references[variable.name as VariableName] = found.reference;
  }
  warnUnknown(Object.keys(env), 'the environment', warnings);
  warnUnknown([...file.keys()], 'the environment file', warnings);
  return {
    values: values as unknown as ConfigValues, sources: sources as Record<VariableName, ConfigSource>, secretFiles, references, warnings,
    secrets: fixedSecrets(Object.fromEntries(SECRETS.map((name) => [name, values[name]]))),
  };
}

function readFileVariables(options: LoadOptions, env: NonNullable<LoadOptions['env']>, warnings: string[]): Map<string, string> {
  const path = options.envFile === undefined ? (env.AGENTOS_ENV_FILE ?? '.agentos.env') : options.envFile;
  const variables = new Map<string, string>();
  if (path === null || !existsSync(path)) return variables;
  const parsed = parseEnvFile(readFileSync(path, 'utf8'));
  for (const line of parsed.lines) variables.set(line.name, line.value);
  for (const line of parsed.unreadable) warnings.push(`${path}:${line} is not KEY=VALUE and is ignored.`);
  return variables;
}

const SECRETS = (VARIABLES as readonly Variable[]).filter((variable) => variable.secret === true).map((variable) => variable.name);

interface Found {
  readonly value: unknown;
  readonly source: ConfigSource;
  readonly file?: string;
  readonly reference?: string;
}

function find(variable: Variable, options: LoadOptions, env: NonNullable<LoadOptions['env']>, file: ReadonlyMap<string, string>): Found {
  const name = variable.name as VariableName;
  const flag = options.flags?.[name];
  if (flag !== undefined) return { value: convert(variable, String(flag)), source: 'flag' };
  for (const [source, get] of [['environment', (key: string) => env[key]], ['file', (key: string) => file.get(key)]] as const) {
    const text = lookup(variable, get);
    // An empty value is how shells and compose files say "not set".
    if (text === undefined || text === '') continue;
    const path = isReadFromFile(variable) && !get(variable.name) ? get(`${variable.name}_FILE`) : undefined;
    if (variable.secret && path === undefined && isReference(text)) {
      const resolved = options.resolved?.[name];
      return { value: resolved === undefined ? undefined : convert(variable, resolved), source, reference: text };
    }
    return { value: convert(variable, text), source, ...(path === undefined ? {} : { file: path }) };
  }
  const fallback = options.defaults?.[name] ?? variable.default;
  if (fallback === undefined) return { value: undefined, source: 'unset' };
  return { value: typeof fallback === 'object' ? fallback : convert(variable, String(fallback)), source: 'default' };
}

function lookup(variable: Variable, get: (name: string) => string | undefined): string | undefined {
  const direct = get(variable.name);
  if (direct !== undefined && direct !== '') return direct;
  const path = get(`${variable.name}_FILE`);
  if (path === undefined || path === '') return undefined;
  if (FILE_SPELLING.test(variable.name)) return path;
  if (!isReadFromFile(variable)) return undefined;
  try {
    return readFileSync(path, 'utf8').trimEnd();
  } catch (error) {
    throw new ConfigError(variable.name, `${variable.name}_FILE names ${path}, which cannot be read: ${(error as Error).message}.`);
  }
}

const isReadFromFile = (variable: Variable): boolean => variable.secret === true || variable.fromFile === true;

/** A new value of a secret, as its variable's type wants it. @throws ConfigError, which does not repeat it. */
export function checkSecret(name: VariableName, text: string): string {
  return convert(VARIABLES.find((variable) => variable.name === name)!, text) as string;
}

const TRUE = new Set(['1', 'true', 'on', 'yes']);
const FALSE = new Set(['0', 'false', 'off', 'no']);

function convert(variable: Variable, text: string): unknown {
  switch (variable.type) {
    case 'string':
    case 'path':
      return text;
    case 'list':
      return text.split(',').map((item) => item.trim()).filter((item) => item !== '');
    case 'boolean':
      if (TRUE.has(text.toLowerCase())) return true;
      if (FALSE.has(text.toLowerCase())) return false;
      throw refused(variable, text, 'true or false (also 1/0, on/off, yes/no)');
    case 'enum':
      if (variable.allowed!.includes(text)) return text;
      throw refused(variable, text, `one of ${variable.allowed!.join(', ')}`);
    case 'url':
      if (URL.canParse(text)) return text;
      throw refused(variable, text, 'a URL such as http://127.0.0.1:50082');
    case 'integer':
    case 'number':
      return convertNumber(variable, text);
  }
}

function convertNumber(variable: Variable, text: string): number {
  const value = Number(text);
  const { min, max } = variable;
  const bounds = min !== undefined && max !== undefined ? ` from ${min} to ${max}` : min !== undefined ? ` of at least ${min}` : max !== undefined ? ` of at most ${max}` : '';
  const wanted = `${variable.type === 'integer' ? 'a whole number' : 'a number'}${bounds}`;
  if (!/^[+-]?\d+(\.\d+)?$/.test(text) || (variable.type === 'integer' && !Number.isSafeInteger(value))) throw refused(variable, text, wanted);
  if ((min !== undefined && value < min) || (max !== undefined && value > max)) throw refused(variable, text, wanted);
  return value;
}

function refused(variable: Variable, text: string, wanted: string): ConfigError {
  const shown = variable.secret ? '(redacted)' : JSON.stringify(text);
  return new ConfigError(variable.name, `${variable.name} is ${shown}; it must be ${wanted}.`);
}

/** Variables of ours that are read elsewhere (tests, the CLI's own tools) and set no configuration. */
const ELSEWHERE = /^AGENTOS_(TEST|BENCH|CHAOS)_/;

function warnUnknown(names: readonly string[], where: string, warnings: string[]): void {
  const known = new Set((VARIABLES as readonly Variable[]).flatMap((variable) => (isReadFromFile(variable) || FILE_SPELLING.test(variable.name) ? [variable.name, `${variable.name}_FILE`] : [variable.name])));
  for (const name of names) {
    if (!name.startsWith('AGENTOS_') || known.has(name) || ELSEWHERE.test(name)) continue;
    const near = nearest(name, [...known]);
    warnings.push(`${name} in ${where} is not known and is ignored.${near === null ? '' : ` Did you mean ${near}?`}`);
  }
}

/** The known name with the least edit distance, if it is near enough to be what was meant. */
export function nearest(name: string, known: readonly string[]): string | null {
  let best: string | null = null;
  let bestDistance = Math.max(3, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(name, candidate, bestDistance);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const replace = previous[column - 1]! + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(replace, previous[column]! + 1, current[column - 1]! + 1));
    }
    previous = current;
  }
  return previous[b.length]!;
}
