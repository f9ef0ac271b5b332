/** API keys of a tenant: the rules, over the directory. Serves operators and the tenant's own administrators alike. */
import { createHash } from 'node:crypto';
import { createApiKey } from '../auth/api-key.ts';
import { AgentOsError } from '../errors.ts';
import type { ApiKeyWrite } from '../../../generated/types/index.ts';
import type { AuthContext } from './auth-context.ts';
import type { ApiKeyRecord, DirectoryPort, Page } from './directory.ts';
import { invalidMember, judgeHanding, judgeKeyGrant, judgeRevoking } from './grants.ts';

const SECOND_MS = 1_000;
const DAY_MS = 86_400_000;
const DEFAULT_OVERLAP_SECONDS = 3_600;

export interface IssuedKey {
  readonly key: ApiKeyRecord;
  /** What its holder sends. Here once and nowhere else; null in the answer to a repeated request. */
  readonly secret: string | null;
}

export interface Keys {
  list(auth: AuthContext, tenantId: string, page: Page & { readonly principalId?: string | undefined }): Promise<{ readonly keys: readonly ApiKeyRecord[]; readonly hasMore: boolean }>;
  /** @throws AgentOsError invalid_request, forbidden; conflict for another request under the same idempotency key. */
  issue(auth: AuthContext, tenantId: string, write: ApiKeyWrite, idempotencyKey: string | null): Promise<IssuedKey>;
  /** A new key in place of one that stays good for a while. @throws AgentOsError not_found, forbidden; invalid_state_transition for a key that is no longer good, or was replaced already. */
  rotate(auth: AuthContext, tenantId: string, keyId: string, overlapSeconds?: number): Promise<IssuedKey>;
  /** @throws AgentOsError not_found, forbidden. */
  revoke(auth: AuthContext, tenantId: string, keyId: string): Promise<ApiKeyRecord>;
}

export function createKeys(directory: DirectoryPort, now: () => number = Date.now): Keys {
  return {
    list: (auth, tenantId, page) => directory.listApiKeys(auth, tenantId, page),

    async issue(auth, tenantId, write, idempotencyKey) {
      const expiresAt = expiryOf(write, now());
      let secret = '';
      const idempotency = idempotencyKey === null ? null : { key: idempotencyKey, requestHash: hashOf(write) };
      try {
        const { key, replayed } = await directory.issueApiKey(auth, tenantId, write.principal_id, (principal) => {
          const grant = judgeKeyGrant(auth, principal, write);
          const made = createApiKey({ tenantId, principalId: principal.principalId, principalType: principal.principalType, name: write.name ?? null, ...grant, createdBy: auth.principal.principal_id, expiresAt });
          secret = made.secret;
          return made.record;
        }, idempotency);
        return { key, secret: replayed ? null : secret };
      } catch (error) {
        // The principal is named by the body, so that there is none is a fault of the body.
        if (error instanceof AgentOsError && error.code === 'not_found' && error.details['principal_id'] !== undefined) throw invalidMember('/principal_id', error.message);
        throw error;
      }
    },

    async rotate(auth, tenantId, keyId, overlapSeconds = DEFAULT_OVERLAP_SECONDS) {
      let secret = '';
      const { key } = await directory.rotateApiKey(auth, tenantId, keyId, (current) => {
        judgeHanding(auth, current);
        requireRotatable(current, now());
        const { principalId, principalType, name, scopes, roles } = current;
        const made = createApiKey({ tenantId, principalId, principalType, name, scopes, roles, createdBy: auth.principal.principal_id, expiresAt: renewedExpiry(current, now()) });
        secret = made.secret;
        return { replacement: made.record, oldExpiresAt: earlier(current.expiresAt, now() + overlapSeconds * SECOND_MS) };
      });
      return { key, secret };
    },

    revoke: (auth, tenantId, keyId) => directory.revokeApiKey(auth, tenantId, keyId, (current) => judgeRevoking(auth, current)),
  };
}

export type KeyStatus = 'active' | 'expired' | 'revoked';

export function keyStatus(key: Pick<ApiKeyRecord, 'expiresAt' | 'revokedAt'>, nowMs: number): KeyStatus {
  if (key.revokedAt !== null) return 'revoked';
  return key.expiresAt !== null && Date.parse(key.expiresAt) <= nowMs ? 'expired' : 'active';
}

function requireRotatable(key: ApiKeyRecord, nowMs: number): void {
  const status = keyStatus(key, nowMs);
  if (status !== 'active') {
    throw new AgentOsError('invalid_state_transition', { message: `The key ${key.keyId} is ${status} and cannot be rotated. Issue a new one.`, details: { reason: `key_${status}`, key_id: key.keyId } });
  }
  if (key.replacedBy !== null) {
    throw new AgentOsError('invalid_state_transition', {
      message: `The key ${key.keyId} was replaced by ${key.replacedBy} already; it is good until ${key.expiresAt}.`,
      details: { reason: 'key_replaced', key_id: key.keyId, replaced_by: key.replacedBy },
    });
  }
}

function expiryOf({ expires_at: at, expires_in_days: days }: ApiKeyWrite, nowMs: number): string | null {
  if (days !== undefined) return new Date(nowMs + days * DAY_MS).toISOString();
  if (at === undefined) return null;
  const atMs = Date.parse(at);
  if (Number.isNaN(atMs)) throw invalidMember('/expires_at', 'is not a date');
  if (atMs <= nowMs) throw invalidMember('/expires_at', 'must be in the future');
  return new Date(atMs).toISOString();
}

/** A key that was made for ninety days is replaced by one for ninety days from now. */
function renewedExpiry(key: ApiKeyRecord, nowMs: number): string | null {
  return key.expiresAt === null ? null : new Date(nowMs + Date.parse(key.expiresAt) - Date.parse(key.createdAt)).toISOString();
}

function earlier(one: string | null, otherMs: number): string {
  return new Date(one === null ? otherMs : Math.min(Date.parse(one), otherMs)).toISOString();
}

function hashOf(write: ApiKeyWrite): string {
  const { principal_id, name, scopes, roles, expires_at, expires_in_days } = write;
  return createHash('sha256').update(JSON.stringify([principal_id, name, scopes, roles, expires_at, expires_in_days].map((member) => member ?? null))).digest('hex');
}
