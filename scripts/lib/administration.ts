/**
 * Tenants, principals and keys over the API of the running node, as the commands need them.
 *
 * With a key of one's own (AGENTOS_API_KEY) and without --tenant they act in that key's tenant, by what its own
 * administrators may do; otherwise as the operator of the node, on any tenant.
 */
import { readFileSync } from 'node:fs';
import { expectStatus, send, type ApiAnswer, type ApiRequest } from './api.ts';
import type { CommandContext, OptionValues } from './command.ts';
import { CliError, EXIT } from './errors.ts';
import { credential, demoHeaders } from './identity.ts';
import type { Style } from './output.ts';
import { settingsOfNode } from './one-node.ts';
import type { Settings } from './settings.ts';

export type Body = Readonly<Record<string, unknown>>;

export interface Administration {
  readonly settings: Settings;
  /** Sends one request and answers its body. @throws CliError with the node's own words. */
  call(path: string, what: string, request?: AdministrativeRequest): Promise<Body>;
}

export type AdministrativeRequest = Omit<ApiRequest, 'headers' | 'signal'> & { readonly idempotencyKey?: string };

export interface AccountsOf extends Administration {
  /** `/v1` in one's own tenant, `/v1/admin/tenants/<id>` for an operator. */
  readonly base: string;
  /** For people. */
  readonly where: string;
}

export function administration(context: CommandContext, options: OptionValues): Administration {
  const { global, signal } = context;
  const settings = settingsOfNode(context, options);
  const headers = headersOf(settings);
  return {
    settings,
    async call(path, what, { idempotencyKey, ...request } = {}) {
      const answer: ApiAnswer = await send(settings, 'agent-orchestrator', path, { ...request, headers: idempotencyKey === undefined ? headers : { ...headers, 'idempotency-key': idempotencyKey }, signal, ...(global.timeoutMs === null ? {} : { timeoutMs: global.timeoutMs }) });
      return expectStatus(answer, [200, 201], what).body ?? {};
    },
  };
}

/** Where principals and keys are administered. */
export function accountsOf(context: CommandContext, options: OptionValues): AccountsOf {
  const node = administration(context, options);
  const { settings } = node;
  if (typeof options['tenant'] !== 'string' && settings.apiKey !== null && settings.mode !== 'demo') return { ...node, base: '/v1', where: 'the tenant of AGENTOS_API_KEY' };
  const tenantId = typeof options['tenant'] === 'string' ? options['tenant'] : settings.defaultTenant;
  return { ...node, base: `/v1/admin/tenants/${encodeURIComponent(tenantId)}`, where: tenantId };
}

function headersOf(settings: Settings): Readonly<Record<string, string>> {
  const key = credential(settings, 'platform');
  return key === null ? demoHeaders('platform', settings.defaultTenant) : { authorization: `Bearer ${key}` };
}

/** Every page of a list. `idOf` names the cursor of its items. */
export async function everyPage(node: Administration, path: string, what: string, member: string, idOf: string): Promise<readonly Body[]> {
  const all: Body[] = [];
  for (let after = ''; ;) {
    const query = `${path.includes('?') ? '&' : '?'}limit=200${after === '' ? '' : `&after=${encodeURIComponent(after)}`}`;
    const page = await node.call(`${path}${query}`, what);
    const items = page[member] as readonly Body[];
    all.push(...items);
    if (page['has_more'] !== true || items.length === 0) return all;
    after = String(items.at(-1)![idOf]);
  }
}

/** The action among those a command has. @throws CliError usage. */
export function actionOf<Action extends string>(command: string, actions: readonly Action[], word: string | undefined, aliases: Readonly<Record<string, Action>> = {}): Action {
  const action = actions.find((known) => known === word) ?? aliases[word ?? ''];
  if (action !== undefined) return action;
  throw new CliError(word === undefined ? `agentos ${command} what?` : `agentos ${command} has no "${word}"`, { exitCode: EXIT.usage, evidence: [`known: ${actions.join(', ')}`], next: `agentos ${command} ${actions[0]}` });
}

/** @throws CliError usage where it is missing. */
export function needed(value: string | undefined, what: string, example: string): string {
  if (value !== undefined && value !== '') return value;
  throw new CliError(`${what} is missing`, { exitCode: EXIT.usage, next: example });
}

/** `runs:read,runs:create` → a list; undefined stays undefined. */
export function listOf(value: string | boolean | undefined): readonly string[] | undefined {
  return typeof value === 'string' ? value.split(/[\s,]+/).filter((word) => word !== '') : undefined;
}

/** An object from a file, `-` for standard input, or from the words themselves. @throws CliError usage. */
export function objectOf(options: OptionValues): Body {
  const { file, set } = options;
  const fromFile = typeof file === 'string' ? parse(read(file), `--file ${file}`) : {};
  return { ...fromFile, ...(typeof set === 'string' ? parse(set, '--set') : {}) };
}

function read(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (cause) {
    throw new CliError(`${file} cannot be read`, { exitCode: EXIT.usage, evidence: [(cause as Error).message], next: '--file <a JSON file>', cause });
  }
}

function parse(text: string, what: string): Body {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Body;
  } catch (cause) {
    throw new CliError(`${what} is not JSON`, { exitCode: EXIT.usage, evidence: [(cause as Error).message], next: `--set '{"quotas":{"runs":{"max_concurrent_runs":5}}}'`, cause });
  }
  throw new CliError(`${what} is no JSON object`, { exitCode: EXIT.usage, next: `--set '{"quotas":{"runs":{"max_concurrent_runs":5}}}'` });
}

/** Columns under their titles. */
export function table(style: (style: Style, text: string) => string, head: readonly string[], rows: readonly (readonly string[])[], empty: string): string {
  if (rows.length === 0) return empty;
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]!.length)));
  const line = (cells: readonly string[]): string => cells.map((cell, column) => cell.padEnd(widths[column]!)).join('  ').trimEnd();
  return [style('bold', line(head)), ...rows.map(line)].join('\n');
}
