/**
 * The key that signs checkpoints: the first in a PEM file of mode 600, made where there is none. Behind it stand the public
 * halves of those that signed before it, which still verify what they signed. The public halves of all of them lie beside
 * the checkpoints, for auditors.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync, linkSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { ConfigError } from '../config/load.ts';
import { openMode } from '../config/secret-files.ts';
import { checkpointKeyId } from './checkpoint.ts';

const PEM = /-----BEGIN ([A-Z ]+)-----[\s\S]+?-----END \1-----/g;

/** @throws ConfigError when the file is no Ed25519 key, or others may read it; what Docker and Kubernetes mount is theirs to guard. */
export function openAuditKey(path: string): KeyObject {
  if (!existsSync(path)) makeKey(path);
  if (openMode(path) !== null) throw new ConfigError('AGENTOS_AUDIT_KEY_FILE', `${path} may be read by others; whoever has this key can attest a false audit log. Run: chmod 600 ${path}`);
  return readKeys(path, ([first]) => [createPrivateKey(first ?? '')])[0]!;
}

/** The public halves of all keys in a file of private or public ones: what verification needs. @throws ConfigError. */
export function readAuditPublicKeys(path: string): readonly KeyObject[] {
  return readKeys(path, (blocks) => (blocks.length === 0 ? [''] : blocks).map((pem) => createPublicKey(pem)));
}

function readKeys(path: string, parse: (pemBlocks: readonly string[]) => readonly KeyObject[]): readonly KeyObject[] {
  let keys: readonly KeyObject[];
  try {
    keys = parse(readFileSync(path, 'utf8').match(PEM) ?? []);
  } catch (error) {
    throw new ConfigError('AGENTOS_AUDIT_KEY_FILE', `${path} holds no key that can be read: ${(error as Error).message}. Make one with: openssl genpkey -algorithm ed25519 -out ${path}`);
  }
  const other = keys.find((key) => key.asymmetricKeyType !== 'ed25519');
  if (other !== undefined) throw new ConfigError('AGENTOS_AUDIT_KEY_FILE', `${path} holds a key of type ${other.asymmetricKeyType}; checkpoints are signed with ed25519.`);
  return keys;
}

/**
 * A new key in front of the earlier ones, of which only the public halves stay. Services sign with it once they are restarted.
 * @throws ConfigError. Answers the id of the new key.
 */
export function rotateAuditKey(path: string): string {
  openAuditKey(path);
  const earlier = readAuditPublicKeys(path);
  const { privateKey } = generateKeyPairSync('ed25519');
  replaceFile(path, `${privateKey.export({ type: 'pkcs8', format: 'pem' })}${publicPem(earlier)}`, 0o600);
  return checkpointKeyId(privateKey);
}

const publicPem = (keys: readonly KeyObject[]): string => keys.map((key) => key.export({ type: 'spki', format: 'pem' })).join('');

/** Nobody sees half of it. */
function replaceFile(path: string, text: string, mode: number): void {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, text, { mode });
  renameSync(draft, path);
}

/** Services of a node start at once: the first one's key is everybody's, and nobody sees half a file. */
function makeKey(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const { privateKey } = generateKeyPairSync('ed25519');
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  try {
    linkSync(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Writes the public halves for auditors. A key that was published once stays, even when its private file was replaced as a whole. */
export function publishAuditKeys(keyFile: string, path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const keys = [...readAuditPublicKeys(keyFile), ...(existsSync(path) ? readAuditPublicKeys(path) : [])];
  replaceFile(path, publicPem([...new Map(keys.map((key) => [checkpointKeyId(key), key])).values()]), 0o644);
}
