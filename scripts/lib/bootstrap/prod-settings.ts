/** Turns the file of settings of a node into one for prod, keeping whatever else a person wrote there. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { renderEnvFile } from '../env-file.ts';
import type { Answers } from './answers.ts';

/** What prod refuses, and demo and dev begin with. */
const NOT_IN_PROD = ['AGENTOS_DEFAULT_TENANT', 'AGENTOS_ALLOW_DEV_HEADERS', 'AGENTOS_IMPLICIT_AGENTS'];
const ENTRANCE = ['AGENTOS_TRUSTED_PROXY', 'AGENTOS_TLS_CERT_FILE', 'AGENTOS_TLS_KEY_FILE'];

/** Writes the file and answers the lines that it set. */
export function writeProdSettings(envFile: string, { entrance }: Answers): readonly string[] {
  const values: Readonly<Record<string, string>> = {
    AGENTOS_MODE: 'prod',
    ...('proxies' in entrance ? { AGENTOS_TRUSTED_PROXY: entrance.proxies } : { AGENTOS_TLS_CERT_FILE: entrance.certFile, AGENTOS_TLS_KEY_FILE: entrance.keyFile }),
  };
  const before = existsSync(envFile) ? readFileSync(envFile, 'utf8') : renderEnvFile({ mode: 'prod' });
  const part = `${envFile}.${process.pid}.part`;
  // Renamed into place: a file that is half written would be half a configuration.
  writeFileSync(part, prodSettings(before, values), { mode: 0o600 });
  renameSync(part, envFile);
  return Object.entries(values).map(([name, value]) => `${name}=${value}`);
}

/** `text` with each of `values` said once, and what prod refuses, or this replaces, turned into remarks. */
export function prodSettings(text: string, values: Readonly<Record<string, string>>): string {
  const left = new Map(Object.entries(values));
  const lines = text.replace(/\n+$/, '').split('\n').map((line) => {
    const name = /^\s*(?:export\s+)?([A-Z][A-Z0-9_]*)\s*=/.exec(line)?.[1];
    if (name === undefined) return line;
    const value = left.get(name);
    if (value !== undefined) {
      left.delete(name);
      return `${name}=${value}`;
    }
    return NOT_IN_PROD.includes(name) || ENTRANCE.includes(name) || name in values ? `# ${line}` : line;
  });
  const added = [...left].map(([name, value]) => `${name}=${value}`);
  return `${[...lines, ...(added.length === 0 ? [] : ['', '# Set by "agentos bootstrap".', ...added])].join('\n')}\n`;
}
