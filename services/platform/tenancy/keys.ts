/** API keys of a tenant: the rules, over the directory. Serves operators and the tenant's own administrators alike. */
import { createHash } from 'node:crypto';
import { createApiKey } from '../auth/api-key.ts';
import { AgentOsError } from '../errors.ts';
import { momentOf, timestampAt } from '../timestamp.ts';
import type { ApiKeyWrite } from '../../../generated/types/index.ts';
import type { AuthContext } from './auth-context.ts';
import type { ApiKeyRecord, DirectoryPort, Page } from './directory.ts';
import { invalidMember, judgeHanding, judgeKeyGrant, judgeRevoking } from './grants.ts';
import { createRepeatableSecrets, type RepeatableSecrets } from './repeatable-secrets.ts';

const SECOND_MS = 1_000;
const DAY_MS = 86_400_000;
const DEFAULT_OVERLAP_SECONDS = 3_600;

export interface IssuedKey {
  readonly key: ApiKeyRecord;
  /** What its holder sends. Stored nowhere; null in the answer to a repeated request when it was used since, or made too long ago. */
  readonly secret: string | null;
  /** That an earlier request under the same idempotency key made it. */
  readonly replayed: boolean;
}

export interface Keys {
  list(auth: AuthContext, tenantId: string, page: Page & { readonly principalId?: string | undefined }): Promise<{ readonly keys: readonly ApiKeyRecord[]; readonly hasMore: boolean }>;
  /** @throws AgentOsError invalid_request, forbidden; conflict for another request under the same idempotency key. */
  issue(auth: AuthContext, tenantId: string, write: ApiKeyWrite, idempotencyKey: string | null): Promise<IssuedKey>;
  /**
   * A new key in place of one that stays good for a while.
   * @throws AgentOsError not_found, forbidden; invalid_state_transition for a key that is no longer good, or was replaced already; conflict as above.
   */
  rotate(auth: AuthContext, tenantId: string, keyId: string, overlapSeconds: number | undefined, idempotencyKey: string | null): Promise<IssuedKey>;
  /** @throws AgentOsError not_found, forbidden. */
  revoke(auth: AuthContext, tenantId: string, keyId: string): Promise<ApiKeyRecord>;
}

/** @param secrets what repeats of a request are answered from; every replica has the same. */
export function createKeys(directory: DirectoryPort, secrets: RepeatableSecrets = createRepeatableSecrets(undefined), now: () => number = Date.now): Keys {
  const making = (auth: AuthContext, tenantId: string, idempotencyKey: string | null): Making => {
    if (idempotencyKey === null) return { secretOf: undefined, recall: () => null };
    const request = { tenantId, issuer: auth.principal.principal_id, idempotencyKey };
    return {
      secretOf: (keyId) => secrets.derive(request, keyId),
      recall(key) {
        const secret = secrets.recall(request, key, now());
        // Another credential of the same principal may hold less than the one that asked first.
        if (secret !== null) judgeHanding(auth, key);
        return secret;
      },
    };
  };
  return {
    list: (auth, tenantId, page) => directory.listApiKeys(auth, tenantId, page),

    async issue(auth, tenantId, write, idempotencyKey) {
      const expiresAt = expiryOf(write, now());
      let secret = '';
      const { secretOf, recall } = making(auth, tenantId, idempotencyKey);
      const idempotency = idempotencyKey === null ? null : { key: idempotencyKey, requestHash: hashOf(write) };
      try {
        const { key, replayed } = await directory.issueApiKey(auth, tenantId, write.principal_id, (principal) => {
          const grant = judgeKeyGrant(auth, principal, write);
          const made = createApiKey({ tenantId, principalId: principal.principalId, principalType: principal.principalType, name: write.name ?? null, ...grant, createdBy: auth.principal.principal_id, expiresAt }, secretOf);
          secret = made.secret;
          return made.record;
        }, idempotency);
        return { key, secret: replayed ? recall(key) : secret, replayed };
      } catch (error) {
        // The principal is named by the body, so that there is none is a fault of the body.
        if (error instanceof AgentOsError && error.code === 'not_found' && error.details['principal_id'] !== undefined) throw invalidMember('/principal_id', error.message);
        throw error;
      }
    },

    async rotate(auth, tenantId, keyId, overlapSeconds = DEFAULT_OVERLAP_SECONDS, idempotencyKey) {
      let secret = '';
      const { secretOf, recall } = making(auth, tenantId, idempotencyKey);
      const idempotency = idempotencyKey === null ? null : { key: idempotencyKey, requestHash: digestOf(['rotate', keyId, overlapSeconds]) };
      const { key, replayed } = await directory.rotateApiKey(auth, tenantId, keyId, (current) => {
        judgeHanding(auth, current);
        requireRotatable(current, now());
        const { principalId, principalType, name, scopes, roles } = current;
        const made = createApiKey({ tenantId, principalId, principalType, name, scopes, roles, createdBy: auth.principal.principal_id, expiresAt: renewedExpiry(current, now()) }, secretOf);
        secret = made.secret;
        return { replacement: made.record, oldExpiresAt: earlier(current.expiresAt, now() + overlapSeconds * SECOND_MS) };
      }, idempotency);
      return { key, secret: replayed ? recall(key) : secret, replayed };
    },

    revoke: (auth, tenantId, keyId) => directory.revokeApiKey(auth, tenantId, keyId, (current) => judgeRevoking(auth, current)),
  };
}

/** How one request's key gets its secret, and how a repeat of it gets the same. */
interface Making {
  readonly secretOf: ((keyId: string) => string) | undefined;
  readonly recall: (key: ApiKeyRecord) => string | null;
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
      message: `The key ${key.keyId} was replaced by ${key.replacedBy} already; it is good until ${key.expiresAt}. If the secret of ${key.replacedBy} was lost, rotate that one.`,
      details: { reason: 'key_replaced', key_id: key.keyId, replaced_by: key.replacedBy },
    });
  }
}

function expiryOf({ expires_at: at, expires_in_days: days }: ApiKeyWrite, nowMs: number): string | null {
  if (days !== undefined) return new Date(nowMs + days * DAY_MS).toISOString();
  if (at === undefined) return null;
  const moment = momentOf(at, '/expires_at');
  if (Date.parse(moment) <= nowMs) throw invalidMember('/expires_at', `expires_at must be in the future; ${moment} is not.`);
  return timestampAt(Date.parse(moment));
}

/** A key that was made for ninety days is replaced by one for ninety days from now. */
function renewedExpiry(key: ApiKeyRecord, nowMs: number): string | null {
  return key.expiresAt === null ? null : timestampAt(nowMs + Date.parse(key.expiresAt) - Date.parse(key.createdAt));
}

function earlier(one: string | null, otherMs: number): string {
  return new Date(one === null ? otherMs : Math.min(Date.parse(one), otherMs)).toISOString();
}

function hashOf(write: ApiKeyWrite): string {
  const { principal_id, name, scopes, roles, expires_at, expires_in_days } = write;
  return digestOf([principal_id, name, scopes, roles, expires_at, expires_in_days].map((member) => member ?? null));
}

function digestOf(request: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(request)).digest('hex');
}
