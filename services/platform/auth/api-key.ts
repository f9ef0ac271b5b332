/**
 * API keys: `aos_live_<26 characters of the key id>_<192 random bits>`. The first half finds the record, the second
 * half proves the right to it; only its SHA-256 is stored, compared in constant time, and it is shown once.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { newId } from '../ids.ts';
import type { ApiKeyRecord } from '../tenancy/directory.ts';

export interface NewApiKey {
  /** What the caller presents. Shown once. */
  readonly secret: string;
  readonly record: ApiKeyRecord;
}

export type ApiKeyGrant = Pick<ApiKeyRecord, 'tenantId' | 'principalId' | 'principalType' | 'scopes' | 'roles'> & {
  readonly name?: string | null;
  readonly createdBy?: string | null;
  readonly expiresAt?: string | null;
};

/** What of a key may be shown to tell it from others: of the presented form, the first fourteen characters. */
export function keyPrefix(keyId: string): string {
  return `aos_live_${keyId.slice('key_'.length)}`.slice(0, 14);
}

const PRESENTED = /^aos_live_([0-9A-HJKMNP-TV-Z]{26})_([A-Za-z0-9_-]{32})$/;

/** What a key's holder presents. */
export function presentedForm(keyId: string, secretPart: string): string {
  return `aos_live_${keyId.slice('key_'.length)}_${secretPart}`;
}

/**
 * Makes a key; store `record` with DirectoryPort.issueApiKey or putApiKey.
 * @param secretOf the secret half, 32 characters of base64url, for a key that must be able to be made again; by chance where it is left out.
 */
export function createApiKey(grant: ApiKeyGrant, secretOf: (keyId: string) => string = () => randomBytes(24).toString('base64url')): NewApiKey {
  const keyId = newId('key');
  const secretPart = secretOf(keyId);
  return {
    secret: presentedForm(keyId, secretPart),
    record: {
      keyId,
      tenantId: grant.tenantId,
      principalId: grant.principalId,
      principalType: grant.principalType,
      name: grant.name ?? null,
      scopes: grant.scopes,
      roles: grant.roles,
      secretHash: hashSecret(secretPart),
      createdAt: new Date().toISOString(),
      createdBy: grant.createdBy ?? null,
      expiresAt: grant.expiresAt ?? null,
      revokedAt: null,
      lastUsedAt: null,
      replacedBy: null,
    },
  };
}

/** True for what claims to be a key, right or wrong. */
export function looksLikeApiKey(presented: string): boolean {
  return presented.startsWith('aos_');
}

/** The two halves, or null when it is not shaped like a key. */
export function parseApiKey(presented: string): { readonly keyId: string; readonly secret: string } | null {
  const match = PRESENTED.exec(presented);
  return match === null ? null : { keyId: `key_${match[1]!}`, secret: match[2]! };
}

/** True when the secret is the key's own and the key is neither expired nor revoked. */
export function isValidApiKey(record: ApiKeyRecord, secret: string, nowMs: number): boolean {
  const same = isOwnSecret(record, secret);
  const expired = record.expiresAt !== null && Date.parse(record.expiresAt) <= nowMs;
  return same && !expired && record.revokedAt === null;
}

/**
 * By record, the secret that was found to be its own, so that a caller's next request costs a comparison and no hash.
 * Records are read anew within a second, and what was proven goes with them.
 */
const proven = new WeakMap<ApiKeyRecord, Buffer>();

/** True when this is the secret half of the key, whatever the key's state. */
export function isOwnSecret(record: ApiKeyRecord, secret: string): boolean {
  const presented = Buffer.from(secret);
  const known = proven.get(record);
  if (known !== undefined && known.length === presented.length && timingSafeEqual(known, presented)) return true;
  const expected = Buffer.from(record.secretHash, 'hex');
  const actual = createHash('sha256').update(presented).digest();
  const same = expected.length === actual.length && timingSafeEqual(expected, actual);
  if (same) proven.set(record, presented);
  return same;
}

function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
