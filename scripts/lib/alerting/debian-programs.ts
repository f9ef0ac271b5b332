/**
 * Where Prometheus and what belongs to it lie. AgentOS does not bring them along. What is missing is fetched from Debian
 * when it is needed: the package is downloaded and unpacked into a cache folder, which changes nothing on the system,
 * starts no service and needs no root. Elsewhere, put the programs on the PATH.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { CliError, EXIT } from '../errors.ts';
import { runCommand, type CommandResult } from '../process.ts';
import { repositoryRoot } from '../repository.ts';

/** Debian's package, and what the program is called there and elsewhere. */
const PROGRAMS = {
  prometheus: { package: 'prometheus', names: ['prometheus'] },
  promtool: { package: 'prometheus', names: ['promtool'] },
  alertmanager: { package: 'prometheus-alertmanager', names: ['prometheus-alertmanager', 'alertmanager'] },
  amtool: { package: 'prometheus-alertmanager', names: ['amtool'] },
  blackbox: { package: 'prometheus-blackbox-exporter', names: ['prometheus-blackbox-exporter', 'blackbox_exporter'] },
  'node-exporter': { package: 'prometheus-node-exporter', names: ['prometheus-node-exporter', 'node_exporter'] },
} as const;

export type ProgramName = keyof typeof PROGRAMS;

const CACHE = path.join(repositoryRoot, 'node_modules', '.cache', 'agentos', 'observability');

/** The program's path; null when it is neither on the PATH nor fetched before. */
export function findProgram(name: ProgramName): string | null {
  const { package: from, names } = PROGRAMS[name];
  const folders = [...(process.env['PATH'] ?? '').split(path.delimiter), '/usr/bin', '/usr/local/bin', path.join(CACHE, from, 'usr', 'bin')];
  return folders.flatMap((folder) => names.map((each) => path.join(folder, each))).find((file) => existsSync(file)) ?? null;
}

/** The program's path, after fetching it when there is none. @throws CliError dependency that says what apt said. */
export async function ensureProgram(name: ProgramName): Promise<string> {
  const found = findProgram(name);
  if (found !== null) return found;
  const { package: wanted } = PROGRAMS[name];
  mkdirSync(CACHE, { recursive: true });
  const folder = mkdtempSync(path.join(CACHE, 'fetch-'));
  try {
    const downloaded = await download(wanted, folder);
    const archive = readdirSync(folder).find((file) => file.endsWith('.deb'));
    if (archive === undefined) throw missing(`${wanted} is not installed, and apt-get could not download it`, wanted, downloaded);
    const unpacked = await runCommand('dpkg-deb', ['-x', path.join(folder, archive), path.join(folder, 'root')], { timeoutMs: 120_000 });
    if (unpacked.code !== 0) throw missing(`dpkg-deb could not unpack ${wanted}`, wanted, unpacked);
    try {
      renameSync(path.join(folder, 'root'), path.join(CACHE, wanted));
    } catch (error) {
      // Somebody else was quicker.
      if (findProgram(name) === null) throw error;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return findProgram(name)!;
}

/** A fresh machine has no package lists; fetching them needs root, downloading does not. */
async function download(wanted: string, folder: string): Promise<CommandResult> {
  const get = (): Promise<CommandResult> => runCommand('apt-get', ['-q', 'download', wanted], { cwd: folder, timeoutMs: 120_000 });
  const first = await get();
  if (first.code === 0 || process.getuid?.() !== 0) return first;
  const updated = await runCommand('apt-get', ['-q', 'update'], { timeoutMs: 120_000 });
  return updated.code === 0 ? get() : updated;
}

function missing(what: string, wanted: string, result: CommandResult): CliError {
  const said = `${result.stderr}\n${result.stdout}`.trim().split('\n').slice(-5);
  return new CliError(what, { exitCode: EXIT.dependency, evidence: said, next: `apt-get install ${wanted}   (or put the program on the PATH)` });
}
