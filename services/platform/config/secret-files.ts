/**
 * Who else may read a file that holds a secret. Secrets that lie on a machine belong to one account: the file is 600
 * (or stricter), in a folder that others cannot enter. The mounts of Docker and Kubernetes are exempt: they are group-
 * or world-readable by default, inside a container where nobody else lives.
 */
import { readdirSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from './load.ts';

export interface OpenSecretFile {
  readonly variable: string;
  readonly path: string;
  /** e.g. `0644`. */
  readonly mode: string;
}

const OTHERS = 0o077;
const MOUNTS = /^(?:\/var)?\/run\/secrets\//;
/** How Kubernetes lays out what it mounts: a link to a folder named after the moment. */
const PROJECTED = /\/\.\.\d{4}_\d\d_\d\d_/;

/** Files with secrets that others on this machine may read; those that are not there are somebody else's to report. */
export function openSecretFiles(config: Config): readonly OpenSecretFile[] {
  if (process.platform === 'win32') return [];
  const { values, secretFiles } = config;
  const named = Object.entries(secretFiles).filter(([variable]) => variable !== 'AGENTOS_JWT_PUBLIC_KEY').map(([variable, path]) => [`${variable}_FILE`, path] as const);
  const keys = [['AGENTOS_TLS_KEY_FILE', values.AGENTOS_TLS_KEY_FILE], ['AGENTOS_FED_SERVER_KEY', values.AGENTOS_FED_SERVER_KEY], ['AGENTOS_FED_CLIENT_KEY', values.AGENTOS_FED_CLIENT_KEY], ['AGENTOS_AUDIT_KEY_FILE', values.AGENTOS_AUDIT_KEY_FILE]] as const;
  const generated = filesOf(join(values.AGENTOS_DATA_DIR, 'secrets')).map((path) => ['AGENTOS_DATA_DIR', path] as const);
  const known = new Set<string>();
  return [...named, ...keys, ...generated].flatMap(([variable, path]) => {
    const open = path === undefined || known.has(path) ? null : lookAt(variable, path);
    if (path !== undefined) known.add(path);
    return open === null ? [] : [open];
  });
}

function lookAt(variable: string, path: string): OpenSecretFile | null {
  const mode = openMode(path);
  return mode === null ? null : { variable, path, mode };
}

/** The mode of a file that others may read, e.g. `0644`; null for one that they may not, and for what is mounted or not there. */
export function openMode(path: string): string | null {
  try {
    const real = realpathSync(path);
    if (MOUNTS.test(path) || MOUNTS.test(real) || PROJECTED.test(real)) return null;
    const { mode } = statSync(real);
    return (mode & OTHERS) === 0 ? null : (mode & 0o7777).toString(8).padStart(4, '0');
  } catch {
    return null;
  }
}

/** The folder itself first: whoever may enter it may replace what is in it. */
function filesOf(folder: string): readonly string[] {
  try {
    return [folder, ...readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => join(folder, entry.name))];
  } catch {
    return [];
  }
}
