/**
 * DirectoryPort on PostgreSQL, schema `directory`. Tenants and keys are remembered for less than a second; a process that
 * listens forgets them as soon as another one changes them, the others when that second is over.
 */
import type pg from 'pg';
import type { Logger } from 'pino';
import { listen, type Listener } from '../db/listener.ts';
import type { DatabaseUrl } from '../db/pool.ts';
import { sqlState } from '../db/sqlstate.ts';
import { withPlatform, withTenant } from '../db/transaction.ts';
import type { AuditFacts } from '../audit/audit-row.ts';
import { AuditTrail, withAudit } from '../audit/audit-trail.ts';
import type { PortCapabilities } from '../port.ts';
import type { Tenant, TenantCreate } from '../../../generated/types/index.ts';
import type { AuthContext } from './auth-context.ts';
import type { ApiKeyRecord, DirectoryPort, KeyBounds, KeyIdempotency, KeyReplacement, Page, PrincipalRecord, RotatedKey, StoredPrincipal, TenantPatch } from './directory.ts';
import {
  changePrincipal, deletePrincipal, findPrincipal, issueKey, listKeys, listPrincipals, putKey, putPrincipal, revokeKey, rotateKey, type AccountChanged, type Issued,
} from './directory-postgres-accounts.ts';
import { toApiKey, toTenant, type KeyRow, type TenantRow } from './directory-postgres-rows.ts';
import { insertTenant, markForDeletion, patchStoredTenant, readTenant, removeTenant, setStatus, unmarkForDeletion, type TenantChanged } from './directory-postgres-tenants.ts';
import { KeyUses, type KeyUse } from './key-uses.ts';
import { ShortMemory } from './short-memory.ts';
import { tenantExists } from './tenant-errors.ts';
import { draftTenant } from './tenant-record.ts';

export interface PostgresDirectoryOptions {
  /** Where changes are recorded; absent in services that only read. Schema `audit` must be migrated. */
  readonly trail?: AuditTrail;
  /** Hears of other processes' changes over a connection of its own. */
  readonly hints?: { readonly url: DatabaseUrl; readonly log?: Logger };
}

const CHANNEL = 'agentos_directory';
type Subject = 'tenant' | 'key';
type Change = Pick<AuditFacts, 'action' | 'resource'>;

/** Of services that only read. */
const NO_TRAIL = new AuditTrail({ service: 'directory', enabled: false });

export class PostgresDirectory implements DirectoryPort {
  readonly #pool: pg.Pool;
  readonly #trail: AuditTrail;
  readonly #tenants: ShortMemory<Tenant | null>;
  readonly #keys: ShortMemory<ApiKeyRecord | null>;
  readonly #uses: KeyUses;
  readonly #listener: Listener | null;

  constructor(pool: pg.Pool, options: PostgresDirectoryOptions = {}) {
    this.#pool = pool;
    this.#trail = options.trail ?? NO_TRAIL;
    this.#tenants = new ShortMemory((tenantId) => withTenant(this.#pool, tenantId, (client) => readTenant(client, tenantId)));
    this.#keys = new ShortMemory((keyId) => this.#readApiKey(keyId));
    this.#uses = new KeyUses((uses) => this.#writeUses(uses));
    this.#listener = options.hints === undefined ? null : listen({
      ...options.hints,
      applicationName: 'agentos-directory',
      channels: [CHANNEL],
      onNotification: (_channel, payload) => this.#forget(payload),
      onConnect: () => this.#forgetAll(),
    });
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.1', durable: true, features: [] };
  }

  getTenant(_auth: AuthContext | null, tenantId: string): Promise<Tenant | null> {
    return this.#tenants.get(tenantId);
  }

  async listTenants(_auth: AuthContext, query: Page): Promise<{ tenants: Tenant[]; hasMore: boolean }> {
    const rows = await withPlatform(this.#pool, async (client) => {
      const result = await client.query<TenantRow>(`SELECT * FROM directory.tenants WHERE tenant_id COLLATE "C" > $1 ORDER BY tenant_id COLLATE "C" LIMIT $2`, [
        query.after ?? '',
        query.limit + 1,
      ]);
      return result.rows;
    });
    return { tenants: rows.slice(0, query.limit).map(toTenant), hasMore: rows.length > query.limit };
  }

  async createTenant(auth: AuthContext, create: TenantCreate): Promise<Tenant> {
    const draft = draftTenant(create);
    try {
      return await this.#changeTenant(auth, 'tenant.create', draft.tenant_id, (client) => insertTenant(client, draft));
    } catch (error) {
      if (sqlState((error as Error).cause) === '23505') throw tenantExists(draft.tenant_id);
      throw error;
    }
  }

  updateTenant(auth: AuthContext, tenantId: string, patch: TenantPatch): Promise<Tenant> {
    return this.#changeTenant(auth, 'tenant.update', tenantId, (client) => patchStoredTenant(client, tenantId, patch));
  }

  setTenantStatus(auth: AuthContext, tenantId: string, change: { readonly status: 'active' | 'suspended'; readonly reason: string | null }): Promise<Tenant> {
    const action = change.status === 'suspended' ? 'tenant.suspend' : 'tenant.resume';
    return this.#changeTenant(auth, action, tenantId, (client) => setStatus(client, tenantId, change.status, change.reason));
  }

  requestTenantDeletion(auth: AuthContext, tenantId: string, graceMs: number): Promise<Tenant> {
    return this.#changeTenant(auth, 'tenant.delete', tenantId, (client) => markForDeletion(client, tenantId, graceMs, auth.principal.principal_id));
  }

  restoreTenant(auth: AuthContext, tenantId: string): Promise<Tenant> {
    return this.#changeTenant(auth, 'tenant.restore', tenantId, (client) => unmarkForDeletion(client, tenantId));
  }

  async deleteTenant(_auth: AuthContext, tenantId: string): Promise<void> {
    try {
      await withTenant(this.#pool, tenantId, async (client) => {
        await removeTenant(client, tenantId);
        await this.#tell(client, 'tenant', [tenantId]);
      });
    } finally {
      this.#forgetAll();
    }
  }

  async listPrincipals(_auth: AuthContext, tenantId: string, query: Page): Promise<{ principals: readonly StoredPrincipal[]; hasMore: boolean }> {
    const found = await withTenant(this.#pool, tenantId, (client) => listPrincipals(client, tenantId, { ...query, limit: query.limit + 1 }));
    return { principals: found.slice(0, query.limit), hasMore: found.length > query.limit };
  }

  getPrincipal(_auth: AuthContext, tenantId: string, principalId: string): Promise<StoredPrincipal | null> {
    return withTenant(this.#pool, tenantId, (client) => findPrincipal(client, tenantId, principalId));
  }

  async putPrincipal(_auth: AuthContext, principal: PrincipalRecord): Promise<void> {
    await withTenant(this.#pool, principal.tenantId, (client) => putPrincipal(client, principal));
  }

  changePrincipal(
    auth: AuthContext, tenantId: string, principalId: string, decide: (current: StoredPrincipal | null) => { readonly principal: PrincipalRecord; readonly keys: KeyBounds },
  ): Promise<StoredPrincipal> {
    return this.#changeAccount(auth, tenantId, () => ({ action: 'principal.put', resource: { type: 'principal', id: principalId } }), (client) => changePrincipal(client, tenantId, principalId, decide));
  }

  deletePrincipal(auth: AuthContext, tenantId: string, principalId: string, decide: (current: StoredPrincipal) => void): Promise<{ readonly revokedKeys: number }> {
    return this.#changeAccount(auth, tenantId, () => ({ action: 'principal.delete', resource: { type: 'principal', id: principalId } }), (client) => deletePrincipal(client, tenantId, principalId, decide));
  }

  async listApiKeys(_auth: AuthContext, tenantId: string, query: Page & { readonly principalId?: string | undefined }): Promise<{ keys: readonly ApiKeyRecord[]; hasMore: boolean }> {
    const found = await withTenant(this.#pool, tenantId, (client) => listKeys(client, tenantId, { ...query, limit: query.limit + 1 }));
    return { keys: found.slice(0, query.limit), hasMore: found.length > query.limit };
  }

  async putApiKey(_auth: AuthContext, key: ApiKeyRecord): Promise<void> {
    try {
      await withTenant(this.#pool, key.tenantId, async (client) => {
        await Promise.all([putKey(client, key), this.#tell(client, 'key', [key.keyId])]);
      });
    } finally {
      this.#keys.forget(key.keyId);
    }
  }

  getApiKey(keyId: string): Promise<ApiKeyRecord | null> {
    return this.#keys.get(keyId);
  }

  issueApiKey(
    auth: AuthContext, tenantId: string, principalId: string, decide: (principal: StoredPrincipal) => ApiKeyRecord, idempotency: KeyIdempotency | null = null,
  ): Promise<Issued> {
    return onceOf(idempotency, () => this.#changeAccount(auth, tenantId, ({ key }) => ({ action: 'key.create', resource: { type: 'key', id: key.keyId } }),
      (client) => issueKey(client, tenantId, principalId, auth.principal.principal_id, decide, idempotency)));
  }

  rotateApiKey(
    auth: AuthContext, tenantId: string, keyId: string, decide: (current: ApiKeyRecord) => KeyReplacement, idempotency: KeyIdempotency | null = null,
  ): Promise<RotatedKey> {
    return onceOf(idempotency, () => this.#changeAccount(auth, tenantId, () => ({ action: 'key.rotate', resource: { type: 'key', id: keyId } }),
      (client) => rotateKey(client, tenantId, keyId, auth.principal.principal_id, decide, idempotency)));
  }

  revokeApiKey(auth: AuthContext, tenantId: string, keyId: string, decide: (current: ApiKeyRecord) => void): Promise<ApiKeyRecord> {
    return this.#changeAccount(auth, tenantId, () => ({ action: 'key.revoke', resource: { type: 'key', id: keyId } }), (client) => revokeKey(client, tenantId, keyId, decide));
  }

  noteApiKeyUse(key: Pick<ApiKeyRecord, 'keyId' | 'tenantId'>): void {
    this.#uses.note(key);
  }

  /** Writes what is noted and stops listening. The pool stays open: it is its owner's. */
  async close(): Promise<void> {
    await Promise.all([this.#uses.flush(), this.#listener?.close()]);
  }

  async #changeTenant(auth: AuthContext, action: string, tenantId: string, work: (client: pg.PoolClient) => Promise<TenantChanged>): Promise<Tenant> {
    try {
      return await withAudit(this.#pool, this.#trail, tenantId, async (client, note) => {
        const { tenant, details } = await work(client);
        if (details === null) return tenant;
        note(auth, { action, tenantId, resource: { type: 'tenant', id: tenantId }, details });
        await this.#tell(client, 'tenant', [tenantId]);
        return tenant;
      });
    } finally {
      this.#tenants.forget(tenantId);
    }
  }

  async #changeAccount<Result>(auth: AuthContext, tenantId: string, change: (result: Result) => Change, work: (client: pg.PoolClient) => Promise<AccountChanged<Result>>): Promise<Result> {
    let keyIds: readonly string[] = [];
    try {
      return await withAudit(this.#pool, this.#trail, tenantId, async (client, note) => {
        const { result, details, keyIds: changed } = await work(client);
        keyIds = changed;
        if (details === null) return result;
        note(auth, { ...change(result), tenantId, details });
        await this.#tell(client, 'key', keyIds);
        return result;
      });
    } finally {
      for (const keyId of keyIds) this.#keys.forget(keyId);
    }
  }

  #tell(client: pg.PoolClient, subject: Subject, ids: readonly string[]): Promise<unknown> {
    return client.query('SELECT pg_notify($1, $2 || id) FROM unnest($3::text[]) AS t(id)', [CHANNEL, `${subject}:`, ids]);
  }

  #forget(payload: string): void {
    const split = payload.indexOf(':');
    const id = payload.slice(split + 1);
    if (payload.slice(0, split) === 'tenant') this.#tenants.forget(id);
    else this.#keys.forget(id);
  }

  /** What was said while nobody listened is not known. */
  #forgetAll(): void {
    this.#tenants.clear();
    this.#keys.clear();
  }

  #readApiKey(keyId: string): Promise<ApiKeyRecord | null> {
    return withPlatform(this.#pool, async (client) => {
      const { rows } = await client.query<KeyRow>('SELECT * FROM directory.api_keys WHERE key_id = $1', [keyId]);
      return rows[0] === undefined ? null : toApiKey(rows[0]);
    });
  }

  async #writeUses(uses: readonly KeyUse[]): Promise<void> {
    await withTenant(this.#pool, [...new Set(uses.map((use) => use.tenantId))], (client) => client.query(
      `UPDATE directory.api_keys k SET last_used_at = u.at FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS u(tenant_id, key_id, at)
       WHERE k.tenant_id = u.tenant_id AND k.key_id = u.key_id AND (k.last_used_at IS NULL OR k.last_used_at < u.at)`,
      [uses.map((use) => use.tenantId), uses.map((use) => use.keyId), uses.map((use) => new Date(use.minuteMs).toISOString())],
    ), { asynchronous: true });
  }
}

/** When the same request came twice at once and the other one was first, its key is there to be found now. */
async function onceOf<Result>(idempotency: KeyIdempotency | null, make: () => Promise<Result>): Promise<Result> {
  try {
    return await make();
  } catch (error) {
    if (idempotency !== null && sqlState((error as Error).cause) === '23505') return make();
    throw error;
  }
}
