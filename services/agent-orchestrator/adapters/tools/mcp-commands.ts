/**
 * The programs that a node lets its tenants use as MCP servers (AGENTOS_MCP_COMMANDS). A tenant names an entry, never a
 * command line. Two forms: `clock=npx tsx clock.ts;files=mcp-files /data`, or JSON where words hold spaces:
 * `{"files":{"command":"mcp-files","args":["/my data"],"env":{"TOKEN":"…"}}}`.
 */
import { ConfigError } from '../../../platform/config/load.ts';

export interface McpCommand {
  readonly command: string;
  readonly args: readonly string[];
  /** Beside the few variables every program gets; the node's own environment is not passed on. */
  readonly env: Readonly<Record<string, string>>;
}

export type McpCommands = ReadonlyMap<string, McpCommand>;

const COMMAND_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** @throws ConfigError that names the entry. */
export function parseMcpCommands(text: string | undefined): McpCommands {
  if (text === undefined || text.trim() === '') return new Map();
  const entries = text.trim().startsWith('{') ? fromJson(text) : text.split(';').filter((entry) => entry.trim() !== '').map(fromWords);
  for (const [id, { command }] of entries) {
    if (!COMMAND_ID.test(id)) throw refused(`'${id}' is not an id: letters, digits, dot, dash and underscore, 64 at most`);
    if (command === '') throw refused(`'${id}' names no program`);
  }
  return new Map(entries);
}

function fromWords(entry: string): [string, McpCommand] {
  const at = entry.indexOf('=');
  if (at < 1) throw refused(`'${entry.trim()}' is not id=program argument …`);
  const [command = '', ...args] = entry.slice(at + 1).trim().split(/\s+/);
  return [entry.slice(0, at).trim(), { command, args, env: {} }];
}

function fromJson(text: string): [string, McpCommand][] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw refused(`it begins like JSON and is none (${(error as Error).message})`);
  }
  return Object.entries(parsed as Record<string, unknown>).map(([id, value]) => {
    const { command, args = [], env = {} } = (value ?? {}) as { command?: unknown; args?: unknown; env?: unknown };
    const isText = (item: unknown): boolean => typeof item === 'string';
    if (!isText(command) || !Array.isArray(args) || !args.every(isText) || typeof env !== 'object' || env === null || !Object.values(env).every(isText)) {
      throw refused(`'${id}' must be {"command": text, "args": [text, …], "env": {name: text}}`);
    }
    return [id, { command: command as string, args: args as string[], env: env as Record<string, string> }];
  });
}

const refused = (why: string): ConfigError => new ConfigError('AGENTOS_MCP_COMMANDS', `AGENTOS_MCP_COMMANDS cannot be read: ${why}.`);
