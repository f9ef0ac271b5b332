/** Which build runs, and where its package begins; the same from source and from the bundles in dist/. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

function findPackageRoot(): string {
  let folder = path.dirname(fileURLToPath(import.meta.url));
  while (!existsSync(path.join(folder, 'package.json'))) {
    const parent = path.dirname(folder);
    if (parent === folder) throw new Error(`There is no package.json above ${fileURLToPath(import.meta.url)}.`);
    folder = parent;
  }
  return folder;
}

/** The folder that holds package.json, generated/ and dist/. */
const packageRoot = findPackageRoot();

/** The version of the package, which is the one version of a release: v1.02 is `1.0.2` (C-77). */
export const SERVICE_VERSION = (JSON.parse(readFileSync(path.join(packageRoot, 'package.json'), 'utf8')) as { version: string }).version;

/** The bundled contract of a service, for the referee. */
export function openapiPathOf(service: string): string {
  return path.join(packageRoot, 'generated', 'openapi', `${service}.json`);
}

/** When the program that runs was written, RFC 3339. */
export function programTimestamp(): string {
  return statSync(fileURLToPath(import.meta.url)).mtime.toISOString();
}
