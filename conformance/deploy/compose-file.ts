/** Compose files as data: overlays merged and variables filled in by the rules of Compose, for what deploy/compose uses of them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { ROOT } from '../architecture/sources.ts';

export interface ComposeService {
  readonly image: string;
  readonly build?: { readonly context: string; readonly dockerfile: string; readonly args?: Readonly<Record<string, string>> };
  readonly command?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly user: string;
  readonly read_only: boolean;
  readonly init?: boolean;
  readonly cap_drop: readonly string[];
  readonly cap_add?: readonly string[];
  readonly privileged?: boolean;
  readonly security_opt: readonly string[];
  readonly tmpfs: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly secrets: readonly string[];
  readonly volumes?: readonly string[];
  readonly networks?: readonly string[];
  readonly network_mode?: string;
  readonly ports?: readonly string[];
  readonly profiles?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test?: readonly string[]; readonly disable?: boolean };
  readonly restart: string;
  readonly logging: { readonly driver: string; readonly options: Readonly<Record<string, string>> };
  readonly stop_grace_period: string;
  readonly pids_limit: number;
  readonly cpus: number;
  readonly mem_limit: string;
}

export interface ComposeFile {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly networks: Readonly<Record<string, { readonly internal?: boolean }>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}

export const COMPOSE_FOLDER = join(ROOT, 'deploy/compose');

/** @throws Error for a variable that must be set and is not. */
export function readCompose(files: readonly string[], env: Readonly<Record<string, string>> = {}): ComposeFile {
  const documents = files.map((file) => parse(interpolate(readFileSync(join(COMPOSE_FOLDER, file), 'utf8'), env), { merge: true }) as Json);
  return documents.reduce((base, overlay) => mergeTrees(base, overlay, [])) as unknown as ComposeFile;
}

type Json = Record<string, unknown>;
const isTree = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);
/** Lists of these names grow by an overlay; other lists are replaced. */
const GROWING = new Set(['secrets', 'volumes', 'tmpfs', 'ports', 'networks', 'cap_drop', 'security_opt']);

function mergeTrees(base: Json, overlay: Json, path: readonly string[]): Json {
  const merged: Json = { ...base };
  for (const [key, value] of Object.entries(overlay)) {
    const before = merged[key];
    if (isTree(before) && isTree(value)) merged[key] = mergeTrees(before, value, [...path, key]);
    else if (Array.isArray(before) && Array.isArray(value) && GROWING.has(key)) merged[key] = [...new Set([...before, ...value])];
    else merged[key] = value;
  }
  return merged;
}

/** `${NAME}`, `${NAME:-default}`, `${NAME:?what to do}`. */
function interpolate(text: string, env: Readonly<Record<string, string>>): string {
  return text.split('\n').filter((line) => !/^\s*#/.test(line)).join('\n').replace(/\$\{(\w+)(?::([-?])([^}]*))?\}/g, (_, name: string, kind: string | undefined, rest = '') => {
    const value = env[name];
    if (value !== undefined && value !== '') return value;
    if (kind === '?') throw new Error(`${name}: ${rest}`);
    return kind === '-' ? (rest as string) : '';
  });
}

/** Names of variables that the files are filled in from. */
export function variablesOf(file: string): readonly string[] {
  return [...readFileSync(join(COMPOSE_FOLDER, file), 'utf8').matchAll(/\$\{(\w+)/g)].map((match) => match[1]!);
}
