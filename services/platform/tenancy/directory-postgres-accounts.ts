/** Principals and keys in schema `directory`: part of `directory-postgres.ts`. Each function is the body of one transaction. */
import { createHash } from 'node:crypto';
import type pg from 'pg';
import type { AuditDetails } from '../audit/audit-row.ts';
import type { ApiKeyRecord, KeyBounds, KeyIdempotency, KeyReplacement, Page, PrincipalRecord, RotatedKey, StoredPrincipal } from './directory.ts';
import { KEY_COLUMNS, keyValues, toApiKey, toPrincipal, type KeyRow, type PrincipalRow } from './directory-postgres-rows.ts';
import { holdTenant, requireTenant } from './directory-postgres-tenants.ts';
import { idempotencyKeyUsed, keyNotFound, principalNotFound } from './tenant-errors.ts';

const PUT_PRINCIPAL = `INSERT INTO directory.principals (tenant_id, principal_id, principal_type, display_name, roles) VALUES ($1, $2, $3, $4, $5)
  ON CONFLICT (tenant_id, principal_id) DO UPDATE SET principal_type = excluded.principal_type, display_name = excluded.display_name,
    roles = excluded.roles, updated_at = clock_timestamp() RETURNING *`;

// A key without scopes of its own holds what its roles hold, so losing the last one must not leave it without: it is revoked.
const NARROW_KEYS = `
  UPDATE directory.api_keys SET scopes = kept.scopes, roles = kept.roles, principal_type = $5,
    revoked_at = CASE WHEN directory.api_keys.scopes <> '[]' AND kept.scopes = '[]' THEN clock_timestamp() END
  FROM (
    SELECT k.key_id,
      (SELECT coalesce(jsonb_agg(s ORDER BY n), '[]') FROM jsonb_array_elements_text(k.scopes) WITH ORDINALITY AS e(s, n) WHERE s = ANY ($3::text[])) AS scopes,
      (SELECT coalesce(jsonb_agg(r ORDER BY n), '[]') FROM jsonb_array_elements_text(k.roles) WITH ORDINALITY AS e(r, n) WHERE r = ANY ($4::text[])) AS roles
    FROM directory.api_keys k WHERE k.tenant_id = $1 AND k.principal_id = $2 AND k.revoked_at IS NULL
  ) kept
  WHERE directory.api_keys.tenant_id = $1 AND directory.api_keys.key_id = kept.key_id
    AND (directory.api_keys.scopes <> kept.scopes OR directory.api_keys.roles <> kept.roles OR directory.api_keys.principal_type <> $5)
  RETURNING directory.api_keys.key_id`;

export interface AccountChanged<Result> {
  readonly result: Result;
  /** What the audit is told; null where nothing changed. */
  readonly details: AuditDetails | null;
  /** Keys that are not what they were. */
  readonly keyIds: readonly string[];
}

export async function putPrincipal(client: pg.PoolClient, principal: PrincipalRecord): Promise<StoredPrincipal> {
  const { rows } = await client.query<PrincipalRow>(PUT_PRINCIPAL, [
    principal.tenantId, principal.principalId, principal.principalType, principal.displayName, JSON.stringify(principal.roles),
  ]);
  return toPrincipal(rows[0]!);
}

export async function listPrincipals(client: pg.PoolClient, tenantId: string, { limit, after }: Page): Promise<readonly StoredPrincipal[]> {
  const [, { rows }] = await Promise.all([
    requireTenant(client, tenantId),
    client.query<PrincipalRow>(
      `SELECT * FROM directory.principals WHERE tenant_id = $1 AND principal_id COLLATE "C" > $2 ORDER BY principal_id COLLATE "C" LIMIT $3`,
      [tenantId, after ?? '', limit],
    ),
  ]);
  return rows.map(toPrincipal);
}

export async function findPrincipal(client: pg.PoolClient, tenantId: string, principalId: string, lock: '' | 'FOR SHARE' | 'FOR UPDATE' = ''): Promise<StoredPrincipal | null> {
  const { rows } = await client.query<PrincipalRow>(`SELECT * FROM directory.principals WHERE tenant_id = $1 AND principal_id = $2 ${lock}`, [tenantId, principalId]);
  return rows[0] === undefined ? null : toPrincipal(rows[0]);
}

export async function changePrincipal(
  client: pg.PoolClient, tenantId: string, principalId: string,
  decide: (current: StoredPrincipal | null) => { readonly principal: PrincipalRecord; readonly keys: KeyBounds },
): Promise<AccountChanged<StoredPrincipal>> {
  await holdTenant(client, tenantId);
  const current = await findPrincipal(client, tenantId, principalId, 'FOR UPDATE');
  const { principal, keys } = decide(current);
  const [result, narrowed] = await Promise.all([
    putPrincipal(client, principal),
    client.query<{ key_id: string }>(NARROW_KEYS, [tenantId, principalId, keys.scopes, keys.roles, principal.principalType]),
  ]);
  const keyIds = narrowed.rows.map((row) => row.key_id);
  const details = {
    principal_type: principal.principalType,
    roles: principal.roles,
    ...(current === null ? { created: true } : { roles_before: current.roles }),
    ...(keyIds.length === 0 ? {} : { keys_narrowed: keyIds }),
  };
  return { result, details, keyIds };
}

export async function deletePrincipal(client: pg.PoolClient, tenantId: string, principalId: string, decide: (current: StoredPrincipal) => void): Promise<AccountChanged<{ readonly revokedKeys: number }>> {
  await holdTenant(client, tenantId);
  const current = await findPrincipal(client, tenantId, principalId, 'FOR UPDATE');
  if (current === null) throw principalNotFound(principalId);
  decide(current);
  const [, revoked] = await Promise.all([
    client.query('DELETE FROM directory.principals WHERE tenant_id = $1 AND principal_id = $2', [tenantId, principalId]),
    client.query<{ key_id: string }>(
      'UPDATE directory.api_keys SET revoked_at = clock_timestamp() WHERE tenant_id = $1 AND principal_id = $2 AND revoked_at IS NULL RETURNING key_id',
      [tenantId, principalId],
    ),
  ]);
  const keyIds = revoked.rows.map((row) => row.key_id);
  return { result: { revokedKeys: keyIds.length }, details: { roles: current.roles, keys_revoked: keyIds }, keyIds };
}

export async function listKeys(client: pg.PoolClient, tenantId: string, { limit, after, principalId }: Page & { readonly principalId?: string | undefined }): Promise<readonly ApiKeyRecord[]> {
  const [, { rows }] = await Promise.all([
    requireTenant(client, tenantId),
    client.query<KeyRow>(
      `SELECT * FROM directory.api_keys WHERE tenant_id = $1 AND key_id COLLATE "C" > $2 AND ($4::text IS NULL OR principal_id = $4)
       ORDER BY key_id COLLATE "C" LIMIT $3`,
      [tenantId, after ?? '', limit, principalId ?? null],
    ),
  ]);
  return rows.map(toApiKey);
}

export async function putKey(client: pg.PoolClient, key: ApiKeyRecord): Promise<void> {
  await client.query(
    `INSERT INTO directory.api_keys (${KEY_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
     ON CONFLICT (tenant_id, key_id) DO UPDATE SET name = excluded.name, scopes = excluded.scopes, roles = excluded.roles, secret_hash = excluded.secret_hash,
       expires_at = excluded.expires_at, revoked_at = excluded.revoked_at, replaced_by = excluded.replaced_by`,
    keyValues(key),
  );
}

export interface Issued {
  readonly key: ApiKeyRecord;
  readonly replayed: boolean;
}

export async function issueKey(
  client: pg.PoolClient, tenantId: string, principalId: string, issuer: string, decide: (principal: StoredPrincipal) => ApiKeyRecord, idempotency: KeyIdempotency | null,
): Promise<AccountChanged<Issued>> {
  await holdTenant(client, tenantId);
  const before = await findMade(client, tenantId, issuer, idempotency);
  if (before !== null) return { result: { key: before, replayed: true }, details: null, keyIds: [] };
  const principal = await findPrincipal(client, tenantId, principalId, 'FOR SHARE');
  if (principal === null) throw principalNotFound(principalId);
  const key = decide(principal);
  await insertKey(client, key, idempotency);
  return { result: { key, replayed: false }, details: grantOf(key), keyIds: [key.keyId] };
}

export async function rotateKey(
  client: pg.PoolClient, tenantId: string, keyId: string, issuer: string, decide: (current: ApiKeyRecord) => KeyReplacement, idempotency: KeyIdempotency | null,
): Promise<AccountChanged<RotatedKey>> {
  const current = await lockKey(client, tenantId, keyId);
  const before = await findMade(client, tenantId, issuer, idempotency);
  if (before !== null) return { result: { key: before, replaced: current, replayed: true }, details: null, keyIds: [] };
  const { replacement, oldExpiresAt } = decide(current);
  const [{ rows }] = await Promise.all([
    client.query<KeyRow>('UPDATE directory.api_keys SET expires_at = $3, replaced_by = $4 WHERE tenant_id = $1 AND key_id = $2 RETURNING *', [tenantId, keyId, oldExpiresAt, replacement.keyId]),
    insertKey(client, replacement, idempotency),
  ]);
  return {
    result: { key: replacement, replaced: toApiKey(rows[0]!), replayed: false },
    details: { ...grantOf(replacement), replaced_by: replacement.keyId, old_expires_at: oldExpiresAt },
    keyIds: [keyId, replacement.keyId],
  };
}

export async function revokeKey(client: pg.PoolClient, tenantId: string, keyId: string, decide: (current: ApiKeyRecord) => void): Promise<AccountChanged<ApiKeyRecord>> {
  const current = await lockKey(client, tenantId, keyId);
  decide(current);
  if (current.revokedAt !== null) return { result: current, details: null, keyIds: [] };
  const { rows } = await client.query<KeyRow>('UPDATE directory.api_keys SET revoked_at = clock_timestamp() WHERE tenant_id = $1 AND key_id = $2 RETURNING *', [tenantId, keyId]);
  return { result: toApiKey(rows[0]!), details: { principal_id: current.principalId }, keyIds: [keyId] };
}

/** The key that an earlier request of this issuer made under the same idempotency key. @throws AgentOsError conflict when that one asked for something else. */
async function findMade(client: pg.PoolClient, tenantId: string, issuer: string, idempotency: KeyIdempotency | null): Promise<ApiKeyRecord | null> {
  if (idempotency === null) return null;
  const { rows } = await client.query<KeyRow & { request_hash: string }>('SELECT * FROM directory.api_keys WHERE tenant_id = $1 AND created_by = $2 AND idempotency_key = $3', [tenantId, issuer, digestOf(idempotency.key)]);
  if (rows[0] === undefined) return null;
  if (rows[0].request_hash !== idempotency.requestHash) throw idempotencyKeyUsed(idempotency.key);
  return toApiKey(rows[0]);
}

async function insertKey(client: pg.PoolClient, key: ApiKeyRecord, idempotency: KeyIdempotency | null): Promise<void> {
  await client.query(
    `INSERT INTO directory.api_keys (${KEY_COLUMNS}, idempotency_key, request_hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
    [...keyValues(key), idempotency === null ? null : digestOf(idempotency.key), idempotency?.requestHash ?? null],
  );
}

/** Secrets derive from the idempotency key, so the database does not have it. */
function digestOf(idempotencyKey: string): string {
  return createHash('sha256').update(idempotencyKey).digest('hex');
}

/** The tenant first, as everywhere: whoever takes two locks takes them in the same order. */
async function lockKey(client: pg.PoolClient, tenantId: string, keyId: string): Promise<ApiKeyRecord> {
  await holdTenant(client, tenantId);
  const { rows } = await client.query<KeyRow>('SELECT * FROM directory.api_keys WHERE tenant_id = $1 AND key_id = $2 FOR UPDATE', [tenantId, keyId]);
  if (rows[0] === undefined) throw keyNotFound(keyId);
  return toApiKey(rows[0]);
}

function grantOf(key: ApiKeyRecord): AuditDetails {
  return { principal_id: key.principalId, scopes: key.scopes, roles: key.roles, expires_at: key.expiresAt, ...(key.name === null ? {} : { name: key.name }) };
}
