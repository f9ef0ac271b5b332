/**
 * Finds ports and adapters on disk. Nothing here is a list that somebody could forget to extend: a port is a file of
 * `ports/` that exports an interface with `capabilities()`, an adapter is a file `<port>-<name>.ts` that defines it.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Ports that stand outside a `ports/` folder. */
const PLATFORM_FOLDERS = ['tenancy', 'audit', 'secrets'];

export interface PortOnDisk {
  readonly port: string;
  readonly file: string;
}

export interface AdapterOnDisk {
  readonly port: string;
  readonly adapter: string;
  readonly file: string;
}

function sources(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !entry.name.endsWith('.test.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

function services(): string[] {
  return readdirSync(join(ROOT, 'services'), { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}

const PORT_INTERFACE = /export interface \w+Port\b[\s\S]*?\n\}/;

export function portsOnDisk(): PortOnDisk[] {
  const files = [
    ...services().flatMap((service) => sources(join(ROOT, 'services', service, 'ports'))),
    ...PLATFORM_FOLDERS.flatMap((folder) => sources(join(ROOT, 'services/platform', folder))),
  ];
  return files
    .filter((file) => /capabilities\(\): PortCapabilities/.test(PORT_INTERFACE.exec(readFileSync(file, 'utf8'))?.[0] ?? ''))
    .map((file) => ({ port: basename(file, '.ts'), file: relative(ROOT, file) }));
}

function adapterFolders(): string[] {
  return [...services().map((service) => join(ROOT, 'services', service, 'adapters')), ...PLATFORM_FOLDERS.map((folder) => join(ROOT, 'services/platform', folder))];
}

/** The definition of a method or function, not a call or a type. */
const DEFINES_CAPABILITIES = /^\s*(?:override )?(?:async )?(?:function )?capabilities\([^)]*\)(?::\s*[\w.]+)?\s*\{|capabilities:\s*\(\)\s*(?::\s*\w+\s*)?=>|capabilities = \(\)/m;

export function adaptersOnDisk(ports: readonly PortOnDisk[]): { adapters: AdapterOnDisk[]; misnamed: string[] } {
  const names = ports.map((port) => port.port).sort((a, b) => b.length - a.length);
  const adapters: AdapterOnDisk[] = [];
  const misnamed: string[] = [];
  for (const path of adapterFolders().flatMap(sources)) {
    if (!DEFINES_CAPABILITIES.test(readFileSync(path, 'utf8'))) continue;
    const base = basename(path, '.ts');
    const port = names.find((name) => base.startsWith(`${name}-`));
    if (port === undefined) misnamed.push(relative(ROOT, path));
    else adapters.push({ port, adapter: base.slice(port.length + 1), file: relative(ROOT, path) });
  }
  return { adapters, misnamed };
}

export function factoriesOnDisk(): string[] {
  return sources(join(ROOT, 'conformance/ports/factories')).map((file) => basename(file, '.ts'));
}

/** Names of the methods that a port's interface demands, read from its source. */
export function methodsOf(source: string): string[] {
  const body = PORT_INTERFACE.exec(source)?.[0] ?? '';
  return [...body.matchAll(/^ {2}(\w+)(?:<[^>]*>)?\(/gm)].map((match) => match[1]!);
}
