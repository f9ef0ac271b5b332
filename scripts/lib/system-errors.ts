/** What the operating system refuses, said so that a person can act on it. */
import { userInfo } from 'node:os';
import { CliError, EXIT } from './errors.ts';

/** null for anything that is no such refusal. */
export function systemError(cause: unknown): CliError | null {
  const { code, path, syscall } = cause as NodeJS.ErrnoException;
  if (code === undefined || path === undefined) return null;
  const evidence = [`${syscall ?? 'access'}: ${code}${code === 'EACCES' || code === 'EPERM' ? `, as ${whoAmI()}` : ''}`];
  const elsewhere = 'AGENTOS_HOME=<folder> is another state folder, AGENTOS_REPORTS_DIR=<folder> another one of reports';
  if (code === 'EACCES' || code === 'EPERM') {
    return new CliError(`${path} may not be ${syscall === 'open' ? 'opened' : 'used'} by this user`, { exitCode: EXIT.configuration, evidence, next: `give this user the right to it, or choose another place: ${elsewhere}`, cause });
  }
  if (code === 'EROFS') return new CliError(`${path} lies on a file system that is mounted read-only`, { exitCode: EXIT.configuration, evidence, next: `choose another place: ${elsewhere}`, cause });
  if (code === 'ENOSPC' || code === 'EDQUOT') return new CliError(`there is no room left for ${path}`, { exitCode: EXIT.dependency, evidence, next: `make room (df -h and df -i say how much there is), then run the same command again`, cause });
  if (code === 'ENOTDIR' || code === 'EEXIST') return new CliError(`${path} should be a folder, and something else is in its place`, { exitCode: EXIT.configuration, evidence, next: `move that away, or choose another place: ${elsewhere}`, cause });
  return null;
}

function whoAmI(): string {
  const { uid, username } = userInfo();
  return `${username} (uid ${uid})`;
}
