/** The whole contract at one moment: as the specs say it now, as a release froze it, or as it was at a commit. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { $ } from 'zx';
import { type Access, readAccess } from './access.ts';
import { bundle, type Bundles } from './bundle.ts';
import { type ErrorCodeRow, readErrorCodes } from './error-codes.ts';
import { type EventTypeRow, readEventTypes } from './event-types.ts';
import { repositoryRoot, specsFolder } from './paths.ts';
import { readSchemaLibrary, type SchemaLibrary } from './schema-library.ts';

export interface Contract {
  /** For messages, e.g. `release v1.02.0-alpha.1` or `commit 1a2b3c4`. */
  readonly label: string;
  readonly openapi: Bundles;
  readonly schemas: SchemaLibrary;
  readonly errorCodes: Readonly<Record<string, ErrorCodeRow>>;
  readonly eventTypes: readonly EventTypeRow[];
  readonly access: Access;
}

export async function readContract(folder = specsFolder, label = 'specs/'): Promise<Contract> {
  return {
    label,
    openapi: await bundle(folder),
    schemas: readSchemaLibrary(folder),
    errorCodes: readErrorCodes(folder),
    eventTypes: readEventTypes(folder),
    access: readAccess(folder),
  };
}

/** What git says, or null when it refuses. */
function git(...args: string[]): string | null {
  const { exitCode, stdout } = $.sync({ cwd: repositoryRoot, nothrow: true, quiet: true })`git ${args}`;
  return exitCode === 0 ? stdout.trim() : null;
}

/** The commit where this line of work left the main line, or why there is none. */
export function findMergeBase(): { readonly commit: string } | { readonly reason: string } {
  if (git('rev-parse', '--verify', 'HEAD') === null) return { reason: 'this repository has no commit yet' };
  for (const branch of ['origin/main', 'main']) {
    const commit = git('merge-base', 'HEAD', branch);
    if (commit !== null && commit !== '') return { commit };
  }
  if (git('rev-parse', '--is-shallow-repository') === 'true') return { reason: 'this is a shallow clone; git fetch --unshallow brings the history' };
  return { reason: 'neither origin/main nor main exists or shares history with HEAD' };
}

/** Calls `use` with a temporary copy of `specs/` as it was at a commit; null when the commit has none. */
export async function withSpecsAt<T>(commit: string, use: (specs: string) => Promise<T>): Promise<T | null> {
  if (git('cat-file', '-e', `${commit}:specs/openapi`) === null) return null;
  const folder = mkdtempSync(join(tmpdir(), 'agentos-specs-'));
  try {
    // The documents take their version from package.json.
    await $({ cwd: repositoryRoot, quiet: true })`git archive --format=tar ${commit} specs package.json | tar -x -C ${folder}`;
    return await use(join(folder, 'specs'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Whether a path is part of the last commit. */
export function isCommitted(path: string): boolean {
  return git('cat-file', '-e', `HEAD:${path}`) !== null;
}
