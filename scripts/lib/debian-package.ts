/**
 * A program out of one of Debian's packages, without installing it: the package is downloaded and unpacked into a cache
 * folder, which changes nothing on the system and starts no service.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { ProcessOutput, Shell } from 'zx';
import { CliError, EXIT } from './errors.ts';
import { repositoryRoot } from './repository.ts';

const CACHE = path.join(repositoryRoot, 'node_modules', '.cache', 'agentos', 'debian');
const TIMEOUT = '120s';

/** Where the package of this name is unpacked, or would be. */
export const debianFolder = (name: string): string => path.join(CACHE, name);

/** Downloads and unpacks the package unless that was done before; answers its folder. @throws CliError dependency that says what apt said. */
export async function ensureDebianPackage(name: string): Promise<string> {
  const target = debianFolder(name);
  if (existsSync(target)) return target;
  // A quarter of a second to load, and hardly ever needed.
  const { $ } = await import('zx');
  mkdirSync(CACHE, { recursive: true });
  const folder = mkdtempSync(path.join(CACHE, 'fetch-'));
  const shell = $({ cwd: folder, nothrow: true, quiet: true, timeout: TIMEOUT });
  try {
    const downloaded = await download(shell, name);
    const archive = readdirSync(folder).find((file) => file.endsWith('.deb'));
    if (archive === undefined) throw missing(`${name} is not installed, and apt-get could not download it`, name, downloaded);
    const unpacked = await shell`dpkg-deb -x ${archive} root`;
    if (unpacked.exitCode !== 0) throw missing(`dpkg-deb could not unpack ${name}`, name, unpacked);
    try {
      renameSync(path.join(folder, 'root'), target);
    } catch (error) {
      // Somebody else was quicker.
      if (!existsSync(target)) throw error;
    }
    return target;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A fresh machine has no package lists; fetching them needs root, downloading does not. */
async function download(shell: Shell, name: string): Promise<ProcessOutput> {
  const first = await shell`apt-get -q download ${name}`;
  if (first.exitCode === 0 || process.getuid?.() !== 0) return first;
  const updated = await shell`apt-get -q update`;
  return updated.exitCode === 0 ? shell`apt-get -q download ${name}` : updated;
}

function missing(what: string, name: string, { stdout, stderr }: ProcessOutput): CliError {
  const said = `${stderr}\n${stdout}`.trim().split('\n').slice(-5);
  return new CliError(what, { exitCode: EXIT.dependency, evidence: said, next: `apt-get install ${name}   (or put the program on the PATH)` });
}
