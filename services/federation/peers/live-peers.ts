/**
 * The peers file as it is now: who is added, taken out or trusted with other tenants counts without a restart. What the
 * file says of this node itself (`local`) is taken at the start alone, since certificates and keys of stored work have
 * the stack id in them.
 */
import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import { followFile } from '../../platform/config/followed-file.ts';
import { ConfigError } from '../../platform/config/load.ts';
import { NO_PEERS, parsePeersFile, PeersFileError, type PeersFile } from './peers-file.ts';

export interface LivePeers {
  current(): PeersFile;
  close(): void;
}

/** @throws ConfigError that names the file and the place in it. */
export function openPeers(path: string | undefined, log: Logger): LivePeers {
  if (path === undefined) return { current: () => NO_PEERS, close: () => undefined };
  const { text, file } = read(path);
  let current = file;
  const followed = followFile(path, text, (next) => {
    try {
      current = parsePeersFile(next);
      log.info({ file: path, peers: current.peers.map((peer) => peer.stack_id) }, 'The peers file was read again.');
    } catch (error) {
      log.warn({ file: path }, `AGENTOS_PEERS_FILE ${path}: ${(error as Error).message}. The peers from before stay.`);
    }
  });
  return { current: () => current, close: followed.close };
}

function read(path: string): { readonly text: string; readonly file: PeersFile } {
  try {
    const text = readFileSync(path, 'utf8');
    return { text, file: parsePeersFile(text) };
  } catch (error) {
    if (error instanceof PeersFileError) throw new ConfigError('AGENTOS_PEERS_FILE', `AGENTOS_PEERS_FILE ${path}: ${error.message}.`);
    throw new ConfigError('AGENTOS_PEERS_FILE', `AGENTOS_PEERS_FILE ${path} cannot be read: ${(error as Error).message}.`);
  }
}
