/**
 * Where Prometheus and what belongs to it lie. AgentOS does not bring them along: what is missing is taken from Debian
 * when it is needed. Elsewhere, put the programs on the PATH.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { debianFolder, ensureDebianPackage } from '../debian-package.ts';

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

/** The program's path; null when it is neither on the PATH nor fetched before. */
function findProgram(name: ProgramName): string | null {
  const { package: from, names } = PROGRAMS[name];
  const folders = [...(process.env['PATH'] ?? '').split(path.delimiter), '/usr/bin', '/usr/local/bin', path.join(debianFolder(from), 'usr', 'bin')];
  return folders.flatMap((folder) => names.map((each) => path.join(folder, each))).find((file) => existsSync(file)) ?? null;
}

/** The program's path, after fetching it when there is none. @throws CliError dependency that says what apt said. */
export async function ensureProgram(name: ProgramName): Promise<string> {
  const found = findProgram(name);
  if (found !== null) return found;
  await ensureDebianPackage(PROGRAMS[name].package);
  return findProgram(name)!;
}
