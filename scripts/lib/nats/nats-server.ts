/**
 * Where the NATS server's program lies. The platform does not bring NATS along: it is an option for nodes of many
 * processes, and those name a server of their own. Tests need a real one, so what is missing is fetched here: Debian's
 * package is downloaded and unpacked into a cache folder, which changes nothing on the system and starts no service.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { CliError, EXIT } from '../errors.ts';
import { runCommand, type CommandResult } from '../process.ts';

const CACHE = path.join(fileURLToPath(new URL('../../..', import.meta.url)), 'node_modules', '.cache', 'agentos', 'nats-server');
const PLACES = ['/usr/sbin/nats-server', '/usr/local/bin/nats-server', '/usr/bin/nats-server'];

/** The program's path; null when it is neither installed nor cached. */
export function findNatsServer(): string | null {
  const named = (process.env['PATH'] ?? '').split(path.delimiter).map((folder) => path.join(folder, 'nats-server'));
  return [...named, ...PLACES, programIn(CACHE)].find((file) => existsSync(file)) ?? null;
}

/** The program's path, after fetching Debian's package when there is none. @throws CliError that says what apt said. */
export async function ensureNatsServer(): Promise<string> {
  const found = findNatsServer();
  if (found !== null) return found;
  mkdirSync(path.dirname(CACHE), { recursive: true });
  const folder = mkdtempSync(path.join(path.dirname(CACHE), 'nats-server-'));
  try {
    const downloaded = await download(folder);
    const archive = readdirSync(folder).find((file) => file.endsWith('.deb'));
    if (archive === undefined) throw missing('apt-get could not download nats-server', downloaded);
    const unpacked = await runCommand('dpkg-deb', ['-x', path.join(folder, archive), path.join(folder, 'root')], { timeoutMs: 60_000 });
    if (unpacked.code !== 0) throw missing('dpkg-deb could not unpack nats-server', unpacked);
    try {
      renameSync(path.join(folder, 'root'), CACHE);
    } catch (error) {
      // Another test process was quicker.
      if (!existsSync(programIn(CACHE))) throw error;
    }
    return programIn(CACHE);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const programIn = (folder: string): string => path.join(folder, 'usr', 'sbin', 'nats-server');

/** A fresh machine has no package lists; fetching them needs root, downloading does not. */
async function download(folder: string): Promise<CommandResult> {
  const get = (): Promise<CommandResult> => runCommand('apt-get', ['-q', 'download', 'nats-server'], { cwd: folder, timeoutMs: 60_000 });
  const first = await get();
  if (first.code === 0 || process.getuid?.() !== 0) return first;
  const updated = await runCommand('apt-get', ['-q', 'update'], { timeoutMs: 120_000 });
  return updated.code === 0 ? get() : updated;
}

function missing(what: string, result: CommandResult): CliError {
  const said = `${result.stderr}\n${result.stdout}`.trim().split('\n').slice(-5);
  return new CliError(what, { exitCode: EXIT.dependency, evidence: said, next: 'apt-get install nats-server   (or put nats-server on the PATH)' });
}
