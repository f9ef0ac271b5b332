/**
 * The answer that holds a new key's secret can be lost on its way. A request that carried an idempotency key may be sent
 * again, and is answered with the same secret, although only the secret's hash is stored: the secret derives from the
 * node's signing key, the idempotency key and the key it belongs to. The database has a digest of the idempotency key, so
 * neither a copy of the database nor that copy together with the signing key tells a secret. A secret that was used has
 * arrived, and an old one was given up: neither is told again.
 *
 * Every repeat derives the same, so it does not matter which of several answers arrives, and none of them ends another
 * one's key; a new secret for each repeat would let a late answer end the one in use.
 */
import { createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { isOwnSecret, presentedForm } from '../auth/api-key.ts';
import type { KeyMaterial } from '../secrets/secret-box.ts';
import type { ApiKeyRecord } from './directory.ts';

/** For how long after a key was made its secret can be asked for again. */
export const REPEAT_WINDOW_MS = 3_600_000;
const SECRET_BYTES = 24;

/** One request for a key: who asked for which tenant, under which idempotency key. */
export interface SecretRequest {
  readonly tenantId: string;
  readonly issuer: string;
  readonly idempotencyKey: string;
}

export interface RepeatableSecrets {
  /** The secret half of a key that is made now. */
  derive(request: SecretRequest, keyId: string): string;
  /** What the holder of this key presents; null when it was used, is too old, or was made under a signing key that is not known any more. */
  recall(request: SecretRequest, key: ApiKeyRecord, nowMs: number): string | null;
}

/** Without key material a repeat gets its secret as long as this process lives. */
export function createRepeatableSecrets(material: KeyMaterial): RepeatableSecrets {
  const fixed = [typeof material === 'function' || material === undefined ? randomBytes(32) : material];
  const keys = (): readonly (string | Uint8Array)[] => (typeof material === 'function' ? material() : fixed);
  return {
    derive: (request, keyId) => secretUnder(keys()[0]!, request, keyId),
    recall(request, key, nowMs) {
      if (key.lastUsedAt !== null || key.revokedAt !== null || nowMs - Date.parse(key.createdAt) > REPEAT_WINDOW_MS) return null;
      const secret = keys().map((each) => secretUnder(each, request, key.keyId)).find((each) => isOwnSecret(key, each));
      return secret === undefined ? null : presentedForm(key.keyId, secret);
    },
  };
}

function secretUnder(material: string | Uint8Array, { tenantId, issuer, idempotencyKey }: SecretRequest, keyId: string): string {
  const key = Buffer.from(hkdfSync('sha256', material, 'agentos', 'secrets of api keys', 32));
  return createHmac('sha256', key).update(JSON.stringify([tenantId, issuer, idempotencyKey, keyId])).digest().subarray(0, SECRET_BYTES).toString('base64url');
}
