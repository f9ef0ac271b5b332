/** Schema `directory`: tenants, principals, API keys. Every service of a node runs these; whoever comes first applies them. */
import type { Migration } from '../db/migrate.ts';
import { tenantTable } from '../db/tenant-table.ts';

export const DIRECTORY_SCHEMA = 'directory';

export const directoryMigrations: readonly Migration[] = [
  {
    name: '0001_directory',
    up: [
      `CREATE TABLE directory.tenants (
        tenant_id text PRIMARY KEY,
        name text NOT NULL,
        plan_tier text NOT NULL,
        status text NOT NULL,
        default_policy_id text,
        entitlements jsonb,
        quotas jsonb,
        metadata jsonb,
        policy jsonb,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
      )`,
      `CREATE TABLE directory.principals (
        tenant_id text NOT NULL,
        principal_id text NOT NULL,
        principal_type text NOT NULL CHECK (principal_type IN ('user', 'service')),
        display_name text NOT NULL,
        roles jsonb NOT NULL,
        updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (tenant_id, principal_id)
      )`,
      `CREATE TABLE directory.api_keys (
        tenant_id text NOT NULL,
        key_id text NOT NULL,
        principal_id text NOT NULL,
        principal_type text NOT NULL CHECK (principal_type IN ('user', 'service')),
        scopes jsonb NOT NULL,
        roles jsonb NOT NULL,
        secret_hash text NOT NULL CHECK (secret_hash ~ '^[0-9a-f]{64}$'),
        created_at timestamptz NOT NULL,
        expires_at timestamptz,
        revoked_at timestamptz,
        PRIMARY KEY (tenant_id, key_id)
      )`,
      // A presented key names no tenant, so it is found by its id alone.
      'CREATE INDEX api_keys_by_key_id ON directory.api_keys (key_id)',
      ...tenantTable('directory.tenants', { platform: true }),
      ...tenantTable('directory.principals', { platform: true }),
      ...tenantTable('directory.api_keys', { platform: true }),
    ],
  },
  {
    name: '0002_lifecycle',
    up: [
      `ALTER TABLE directory.tenants
        ADD COLUMN deletion_requested_at timestamptz,
        ADD COLUMN deletion_requested_by text,
        ADD COLUMN purge_after timestamptz,
        ADD COLUMN status_before_deletion text,
        ADD CHECK ((purge_after IS NULL) = (deletion_requested_at IS NULL) AND (purge_after IS NULL) = (status_before_deletion IS NULL)),
        ADD CHECK (purge_after IS NULL OR status = 'disabled')`,
      'CREATE INDEX tenants_to_purge ON directory.tenants (purge_after) WHERE purge_after IS NOT NULL',
      'ALTER TABLE directory.principals ADD COLUMN created_at timestamptz NOT NULL DEFAULT clock_timestamp()',
      `ALTER TABLE directory.api_keys
        ADD COLUMN name text,
        ADD COLUMN created_by text,
        ADD COLUMN last_used_at timestamptz,
        ADD COLUMN replaced_by text,
        ADD COLUMN idempotency_key text,
        ADD COLUMN request_hash text`,
      'CREATE UNIQUE INDEX api_keys_idempotency ON directory.api_keys (tenant_id, created_by, idempotency_key) WHERE idempotency_key IS NOT NULL',
      'CREATE INDEX api_keys_by_principal ON directory.api_keys (tenant_id, principal_id)',
      // What is left of a tenant that was deleted: that there was one. The column has another name than every tenant's
      // rows have, because the purge goes by that name.
      `CREATE TABLE directory.tenant_purges (
        former_tenant_id text PRIMARY KEY,
        started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        requested_by text,
        rows_deleted jsonb NOT NULL DEFAULT '{}',
        finished_at timestamptz,
        swept_at timestamptz
      )`,
      'CREATE INDEX tenant_purges_under_way ON directory.tenant_purges (started_at) WHERE swept_at IS NULL',
      ...tenantTable('directory.tenant_purges', { platform: true, column: 'former_tenant_id', grants: ['SELECT', 'INSERT'] }),
    ],
  },
];
