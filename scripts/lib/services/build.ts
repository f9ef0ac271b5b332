/** What a service is started from: the built program, or the source where nothing has been built. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { repositoryRoot } from '../repository.ts';
import type { ServiceName } from './catalog.ts';

export interface ServiceProgram {
  /** Arguments of node. */
  readonly args: readonly string[];
  /** Stands in the command line of the service's process and of no other. */
  readonly mark: string;
  /** Changes whenever the program does. */
  readonly buildId: string;
  readonly fromSource: boolean;
}

export function programOf(name: ServiceName): ServiceProgram {
  const built = path.join(repositoryRoot, 'dist', 'services', name, 'main.js');
  if (existsSync(built)) {
    // Names of shared chunks carry their own hash, so the entry changes whenever anything below it does.
    return { args: ['--enable-source-maps', built], mark: built, buildId: sha256(readFileSync(built)), fromSource: false };
  }
  const source = path.join(repositoryRoot, 'services', name, 'main.ts');
  return { args: ['--import', 'tsx', source], mark: source, buildId: sourceId(['services', 'generated']), fromSource: true };
}

/** True when a source file is newer than the build, so that what runs is not what is written. */
export function buildIsStale(): boolean {
  const built = path.join(repositoryRoot, 'dist', 'scripts', 'agentos.js');
  if (!existsSync(built)) return false;
  const builtAt = statSync(built).mtimeMs;
  return sourceFiles(['services', 'generated', 'scripts', 'sdk/src']).some((file) => statSync(file).mtimeMs > builtAt);
}

function sourceId(folders: readonly string[]): string {
  const hash = createHash('sha256');
  for (const file of sourceFiles(folders)) {
    const stat = statSync(file);
    hash.update(`${file}\0${stat.mtimeMs}\0${stat.size}\n`);
  }
  return hash.digest('hex');
}

function sourceFiles(folders: readonly string[]): readonly string[] {
  return folders.flatMap((folder) => {
    const full = path.join(repositoryRoot, folder);
    if (!existsSync(full)) return [];
    return (readdirSync(full, { recursive: true }) as string[])
      .filter((file) => /\.(ts|js|json)$/.test(file) && !file.endsWith('.test.ts') && !file.includes('node_modules'))
      .sort()
      .map((file) => path.join(full, file));
  });
}

export function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}
