/** TCP ports of this machine: is one free, who holds it, which one could be had. */
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { commandLineOf } from './process.ts';

/** True when this process could listen there now. */
export function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

/** A port that nobody listened on a moment ago. */
export function findFreePort(host = '127.0.0.1'): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen({ port: 0, host }, () => {
      const address = probe.address();
      probe.close(() => (address !== null && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port'))));
    });
  });
}

/** The first free port of `from`, `from + 1`, … within `count`; any free one when all of them are taken. */
export async function firstFreePort(from: number, count: number): Promise<number> {
  for (let port = from; port < from + count && port < 65_536; port += 1) {
    if (await isPortFree(port)) return port;
  }
  return findFreePort();
}

export interface PortHolder {
  readonly pid: number | null;
  readonly command: string | null;
}

/** Who listens on a TCP port. Both members are null when the system does not tell (another user's process). */
export function holderOf(port: number): PortHolder {
  const pid = process.platform === 'linux' ? linuxHolder(port) : lsofHolder(port);
  return { pid, command: pid === null ? null : commandLineOf(pid) };
}

/** `pid 4711 (node server.js)`, for error messages. */
export function describeHolder(holder: PortHolder): string {
  if (holder.pid === null) return 'a process that this user may not see (try as root: ss -ltnp)';
  const command = holder.command ?? 'unknown command';
  return `pid ${holder.pid} (${command.length > 120 ? `${command.slice(0, 117)}...` : command})`;
}

function linuxHolder(port: number): number | null {
  const inodes = new Set<string>();
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const row of readLines(table)) {
      const fields = row.trim().split(/\s+/);
      // Column 1 is address:port in hex, column 3 the state (0A is LISTEN), column 9 the socket's inode.
      if (fields[3] !== '0A') continue;
      if (Number.parseInt(fields[1]?.split(':')[1] ?? '', 16) === port) inodes.add(`socket:[${fields[9]}]`);
    }
  }
  if (inodes.size === 0) return null;
  for (const entry of readdirSync('/proc')) {
    if (/^\d+$/.test(entry) && holdsSocket(entry, inodes)) return Number(entry);
  }
  return null;
}

function holdsSocket(pid: string, inodes: ReadonlySet<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return inodes.has(readlinkSync(`/proc/${pid}/fd/${fd}`));
      } catch {
        return false;
      }
    });
  } catch {
    return false;
  }
}

function readLines(file: string): readonly string[] {
  try {
    return readFileSync(file, 'utf8').split('\n');
  } catch {
    return [];
  }
}

function lsofHolder(port: number): number | null {
  try {
    const out = execFileSync('lsof', ['-nP', `-iTCP:${port}`, '-sTCP:LISTEN', '-t'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    const pid = Number.parseInt(out, 10);
    return Number.isSafeInteger(pid) ? pid : null;
  } catch {
    return null;
  }
}
