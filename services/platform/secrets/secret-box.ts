/**
 * Secrets that must be read back (webhook secrets, credentials of MCP servers) as they lie in a database: AES-256-GCM
 * under a key that only this node has, so that a copy of the database gives none away. The place a secret belongs to is
 * authenticated with it: a sealed text moved into another tenant's row does not open.
 *
 * The key derives (HKDF-SHA256) from AGENTOS_SIGNING_KEY. When that is replaced, what the one before it sealed is still
 * opened, in this process and wherever AGENTOS_SIGNING_KEY_PREVIOUS names it. A node that knows neither cannot open it;
 * its operator enters the secrets anew.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import { AgentOsError } from '../errors.ts';

export interface SecretBox {
  /** `place` names tenant, kind and id, e.g. `['tnt_demo', 'tool', 'tool.weather']`. */
  seal(secret: string, place: readonly string[]): string;
  /** @throws AgentOsError dependency_unavailable, not retryable, when it was sealed elsewhere or for another place. */
  open(sealed: string, place: readonly string[]): string;
}

const VERSION = 'v1';
const IV_BYTES = 12;
const TAG_BYTES = 16;

interface BoxKey {
  readonly id: string;
  readonly key: Buffer;
}

/** Signing keys, the one that seals first; asked each time, since they are replaced while a process runs. */
export type KeyMaterial = string | Uint8Array | (() => readonly (string | Uint8Array)[]) | undefined;

/** Without key material secrets live as long as this process: for stores that do as well. */
export function createSecretBox(keyMaterial: KeyMaterial): SecretBox {
  const derived = new Map<string | Uint8Array, BoxKey>();
  const fixed = [typeof keyMaterial === 'function' || keyMaterial === undefined ? randomBytes(32) : keyMaterial];
  const keys = (): readonly BoxKey[] => (typeof keyMaterial === 'function' ? keyMaterial() : fixed).map((material) => {
    let key = derived.get(material);
    if (key === undefined) derived.set(material, (key = deriveKey(material)));
    return key;
  });
  return {
    seal(secret, place) {
      const { id, key } = keys()[0]!;
      const iv = randomBytes(IV_BYTES);
      const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES }).setAAD(aadOf(place));
      const data = Buffer.concat([iv, cipher.update(secret, 'utf8'), cipher.final(), cipher.getAuthTag()]);
      return [VERSION, id, data.toString('base64url')].join('.');
    },
    open(sealed, place) {
      const [version, sealedUnder, text] = sealed.split('.');
      const data = Buffer.from(text ?? '', 'base64url');
      if (version !== VERSION || data.length < IV_BYTES + TAG_BYTES) throw unreadable('It is not in a form that this version reads.');
      const key = keys().find(({ id }) => id === sealedUnder)?.key;
      if (key === undefined) throw unreadable('It was sealed under another AGENTOS_SIGNING_KEY; set that key as AGENTOS_SIGNING_KEY_PREVIOUS, or enter the secret anew.');
      try {
        const decipher = createDecipheriv('aes-256-gcm', key, data.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES }).setAAD(aadOf(place)).setAuthTag(data.subarray(-TAG_BYTES));
        return decipher.update(data.subarray(IV_BYTES, -TAG_BYTES), undefined, 'utf8') + decipher.final('utf8');
      } catch (cause) {
        throw unreadable('It was changed, or belongs to another place.', cause);
      }
    },
  };
}

function deriveKey(material: string | Uint8Array): BoxKey {
  const key = Buffer.from(hkdfSync('sha256', material, 'agentos', 'secrets at rest', 32));
  return { key, id: createHash('sha256').update(key).digest('hex').slice(0, 8) };
}

const aadOf = (place: readonly string[]): Buffer => Buffer.from(JSON.stringify(place));

const unreadable = (why: string, cause?: unknown): AgentOsError =>
  new AgentOsError('dependency_unavailable', { message: `A stored secret cannot be read. ${why}`, retryable: false, details: { service: 'secrets', reason: 'secret_unreadable' }, cause });
