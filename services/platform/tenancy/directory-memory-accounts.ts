/** Principals and keys of `directory-memory.ts`. */
import type { ApiKeyRecord, KeyBounds, KeyIdempotency, Page, PrincipalRecord, StoredPrincipal } from './directory.ts';
import { idempotencyKeyUsed, keyNotFound, principalNotFound } from './tenant-errors.ts';

const MINUTE_MS = 60_000;

export class MemoryAccounts {
  readonly #principals = new Map<string, StoredPrincipal>();
  readonly #keys = new Map<string, ApiKeyRecord>();
  readonly #issued = new Map<string, { readonly keyId: string; readonly requestHash: string }>();

  listPrincipals(tenantId: string, page: Page): { principals: readonly StoredPrincipal[]; hasMore: boolean } {
    const { items, hasMore } = pageOf([...this.#principals.values()].filter((principal) => principal.tenantId === tenantId), (principal) => principal.principalId, page);
    return { principals: items, hasMore };
  }

  findPrincipal(tenantId: string, principalId: string): StoredPrincipal | null {
    const principal = this.#principals.get(place(tenantId, principalId));
    return principal === undefined ? null : structuredClone(principal);
  }

  requirePrincipal(tenantId: string, principalId: string): StoredPrincipal {
    const principal = this.findPrincipal(tenantId, principalId);
    if (principal === null) throw principalNotFound(principalId);
    return principal;
  }

  putPrincipal(principal: PrincipalRecord): StoredPrincipal {
    const at = place(principal.tenantId, principal.principalId);
    const now = new Date().toISOString();
    const stored = { ...structuredClone(principal), createdAt: this.#principals.get(at)?.createdAt ?? now, updatedAt: now };
    this.#principals.set(at, stored);
    return structuredClone(stored);
  }

  /** Answers how many keys were revoked with it. */
  removePrincipal({ tenantId, principalId }: PrincipalRecord): number {
    this.#principals.delete(place(tenantId, principalId));
    const keys = this.#keysOf(tenantId, principalId).filter((key) => key.revokedAt === null);
    for (const key of keys) this.putKey({ ...key, revokedAt: new Date().toISOString() });
    return keys.length;
  }

  narrowKeys({ tenantId, principalId, principalType }: PrincipalRecord, bounds: KeyBounds): void {
    for (const key of this.#keysOf(tenantId, principalId).filter((candidate) => candidate.revokedAt === null)) {
      const scopes = key.scopes.filter((scope) => bounds.scopes.includes(scope));
      const roles = key.roles.filter((role) => bounds.roles.includes(role));
      const emptied = key.scopes.length > 0 && scopes.length === 0;
      this.putKey({ ...key, principalType, scopes, roles, revokedAt: emptied ? new Date().toISOString() : null });
    }
  }

  listKeys(tenantId: string, { principalId, ...page }: Page & { readonly principalId?: string | undefined }): { keys: readonly ApiKeyRecord[]; hasMore: boolean } {
    const { items, hasMore } = pageOf([...this.#keys.values()].filter((key) => key.tenantId === tenantId && (principalId === undefined || key.principalId === principalId)), (key) => key.keyId, page);
    return { keys: items, hasMore };
  }

  findKey(keyId: string): ApiKeyRecord | null {
    const key = this.#keys.get(keyId);
    return key === undefined ? null : structuredClone(key);
  }

  requireKey(tenantId: string, keyId: string): ApiKeyRecord {
    const key = this.findKey(keyId);
    if (key === null || key.tenantId !== tenantId) throw keyNotFound(keyId);
    return key;
  }

  putKey(key: ApiKeyRecord): ApiKeyRecord {
    this.#keys.set(key.keyId, structuredClone(key));
    return structuredClone(key);
  }

  /** @throws AgentOsError conflict for another request under the same idempotency key. */
  findIssued(tenantId: string, issuer: string, { key, requestHash }: KeyIdempotency): ApiKeyRecord | null {
    const issued = this.#issued.get(place(place(tenantId, issuer), key));
    if (issued === undefined) return null;
    if (issued.requestHash !== requestHash) throw idempotencyKeyUsed(key);
    return this.findKey(issued.keyId);
  }

  noteIssued({ tenantId, keyId }: ApiKeyRecord, issuer: string, { key, requestHash }: KeyIdempotency): void {
    this.#issued.set(place(place(tenantId, issuer), key), { keyId, requestHash });
  }

  noteUse(keyId: string): void {
    const key = this.#keys.get(keyId);
    if (key !== undefined) this.#keys.set(keyId, { ...key, lastUsedAt: new Date(Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS).toISOString() });
  }

  forgetTenant(tenantId: string): void {
    for (const [at, principal] of this.#principals) if (principal.tenantId === tenantId) this.#principals.delete(at);
    for (const [keyId, key] of this.#keys) if (key.tenantId === tenantId) this.#keys.delete(keyId);
    for (const at of this.#issued.keys()) if (at.startsWith(place(tenantId, ''))) this.#issued.delete(at);
  }

  #keysOf(tenantId: string, principalId: string): readonly ApiKeyRecord[] {
    return [...this.#keys.values()].filter((key) => key.tenantId === tenantId && key.principalId === principalId);
  }
}

function place(tenantId: string, principalId: string): string {
  return `${tenantId}\n${principalId}`;
}

function pageOf<Item>(all: readonly Item[], idOf: (item: Item) => string, { limit, after = '' }: Page): { readonly items: readonly Item[]; readonly hasMore: boolean } {
  const rest = all.filter((item) => idOf(item) > after).sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1));
  return { items: structuredClone(rest.slice(0, limit)), hasMore: rest.length > limit };
}
