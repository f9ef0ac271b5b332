/** Where the clone begins and which version it is, from source and from dist alike. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const PACKAGE = '@nexixai/agentos';

interface Manifest {
  readonly name?: string;
  readonly version?: string;
}

function readManifest(folder: string): Manifest | null {
  const file = path.join(folder, 'package.json');
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Manifest) : null;
}

function findRoot(): string {
  let folder = path.dirname(fileURLToPath(import.meta.url));
  while (readManifest(folder)?.name !== PACKAGE) {
    const parent = path.dirname(folder);
    if (parent === folder) throw new Error(`no package.json of ${PACKAGE} above ${fileURLToPath(import.meta.url)}`);
    folder = parent;
  }
  return folder;
}

/** The folder that holds package.json, specs/ and dist/. */
export const repositoryRoot = findRoot();

export const agentosVersion = readManifest(repositoryRoot)?.version ?? 'unknown';
