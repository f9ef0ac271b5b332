/** The key that signs checkpoints: a PEM file of mode 600, made where there is none. Its public half lies beside the checkpoints, for auditors. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync, linkSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { ConfigError } from '../config/load.ts';

/** @throws ConfigError when the file is no Ed25519 key, or others may read it. */
export function openAuditKey(path: string): KeyObject {
  if (!existsSync(path)) makeKey(path);
  if ((statSync(path).mode & 0o077) !== 0) throw new ConfigError('AGENTOS_AUDIT_KEY_FILE', `${path} may be read by others; whoever has this key can attest a false audit log. Run: chmod 600 ${path}`);
  return readKey(path, createPrivateKey);
}

/** Private or public: what verification needs. @throws ConfigError. */
export function readAuditPublicKey(path: string): KeyObject {
  return readKey(path, (pem) => createPublicKey(pem));
}

function readKey(path: string, parse: (pem: string) => KeyObject): KeyObject {
  let key: KeyObject;
  try {
    key = parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new ConfigError('AGENTOS_AUDIT_KEY_FILE', `${path} holds no key that can be read: ${(error as Error).message}. Make one with: openssl genpkey -algorithm ed25519 -out ${path}`);
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new ConfigError('AGENTOS_AUDIT_KEY_FILE', `${path} is a key of type ${key.asymmetricKeyType}; checkpoints are signed with ed25519.`);
  return key;
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

export function publishAuditKey(key: KeyObject, path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(path, createPublicKey(key).export({ type: 'spki', format: 'pem' }));
}
