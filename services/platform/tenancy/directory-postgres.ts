/** DirectoryPort on PostgreSQL, schema `directory`. Tenants and keys are remembered for less than a second. */
import type pg from 'pg';
import { sqlState } from '../db/sqlstate.ts';
import { withPlatform, withTenant } from '../db/transaction.ts';
import type { PortCapabilities } from '../port.ts';
import type { Tenant, TenantCreate } from '../../../generated/types/index.ts';
import type { AuthContext } from './auth-context.ts';
import type { ApiKeyRecord, DirectoryPort, PrincipalRecord, TenantPatch } from './directory.ts';
import { ShortMemory } from './short-memory.ts';
import { draftTenant, OPTIONAL_MEMBERS, patchTenant, tenantExists, tenantNotFound, type TenantDraft } from './tenant-record.ts';

interface TenantRow extends Omit<Tenant, 'created_at' | 'updated_at'> {
  readonly created_at: Date;
  readonly updated_at: Date;
}

export class PostgresDirectory implements DirectoryPort {
  readonly #pool: pg.Pool;
  readonly #tenants: ShortMemory<Tenant | null>;
  readonly #keys: ShortMemory<ApiKeyRecord | null>;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
    this.#tenants = new ShortMemory((tenantId) => this.#readTenant(tenantId));
    this.#keys = new ShortMemory((keyId) => this.#readApiKey(keyId));
  }

  capabilities(): PortCapabilities {
    return { adapter: 'postgres', contractVersion: '1.0', durable: true, features: [] };
  }

  getTenant(_auth: AuthContext | null, tenantId: string): Promise<Tenant | null> {
    return this.#tenants.get(tenantId);
  }

  async listTenants(_auth: AuthContext, query: { readonly limit: number; readonly after?: string }): Promise<{ tenants: Tenant[]; hasMore: boolean }> {
    const rows = await withPlatform(this.#pool, async (client) => {
      const result = await client.query<TenantRow>(`SELECT * FROM directory.tenants WHERE tenant_id COLLATE "C" > $1 ORDER BY tenant_id COLLATE "C" LIMIT $2`, [
        query.after ?? '',
        query.limit + 1,
      ]);
      return result.rows;
    });
    return { tenants: rows.slice(0, query.limit).map(toTenant), hasMore: rows.length > query.limit };
  }

  async createTenant(_auth: AuthContext, create: TenantCreate): Promise<Tenant> {
    const draft = draftTenant(create);
    try {
      return await withTenant(this.#pool, draft.tenant_id, async (client) => {
        const { rows } = await client.query<TenantRow>(
          `INSERT INTO directory.tenants (tenant_id, name, plan_tier, status, default_policy_id, entitlements, quotas, metadata, policy)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING *`,
          values(draft),
        );
        return toTenant(rows[0]!);
      });
    } catch (error) {
      if (sqlState((error as Error).cause) === '23505') throw tenantExists(draft.tenant_id);
      throw error;
    } finally {
      this.#tenants.forget(draft.tenant_id);
    }
  }

  async updateTenant(_auth: AuthContext, tenantId: string, patch: TenantPatch): Promise<Tenant> {
    try {
      return await withTenant(this.#pool, tenantId, async (client) => {
        const found = await client.query<TenantRow>('SELECT * FROM directory.tenants WHERE tenant_id = $1 FOR UPDATE', [tenantId]);
        if (found.rows[0] === undefined) throw tenantNotFound(tenantId);
        const { created_at: _created, updated_at: _updated, ...current } = toTenant(found.rows[0]);
        const { rows } = await client.query<TenantRow>(
          `UPDATE directory.tenants SET name = $2, plan_tier = $3, status = $4, default_policy_id = $5, entitlements = $6, quotas = $7,
             metadata = $8, policy = $9, updated_at = clock_timestamp() WHERE tenant_id = $1 RETURNING *`,
          values(patchTenant(current, patch)),
        );
        return toTenant(rows[0]!);
      });
    } finally {
      this.#tenants.forget(tenantId);
    }
  }

  async deleteTenant(_auth: AuthContext, tenantId: string): Promise<void> {
    try {
      await withTenant(this.#pool, tenantId, async (client) => {
        const [deleted] = await Promise.all([
          client.query('DELETE FROM directory.tenants WHERE tenant_id = $1', [tenantId]),
          client.query('DELETE FROM directory.principals WHERE tenant_id = $1', [tenantId]),
          client.query('DELETE FROM directory.api_keys WHERE tenant_id = $1', [tenantId]),
        ]);
        if (deleted.rowCount === 0) throw tenantNotFound(tenantId);
      });
    } finally {
      this.#tenants.forget(tenantId);
    }
  }

  async putPrincipal(_auth: AuthContext, principal: PrincipalRecord): Promise<void> {
    await withTenant(this.#pool, principal.tenantId, (client) =>
      client.query(
        `INSERT INTO directory.principals (tenant_id, principal_id, principal_type, display_name, roles) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (tenant_id, principal_id) DO UPDATE SET principal_type = excluded.principal_type, display_name = excluded.display_name,
           roles = excluded.roles, updated_at = clock_timestamp()`,
        [principal.tenantId, principal.principalId, principal.principalType, principal.displayName, JSON.stringify(principal.roles)],
      ),
    );
  }

  async putApiKey(_auth: AuthContext, key: ApiKeyRecord): Promise<void> {
    try {
      await withTenant(this.#pool, key.tenantId, (client) =>
        client.query(
          `INSERT INTO directory.api_keys (tenant_id, key_id, principal_id, principal_type, scopes, roles, secret_hash, created_at, expires_at, revoked_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
           ON CONFLICT (tenant_id, key_id) DO UPDATE SET scopes = excluded.scopes, roles = excluded.roles, secret_hash = excluded.secret_hash,
             expires_at = excluded.expires_at, revoked_at = excluded.revoked_at`,
          [
            key.tenantId, key.keyId, key.principalId, key.principalType, JSON.stringify(key.scopes), JSON.stringify(key.roles), key.secretHash,
            key.createdAt, key.expiresAt, key.revokedAt,
          ],
        ),
      );
    } finally {
      this.#keys.forget(key.keyId);
    }
  }

  getApiKey(keyId: string): Promise<ApiKeyRecord | null> {
    return this.#keys.get(keyId);
  }

  #readTenant(tenantId: string): Promise<Tenant | null> {
    return withTenant(this.#pool, tenantId, async (client) => {
      const { rows } = await client.query<TenantRow>('SELECT * FROM directory.tenants WHERE tenant_id = $1', [tenantId]);
      return rows[0] === undefined ? null : toTenant(rows[0]);
    });
  }

  #readApiKey(keyId: string): Promise<ApiKeyRecord | null> {
    return withPlatform(this.#pool, async (client) => {
      const { rows } = await client.query<KeyRow>('SELECT * FROM directory.api_keys WHERE key_id = $1', [keyId]);
      return rows[0] === undefined ? null : toApiKey(rows[0]);
    });
  }
}

interface KeyRow {
  readonly tenant_id: string;
  readonly key_id: string;
  readonly principal_id: string;
  readonly principal_type: 'user' | 'service';
  readonly scopes: string[];
  readonly roles: string[];
  readonly secret_hash: string;
  readonly created_at: Date;
  readonly expires_at: Date | null;
  readonly revoked_at: Date | null;
}

function toApiKey(row: KeyRow): ApiKeyRecord {
  return {
    keyId: row.key_id,
    tenantId: row.tenant_id,
    principalId: row.principal_id,
    principalType: row.principal_type,
    scopes: row.scopes,
    roles: row.roles,
    secretHash: row.secret_hash,
    createdAt: row.created_at.toISOString(),
    expiresAt: row.expires_at?.toISOString() ?? null,
    revokedAt: row.revoked_at?.toISOString() ?? null,
  };
}

function toTenant(row: TenantRow): Tenant {
  const tenant: Record<string, unknown> = {
    tenant_id: row.tenant_id,
    name: row.name,
    status: row.status,
    plan_tier: row.plan_tier,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
  for (const member of OPTIONAL_MEMBERS) if (row[member] !== null) tenant[member] = row[member];
  return tenant as unknown as Tenant;
}

function values(draft: TenantDraft): unknown[] {
  const json = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value));
  return [
    draft.tenant_id, draft.name, draft.plan_tier, draft.status, draft.default_policy_id ?? null, json(draft.entitlements), json(draft.quotas),
    json(draft.metadata), json(draft.policy),
  ];
}
