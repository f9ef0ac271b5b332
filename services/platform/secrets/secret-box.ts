/**
 * Secrets that must be read back (webhook secrets, credentials of MCP servers) as they lie in a database: AES-256-GCM
 * under a key that only this node has, so that a copy of the database gives none away. The place a secret belongs to is
 * authenticated with it: a sealed text moved into another tenant's row does not open.
 *
 * The key derives (HKDF-SHA256) from AGENTOS_SIGNING_KEY. A node with another signing key cannot open what this one
 * sealed; its operator enters the secrets anew.
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

/** `keyMaterial` is the signing key. Without one, secrets live as long as this process: for stores that do as well. */
export function createSecretBox(keyMaterial: string | Uint8Array | undefined): SecretBox {
  const key = Buffer.from(hkdfSync('sha256', keyMaterial ?? randomBytes(32), 'agentos', 'secrets at rest', 32));
  const keyId = createHash('sha256').update(key).digest('hex').slice(0, 8);
  return {
    seal(secret, place) {
      const iv = randomBytes(IV_BYTES);
      const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES }).setAAD(aadOf(place));
      const data = Buffer.concat([iv, cipher.update(secret, 'utf8'), cipher.final(), cipher.getAuthTag()]);
      return [VERSION, keyId, data.toString('base64url')].join('.');
    },
    open(sealed, place) {
      const [version, sealedUnder, text] = sealed.split('.');
      const data = Buffer.from(text ?? '', 'base64url');
      if (version !== VERSION || data.length < IV_BYTES + TAG_BYTES) throw unreadable('It is not in a form that this version reads.');
      if (sealedUnder !== keyId) throw unreadable('It was sealed under another AGENTOS_SIGNING_KEY; set that key again, or enter the secret anew.');
      try {
        const decipher = createDecipheriv('aes-256-gcm', key, data.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES }).setAAD(aadOf(place)).setAuthTag(data.subarray(-TAG_BYTES));
        return decipher.update(data.subarray(IV_BYTES, -TAG_BYTES), undefined, 'utf8') + decipher.final('utf8');
      } catch (cause) {
        throw unreadable('It was changed, or belongs to another place.', cause);
      }
    },
  };
}

const aadOf = (place: readonly string[]): Buffer => Buffer.from(JSON.stringify(place));

const unreadable = (why: string, cause?: unknown): AgentOsError =>
  new AgentOsError('dependency_unavailable', { message: `A stored secret cannot be read. ${why}`, retryable: false, details: { service: 'secrets', reason: 'secret_unreadable' }, cause });
