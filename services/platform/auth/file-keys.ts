/** The keys of an issuer as a JWKS file, for nodes without a way to it, and for the issuer of the node itself. */
import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import { followFile } from '../config/followed-file.ts';
import { KeyRing, parseJwks, type KeySource } from './issuer-keys.ts';

/** @throws Error for a file that cannot be used; later changes that cannot be used are logged and change nothing. */
export function fileKeys(path: string, log: Logger | null): KeySource {
  const ring = new KeyRing();
  const text = readFileSync(path, 'utf8');
  ring.use(parseJwks(text));
  const followed = followFile(path, text, (changed) => {
    try {
      ring.use(parseJwks(changed));
      log?.info({ path, keys: ring.size }, 'A JWKS file was read again.');
    } catch (error) {
      log?.warn({ path, err: error }, 'A JWKS file was changed into something that cannot be used; its former keys go on.');
    }
  });
  return {
    find: async (kid, alg) => (kid === undefined ? null : ring.find(kid, alg)),
    isFresh: () => true,
    state: () => null,
    refresh: async () => undefined,
    close: async () => followed.close(),
  };
}
