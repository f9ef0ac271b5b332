/**
 * Where the NATS server's program lies. The platform does not bring NATS along: it is an option for nodes of many
 * processes, and those name a server of their own. Tests need a real one, so what is missing is taken from Debian.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { debianFolder, ensureDebianPackage } from '../debian-package.ts';

const PLACES = ['/usr/sbin/nats-server', '/usr/local/bin/nats-server', '/usr/bin/nats-server'];

/** The program's path; null when it is neither installed nor cached. */
function findNatsServer(): string | null {
  const named = (process.env['PATH'] ?? '').split(path.delimiter).map((folder) => path.join(folder, 'nats-server'));
  return [...named, ...PLACES, programIn(debianFolder('nats-server'))].find((file) => existsSync(file)) ?? null;
}

/** The program's path, after fetching Debian's package when there is none. @throws CliError that says what apt said. */
export async function ensureNatsServer(): Promise<string> {
  return findNatsServer() ?? programIn(await ensureDebianPackage('nats-server'));
}

const programIn = (folder: string): string => path.join(folder, 'usr', 'sbin', 'nats-server');
