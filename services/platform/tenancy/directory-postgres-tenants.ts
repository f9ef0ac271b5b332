/** Tenants in schema `directory`: part of `directory-postgres.ts`. Each function is the body of one transaction. */
import type pg from 'pg';
import type { AuditDetails } from '../audit/audit-row.ts';
import type { Tenant } from '../../../generated/types/index.ts';
import type { TenantPatch } from './directory.ts';
import { tenantValues, toTenant, type TenantRow } from './directory-postgres-rows.ts';
import { idWasUsed, nothingToRestore, tenantAwaitsDeletion, tenantNotFound, tooLateToRestore } from './tenant-errors.ts';
import { changedMembers, patchTenant, type TenantDraft } from './tenant-record.ts';

/** What a change did: the tenant as it is now, and what stands in the audit; null where nothing changed. */
export interface TenantChanged {
  readonly tenant: Tenant;
  readonly details: AuditDetails | null;
}

export async function readTenant(client: pg.PoolClient, tenantId: string): Promise<Tenant | null> {
  const { rows } = await client.query<TenantRow>('SELECT * FROM directory.tenants WHERE tenant_id = $1', [tenantId]);
  return rows[0] === undefined ? null : toTenant(rows[0]);
}

export async function insertTenant(client: pg.PoolClient, draft: TenantDraft): Promise<TenantChanged> {
  const { rows } = await client.query<TenantRow>(
    `INSERT INTO directory.tenants (tenant_id, name, plan_tier, status, default_policy_id, entitlements, quotas, metadata, policy)
     SELECT $1, $2, $3, $4, $5, $6::jsonb, $7::jsonb, $8::jsonb, $9::jsonb
     WHERE NOT EXISTS (SELECT FROM directory.tenant_purges WHERE former_tenant_id = $1) RETURNING *`,
    tenantValues(draft),
  );
  if (rows[0] === undefined) throw idWasUsed(draft.tenant_id);
  return { tenant: toTenant(rows[0]), details: { plan_tier: draft.plan_tier, status: draft.status } };
}

export async function patchStoredTenant(client: pg.PoolClient, tenantId: string, patch: TenantPatch): Promise<TenantChanged> {
  const row = await lockTenant(client, tenantId);
  if (row.purge_after !== null) throw tenantAwaitsDeletion(tenantId, row.purge_after.toISOString());
  const current = toTenant(row);
  const next = patchTenant(current, patch);
  const { rows } = await client.query<TenantRow>(
    `UPDATE directory.tenants SET name = $2, plan_tier = $3, status = $4, default_policy_id = $5, entitlements = $6, quotas = $7, metadata = $8, policy = $9,
       updated_at = clock_timestamp() WHERE tenant_id = $1 RETURNING *`,
    tenantValues(next),
  );
  const changed = changedMembers(patch);
  return { tenant: toTenant(rows[0]!), details: { changed, ...(patch.status === undefined ? {} : { from: current.status, to: patch.status }) } };
}

export async function setStatus(client: pg.PoolClient, tenantId: string, status: 'active' | 'suspended', reason: string | null): Promise<TenantChanged> {
  const row = await lockTenant(client, tenantId);
  if (row.purge_after !== null) throw tenantAwaitsDeletion(tenantId, row.purge_after.toISOString());
  if (row.status === status) return { tenant: toTenant(row), details: null };
  const { rows } = await client.query<TenantRow>(
    'UPDATE directory.tenants SET status = $2, updated_at = clock_timestamp() WHERE tenant_id = $1 RETURNING *',
    [tenantId, status],
  );
  return { tenant: toTenant(rows[0]!), details: { from: row.status, to: status, ...(reason === null ? {} : { reason }) } };
}

export async function markForDeletion(client: pg.PoolClient, tenantId: string, graceMs: number, requestedBy: string): Promise<TenantChanged> {
  const row = await lockTenant(client, tenantId);
  if (row.purge_after !== null) return { tenant: toTenant(row), details: null };
  const { rows } = await client.query<TenantRow>(
    `UPDATE directory.tenants SET status_before_deletion = status, status = 'disabled', deletion_requested_at = clock_timestamp(), deletion_requested_by = $3,
       purge_after = clock_timestamp() + $2 * interval '1 millisecond', updated_at = clock_timestamp() WHERE tenant_id = $1 RETURNING *`,
    [tenantId, graceMs, requestedBy],
  );
  return { tenant: toTenant(rows[0]!), details: { from: row.status, purge_after: rows[0]!.purge_after!.toISOString() } };
}

/** Until its date has come or the purge has begun: both are decided under the row's lock. */
export async function unmarkForDeletion(client: pg.PoolClient, tenantId: string): Promise<TenantChanged> {
  const row = await lockTenant(client, tenantId);
  if (row.purge_after === null) throw nothingToRestore(tenantId);
  const { rows } = await client.query<TenantRow>(
    `UPDATE directory.tenants SET status = status_before_deletion, status_before_deletion = NULL, deletion_requested_at = NULL, deletion_requested_by = NULL,
       purge_after = NULL, updated_at = clock_timestamp()
     WHERE tenant_id = $1 AND purge_after > clock_timestamp() AND NOT EXISTS (SELECT FROM directory.tenant_purges WHERE former_tenant_id = $1) RETURNING *`,
    [tenantId],
  );
  if (rows[0] === undefined) throw tooLateToRestore(tenantId, row.purge_after.toISOString());
  return { tenant: toTenant(rows[0]), details: { to: rows[0].status } };
}

export async function removeTenant(client: pg.PoolClient, tenantId: string): Promise<void> {
  const [deleted] = await Promise.all([
    client.query('DELETE FROM directory.tenants WHERE tenant_id = $1', [tenantId]),
    client.query('DELETE FROM directory.principals WHERE tenant_id = $1', [tenantId]),
    client.query('DELETE FROM directory.api_keys WHERE tenant_id = $1', [tenantId]),
    client.query('INSERT INTO directory.tenant_purges (former_tenant_id) VALUES ($1) ON CONFLICT DO NOTHING', [tenantId]),
  ]);
  if (deleted.rowCount === 0) throw tenantNotFound(tenantId);
}

async function lockTenant(client: pg.PoolClient, tenantId: string): Promise<TenantRow> {
  const { rows } = await client.query<TenantRow>('SELECT * FROM directory.tenants WHERE tenant_id = $1 FOR UPDATE', [tenantId]);
  if (rows[0] === undefined) throw tenantNotFound(tenantId);
  return rows[0];
}

/** Holds the tenant while something of it is changed: a purge cannot begin meanwhile. @throws AgentOsError not_found. */
export async function holdTenant(client: pg.PoolClient, tenantId: string): Promise<void> {
  const { rowCount } = await client.query('SELECT 1 FROM directory.tenants WHERE tenant_id = $1 FOR SHARE', [tenantId]);
  if (rowCount === 0) throw tenantNotFound(tenantId);
}

/** @throws AgentOsError not_found. */
export async function requireTenant(client: pg.PoolClient, tenantId: string): Promise<void> {
  const { rowCount } = await client.query('SELECT 1 FROM directory.tenants WHERE tenant_id = $1', [tenantId]);
  if (rowCount === 0) throw tenantNotFound(tenantId);
}
