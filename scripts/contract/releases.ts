/** The frozen contracts in `specs/released/<version>/`, and the breaking changes that were owned up to in BREAKING.md. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { NO_ACCESS } from './access.ts';
import type { Bundles } from './bundle.ts';
import type { Contract } from './contract-model.ts';
import { generatorVersions } from './manifest.ts';
import { services, specsFolder } from './paths.ts';

export interface Version {
  readonly text: string;
  readonly isPreRelease: boolean;
}

const VERSION = /^v(\d+)\.(\d+)\.(\d+)(?:-([a-z]+)\.(\d+))?$/;

export function parseVersion(text: string): Version {
  const match = VERSION.exec(text);
  if (match === null) throw new Error(`${JSON.stringify(text)} is not a version. Write it as v1.02.0 or v1.02.0-alpha.1.`);
  return { text, isPreRelease: match[4] !== undefined };
}

/** Negative when `a` comes first. A pre-release comes before its release. */
export function compareVersions(a: Version, b: Version): number {
  const key = (version: Version): [number, number, number, string, number] => {
    const [, major, minor, patch, label, counter] = VERSION.exec(version.text)!;
    return [Number(major), Number(minor), Number(patch), label ?? '~', Number(counter ?? 0)];
  };
  const [left, right] = [key(a), key(b)];
  for (const [index, value] of left.entries()) {
    const other = right[index]!;
    if (value !== other) return value < other ? -1 : 1;
  }
  return 0;
}

function releasedFolder(specs = specsFolder): string {
  return join(specs, 'released');
}

/** Oldest first. */
export function listReleases(specs = specsFolder): Version[] {
  const folder = releasedFolder(specs);
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => parseVersion(entry.name))
    .sort(compareVersions);
}

interface SnapshotManifest {
  readonly version: string;
  readonly command: string;
  readonly generators: Readonly<Record<string, string>>;
  /** File → SHA-256 of its bytes. */
  readonly files: Readonly<Record<string, string>>;
}

function sha256(text: string | Buffer): string {
  return createHash('sha256').update(text).digest('hex');
}

export function writeSnapshot(version: Version, contract: Contract): string[] {
  const folder = join(releasedFolder(), version.text);
  const json = (value: unknown): string => `${JSON.stringify(value, null, 1)}\n`;
  const files: Record<string, string> = {
    ...Object.fromEntries(services.map((service) => [`openapi/${service}.json`, json(contract.openapi[service])])),
    'schemas.json': json(contract.schemas),
    'error-codes.json': json(contract.errorCodes),
    'event-types.json': json(contract.eventTypes),
    'access.json': json(contract.access),
  };
  const manifest: SnapshotManifest = {
    version: version.text,
    command: `npm run contract:release -- ${version.text}`,
    generators: generatorVersions(),
    files: Object.fromEntries(Object.keys(files).sort().map((name) => [name, sha256(files[name]!)])),
  };
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, 'openapi'), { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  writeFileSync(join(folder, 'manifest.json'), json(manifest));
  return [...Object.keys(files).sort(), 'manifest.json'];
}

export function readSnapshot(version: Version, specs = specsFolder): Contract {
  const folder = join(releasedFolder(specs), version.text);
  const read = <T>(name: string): T => JSON.parse(readFileSync(join(folder, name), 'utf8')) as T;
  return {
    label: `release ${version.text}`,
    openapi: Object.fromEntries(services.map((service) => [service, read(`openapi/${service}.json`)])) as unknown as Bundles,
    schemas: read('schemas.json'),
    errorCodes: read('error-codes.json'),
    eventTypes: read('event-types.json'),
    // The first releases had no roles.
    access: existsSync(join(folder, 'access.json')) ? read('access.json') : NO_ACCESS,
  };
}

/** A snapshot whose files are not what its manifest says was changed after the fact. */
export function tamperedFiles(version: Version, specs = specsFolder): string[] {
  const folder = join(releasedFolder(specs), version.text);
  const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as SnapshotManifest;
  return Object.entries(manifest.files)
    .filter(([name, hash]) => !existsSync(join(folder, name)) || sha256(readFileSync(join(folder, name))) !== hash)
    .map(([name]) => `specs/released/${version.text}/${name}`);
}

/** The bytes of a snapshot as one hash, to tell whether two folders hold the same release. */
export function snapshotHash(version: Version, specs = specsFolder): string {
  return sha256(readFileSync(join(releasedFolder(specs), version.text, 'manifest.json')));
}

/** A breaking change that was decided: in which release it came, what it broke, and why. */
export interface BreakingEntry {
  readonly release: string;
  readonly what: string;
  readonly change: string;
  readonly reason: string;
}

/** Rows `| release | what | change | reason |` of the table in BREAKING.md. */
export function parseBreaking(markdown: string): BreakingEntry[] {
  const entries: BreakingEntry[] = [];
  for (const line of markdown.split('\n')) {
    const cells = line.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim().replaceAll('\\|', '|').replace(/^`(.*)`$/, '$1'));
    const [release = '', what = '', change = '', reason = ''] = cells;
    if (cells.length === 4 && VERSION.test(release)) entries.push({ release, what, change, reason });
  }
  return entries;
}

export function readBreaking(specs = specsFolder): BreakingEntry[] {
  const file = join(releasedFolder(specs), 'BREAKING.md');
  return existsSync(file) ? parseBreaking(readFileSync(file, 'utf8')) : [];
}
